"""Replication rules: which registries an image is for, and by which rule.

The document is ECR's own, ``{"rules": [...]}``, also inside ``{"replicationConfiguration": ...}`` as the ECR API and
its command line carry it; a whole document replaces the one before. A filter is a plain prefix: ``prod`` matches
``production/x``, for no slash is implied. A rule without filters is for every repository.

Source: Amazon ECR API reference, ``PutReplicationConfiguration``, ``ReplicationRule``, ``RepositoryFilter``.
"""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from protocol.auth.names import Account, Region, RegistryName, account, region
from protocol.auth.public import PREFIX
from protocol.errors import ParameterInvalid, RuleInvalid
from protocol.oci.names import RepositoryName
from protocol.rules.document import read_document, require_others, typed

MAX_DESTINATIONS = 25  # Different ones, in all rules together.
_PREFIX = re.compile(r"[a-z0-9._/-]*", re.ASCII)  # What a repository name can begin with; others match nothing.


class RepositoryFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The repositories whose names begin with *filter*."""

    filter: Annotated[str, Meta(min_length=2, max_length=256)]
    filter_type: Literal["PREFIX_MATCH"]

    def __post_init__(self) -> None:
        """Check the text: msgspec adds the place to a ``ValueError``."""
        if not _PREFIX.fullmatch(self.filter):
            raise ValueError(f"no repository name begins with {self.filter[:64]!r}")


class ReplicationDestination(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A registry to replicate to."""

    region: Region
    registry_id: Account

    def __post_init__(self) -> None:
        """Check the text: msgspec adds the place to a ``ValueError``."""
        try:
            region(self.region)
            account(self.registry_id)
        except ParameterInvalid as error:
            raise ValueError(str(error)) from None

    @property
    def registry(self) -> RegistryName:
        """The same as one name."""
        return RegistryName(self.registry_id, self.region)


class DeleteReplication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether deletions travel too. It is kept and shown, and not acted on: no deletion travels yet."""

    enabled: bool


class ReplicationRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Replicate the repositories that a filter matches, or all where there is none, to *destinations*."""

    destinations: Annotated[tuple[ReplicationDestination, ...], Meta(max_length=100)]
    repository_filters: Annotated[tuple[RepositoryFilter, ...], Meta(min_length=1, max_length=100)] | None = None
    delete_replication: DeleteReplication | None = None


class ReplicationConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All replication rules of a registry. msgspec encodes it as the document that ECR shows."""

    rules: Annotated[tuple[ReplicationRule, ...], Meta(max_length=25)] = ()


class Destination(msgspec.Struct, frozen=True):
    """A decision: the image is for *registry*, because of this rule."""

    registry: RegistryName
    rule: int  # Place in the document, from 0; the first that decides.
    filter: str  # The prefix that matched; ``""`` where the rule has no filters.


class _Bare(msgspec.Struct, forbid_unknown_fields=True):
    rules: Annotated[tuple[ReplicationRule, ...], Meta(max_length=25)]


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    replication_configuration: _Bare


def replication_configuration(data: bytes, own: RegistryName, *, needs_peers: bool = True) -> ReplicationConfiguration:
    """Read the JSON document *data* for the registry *own*, or raise ``RuleInvalid`` with the place of the fault.

    With *needs_peers* rules are refused as well that *own* could never follow, for it has no peers.
    """
    document = read_document(data)
    if "replicationConfiguration" in document:
        where, rules = "$.replicationConfiguration", typed(document, _Wrapped).replication_configuration.rules
    else:
        where, rules = "$", typed(document, _Bare).rules
    if rules and needs_peers:
        require_others(own)
    seen: set[RegistryName] = set()
    for at, rule in enumerate(rules):
        for place, one in enumerate(rule.destinations):
            if one.registry == own:
                raise RuleInvalid(
                    "Invalid parameter at 'replicationConfiguration' failed to satisfy constraint: 'Replication "
                    f"destination cannot be the same as the source registry' - {own} is this registry itself, at "
                    f"`{where}.rules[{at}].destinations[{place}]`"
                )
            seen.add(one.registry)
    if len(seen) > MAX_DESTINATIONS:
        raise RuleInvalid(f"{len(seen)} different destinations, more than {MAX_DESTINATIONS} - at `{where}.rules`")
    return ReplicationConfiguration(rules)


def destinations_for(configuration: ReplicationConfiguration, repository: RepositoryName) -> tuple[Destination, ...]:
    """Return the registries that images of *repository* are for, each once. Cost: one look at each filter.

    Images of public repositories are for none: as at ECR, the rules are those of the private registry.
    """
    if repository.startswith(PREFIX):
        return ()
    found: dict[RegistryName, Destination] = {}
    for at, rule in enumerate(configuration.rules):
        matched = _match(rule, repository)
        if matched is not None:
            for one in rule.destinations:
                found.setdefault(one.registry, Destination(one.registry, at, matched))
    return tuple(found.values())


def _match(rule: ReplicationRule, repository: RepositoryName) -> str | None:
    if rule.repository_filters is None:
        return ""
    return next((one.filter for one in rule.repository_filters if repository.startswith(one.filter)), None)
