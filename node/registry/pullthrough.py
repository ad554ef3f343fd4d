"""Pull-through rules: which registry a repository is pulled through from."""

from contextlib import suppress

import msgspec

from node.registry.damage import is_lost
from node.registry.registry import Registry
from node.store.damage import Place
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Caller
from protocol.auth.names import RegistryName
from protocol.errors import Damaged, RuleInvalid, RuleUnknown
from protocol.oci.names import RepositoryName
from protocol.rules.pullthrough import MAX_RULES, PullThroughRule, parse_prefix, pull_through_rule, upstream_name

_DOCUMENT = "pull-through-rules"
_decode = msgspec.msgpack.Decoder(list[PullThroughRule]).decode
_encode = msgspec.msgpack.Encoder().encode


async def put_pull_through(
    registry: Registry, caller: Caller, prefix: str, upstream: RegistryName, upstream_prefix: str | None
) -> PullThroughRule:
    """Add a rule, or replace the one with the same prefix.

    Raises:
        Denied: without ``ecr:CreatePullThroughCacheRule``.
        RuleInvalid: it is none, or there are too many.
    """
    registry.authorize(caller, "ecr:CreatePullThroughCacheRule", None)
    rule = pull_through_rule(prefix, upstream, upstream_prefix, own=registry.name)

    def run(txn: WriteTxn) -> None:
        rules = [one for one in _rules_to_change(registry, txn) if one.prefix != rule.prefix]
        if len(rules) >= MAX_RULES:
            raise RuleInvalid(f"there are {MAX_RULES} rules already; delete one first")
        _put(registry, txn, [*rules, rule])

    await registry.store.writer.write(run)
    return rule


def list_pull_through(registry: Registry, caller: Caller) -> list[PullThroughRule]:
    """Return all rules by prefix; ``Denied`` without ``ecr:DescribePullThroughCacheRules``."""
    registry.authorize(caller, "ecr:DescribePullThroughCacheRules", None)
    with registry.store.meta.read() as txn:
        return _rules(registry, txn)


async def delete_pull_through(registry: Registry, caller: Caller, prefix: str) -> None:
    """Delete the rule with this prefix; what was pulled through stays.

    Raises:
        Denied: without ``ecr:DeletePullThroughCacheRule``.
        RuleUnknown: there is none.
    """
    registry.authorize(caller, "ecr:DeletePullThroughCacheRule", None)
    wanted = parse_prefix(prefix)

    def run(txn: WriteTxn) -> None:
        rules = _rules(registry, txn)
        left = [one for one in rules if one.prefix != wanted]
        if len(left) == len(rules):
            raise RuleUnknown(f"no pull-through rule has the prefix {prefix}")
        _put(registry, txn, left)

    await registry.store.writer.write(run)


class Upstreams:
    """The rules, read again only when something was committed: each pull asks."""

    def __init__(self) -> None:
        self._commits = -1
        self._rules: list[PullThroughRule] = []

    def of(self, registry: Registry, name: RepositoryName) -> tuple[RegistryName, RepositoryName] | None:
        """Return where *name* is pulled through from and what it is called there, or ``None``."""
        found = self.rule(registry, name)
        return None if found is None else (found[0].registry, found[1])

    def rule(self, registry: Registry, name: RepositoryName) -> tuple[PullThroughRule, RepositoryName] | None:
        """Return the rule by which *name* is pulled through and what it is called there, or ``None``."""
        commits = registry.store.writer.commits
        if commits != self._commits:
            # Where they are damaged those before go on: every pull asks, and most have nothing to do with them.
            with suppress(Damaged), registry.store.meta.read() as txn:
                self._rules = _rules(registry, txn)
            self._commits = commits
        return upstream_name(self._rules, name) if self._rules else None


def _rules(registry: Registry, txn: ReadTxn) -> list[PullThroughRule]:
    data = registry.store.meta.documents.get(txn, _DOCUMENT)
    return [] if data is None else _decode(data)


def _rules_to_change(registry: Registry, txn: WriteTxn) -> list[PullThroughRule]:
    """Return the rules; none where they are damaged and nothing leads back to them: they have to be put again."""
    try:
        return _rules(registry, txn)
    except Damaged:
        if not is_lost(registry, txn, Place("documents", _DOCUMENT.encode())):
            raise
        return []


def _put(registry: Registry, txn: WriteTxn, rules: list[PullThroughRule]) -> None:
    rules.sort(key=lambda one: one.prefix)
    registry.store.meta.documents.put(txn, _DOCUMENT, _encode(rules))
