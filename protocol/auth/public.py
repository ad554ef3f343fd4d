"""Public repositories: what they are called inside a registry, by clients, and by policies.

Inside, a public repository lies beside the private ones as ``public/ACCOUNT/NAME``, and no private name may begin so.
Clients say ``HOST/public/ALIAS/NAME`` to any name of a node, and ``HOST/ALIAS/NAME`` where the host is the one that an
operator chose for public repositories. The account is always an alias; another one may be chosen, and be changed at
any time, for nothing that is stored has it in its name. ECR's API and ARNs say just ``NAME``.

Anyone may pull from them, whatever a policy says, and only their own service's actions say who may push.

Source: Amazon ECR Public user guide, "Public registries", "Public repository policies"; Service authorization
reference, "Amazon Elastic Container Registry Public".
"""

import msgspec

from protocol.oci.names import RepositoryName, repository_name

PREFIX = "public/"
SERVICE = "ecr-public"

_ACCOUNT = 12  # Digits.
_AT = len(PREFIX) + _ACCOUNT
_DISTRIBUTION = "/v2/"
_OPEN = frozenset({"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages"})


class PublicPlace(msgspec.Struct, frozen=True):
    """Where clients find the public repositories of a registry."""

    alias: str = ""  # Beside the account, which always is one.
    host: str = ""  # HOST, at any port, or HOST:PORT, lower-case: what is there has no ``public/`` in its name.

    @property
    def is_plain(self) -> bool:
        """Whether clients use the names that repositories have inside, and no others."""
        return not self.alias and not self.host

    def is_at(self, host: str) -> bool:
        """Whether *host*, as a request names it, is that of the public repositories."""
        if not self.host:
            return False
        host = host.lower()
        return host == self.host or (not _has_port(self.host) and _without_port(host) == self.host)


def public_repository(account: str, name: str) -> RepositoryName:
    """Return what the public repository *name* is called inside; ``NameInvalid`` where it can be none."""
    return repository_name(f"{PREFIX}{account}/{name}")


def public_name(name: str) -> str | None:
    """Return what a public repository is called in its service, of its name inside; ``None`` for any other."""
    is_public = name.startswith(PREFIX) and name[_AT : _AT + 1] == "/" and name[len(PREFIX) : _AT].isdecimal()
    return name[_AT + 1 :] if is_public and name.isascii() else None


def told(name: str) -> str:
    """Return what messages call a repository: by the name that its service's API has for it."""
    return public_name(name) or name


def public_arn(account: str, name: str) -> str:
    """Return the ARN of the public repository *name*."""
    return f"arn:aws:{SERVICE}::{account}:repository/{name}"


def public_registry_arn(account: str) -> str:
    """Return the ARN of the account's public registry."""
    return f"arn:aws:{SERVICE}::{account}:registry/{account}"


def public_uri(place: PublicPlace, account: str, host: str) -> str:
    """Return what all names of images in the public registry begin with, where clients reach the node as *host*."""
    alias = place.alias or account
    return f"{place.host}/{alias}" if place.host else f"{host}/{PREFIX}{alias}"


def action_on(action: str, name: str | None) -> str:
    """Return what policies are asked for where a use case asks for *action* on *name*: the service is the name's."""
    if name is not None and action.startswith("ecr:") and public_name(name) is not None:
        return f"{SERVICE}:{action.removeprefix('ecr:')}"
    return action


def is_open(action: str, name: str | None) -> bool:
    """Whether anyone may do *action* (as use cases say it) on *name*, whoever it is, and whatever policies say."""
    return action in _OPEN and name is not None and public_name(name) is not None


def inside(place: PublicPlace, account: str, host: str, name: str) -> str:
    """Return what a repository is called inside that a client of *host* calls *name*."""
    if place.is_at(host) and not name.startswith(PREFIX):
        name = PREFIX + name
    by_alias = f"{PREFIX}{place.alias}/"
    return f"{PREFIX}{account}/{name.removeprefix(by_alias)}" if place.alias and name.startswith(by_alias) else name


def inside_path(place: PublicPlace, account: str, host: str, path: str) -> str:
    """Return *path* of the distribution API as it is for names inside; those of no repository stay."""
    rest = path.removeprefix(_DISTRIBUTION)
    if rest == path or "/" not in rest:
        return path
    return _DISTRIBUTION + inside(place, account, host, rest)


def spelled(place: PublicPlace, account: str, host: str, name: str) -> str:
    """Return what a client of *host* calls the repository *name*."""
    own = f"{PREFIX}{account}/"
    if not name.startswith(own):
        return name
    by_alias = f"{place.alias or account}/{name.removeprefix(own)}"
    return by_alias if place.is_at(host) else PREFIX + by_alias


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def _without_port(host: str) -> str:
    return host.rpartition(":")[0] if _has_port(host) else host
