"""Pull-through rules: which registry of the federation a repository comes from, and under what name.

    rule                                                  here              there
    team/    of 111111111111/eu-west-1                    team/app          team/app
    mirror/  with the upstream prefix library/            mirror/nginx      library/nginx
    mirror/  with the upstream prefix ROOT                mirror/team/app   team/app
    ROOT                                                  team/app          team/app

Of two rules whose prefix a name has, the longer prefix decides; ``ROOT`` is every name's. So a rule can make an
exception of part of another's names.

Source: Amazon ECR user guide, "Creating a pull through cache rule", "Upstream repository prefix".
"""

import re
from collections.abc import Iterable

import msgspec

from protocol.auth.names import RegistryName
from protocol.auth.public import PREFIX
from protocol.errors import NameInvalid, RuleInvalid
from protocol.oci.names import RepositoryName, repository_name
from protocol.rules.document import require_others

ROOT = "ROOT"  # How people write the empty prefix, as ECR does.
MAX_PREFIX = 128  # Characters, slash included.
_PREFIX = re.compile(r"(?:[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*/)*", re.ASCII)


class PullThroughRule(msgspec.Struct, frozen=True):
    """Repositories that begin with *prefix* come from *registry*."""

    prefix: str  # Ends at a slash; ``""`` for every name.
    registry: RegistryName | None  # ``None``: a server that is no registry of the federation, which nobody asks yet.
    upstream_prefix: str  # Stands there for *prefix*; the same where names do not change.


def pull_through_rule(
    prefix: str, registry: RegistryName, upstream_prefix: str | None, *, own: RegistryName
) -> PullThroughRule:
    """Return the rule, or raise ``RuleInvalid``.

    Args:
        prefix: ends at a slash, or is ``ROOT``.
        registry: where to pull from.
        upstream_prefix: ends at a slash, or is ``ROOT`` or empty for no prefix; ``None`` leaves names as they are.
        own: the registry that the rule is for, which cannot be its own upstream.
    """
    if registry == own:
        raise RuleInvalid(f"{own} is this registry itself")
    require_others(own)
    here = parse_prefix(prefix)
    return PullThroughRule(here, registry, here if upstream_prefix is None else parse_prefix(upstream_prefix or ROOT))


def parse_prefix(text: str) -> str:
    """Return what *text* means, ``""`` for ``ROOT``; or raise ``RuleInvalid``."""
    if text == ROOT:
        return ""
    if not text or len(text) > MAX_PREFIX or not _PREFIX.fullmatch(text):
        raise RuleInvalid(
            f"not a prefix: {text[:64]!r}; it is components that each end at a slash, as team/, or {ROOT}"
        )
    return text


def shown_prefix(prefix: str) -> str:
    """Return *prefix* as people write it."""
    return prefix or ROOT


def upstream_name(
    rules: Iterable[PullThroughRule], repository: RepositoryName
) -> tuple[PullThroughRule, RepositoryName] | None:
    """Return the rule that decides and what *repository* is called there; ``None`` without a rule.

    A name that the other prefix makes too short or too long for a repository comes from nowhere, and so does that of a
    public repository.
    """
    if repository.startswith(PREFIX):
        return None
    matching = [rule for rule in rules if repository.startswith(rule.prefix)]
    if not matching:
        return None
    rule = max(matching, key=lambda one: len(one.prefix))
    try:
        return rule, repository_name(rule.upstream_prefix + repository.removeprefix(rule.prefix))
    except NameInvalid:
        return None
