"""Pull-through rules: which registry a repository is pulled through from.

A rule is a register under its prefix, put by ECR's API or by ``entrepot pull-through``: both see all of them. What is
pulled through at all is what another registry of the federation has; a rule for any other upstream is kept, answered
and validated as one that nobody asks yet.
"""

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from node.registry.commit import commit_rules
from node.registry.current import Current
from node.registry.registers import register, register_put, registers
from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.names import RegistryName
from protocol.errors import Damaged, LimitExceeded, RuleExists, RuleUnknown, ValidationFailed
from protocol.oci.names import RepositoryName
from protocol.rules.pullthrough import ROOT, PullThroughRule, pull_through_rule, upstream_name
from protocol.rules.upstreams import Upstream, check_access, upstream_at, upstream_of
from protocol.sync.entries import RegisterPut, Setting

_GROUP = "pull-through"
_OLD_DOCUMENT = "pull-through-rules"  # Where rules lay before they were registers.
_decode_old = msgspec.msgpack.Decoder(list[PullThroughRule]).decode
_ALL = 2**31


class CacheRule(msgspec.Struct, frozen=True):
    """A rule as it stands."""

    prefix: str  # Without a slash at its end unless it was given so; or ``ROOT``.
    upstream: Upstream
    upstream_prefix: str = ""  # In the same way; empty where none was given, which does what ``ROOT`` does.
    credential: str = ""  # ARN of a secret; empty for none.
    role: str = ""  # ARN; empty for none.
    created: float = 0.0  # Seconds since 1970, UTC.
    updated: float = 0.0

    @property
    def rule(self) -> PullThroughRule:
        """What it does to names."""
        return PullThroughRule(_inner(self.prefix), self.upstream.registry, _inner(self.upstream_prefix))


async def put_pull_through(
    registry: Registry, caller: Caller, prefix: str, upstream: RegistryName, upstream_prefix: str | None
) -> CacheRule:
    """Add a rule for another registry of the federation, or replace the one with the same prefix.

    Raises:
        Denied: without ``ecr:CreatePullThroughCacheRule``.
        RuleInvalid: it is none.
        LimitExceeded: there are too many.
    """
    registry.authorize(caller, "ecr:CreatePullThroughCacheRule", None)
    rule = pull_through_rule(prefix, upstream, upstream_prefix, own=registry.name)
    stored = CacheRule(_outer(rule.prefix), upstream_of(upstream), _outer(rule.upstream_prefix))
    act = Act(caller, "ecr:CreatePullThroughCacheRule", prefix)

    def run(txn: WriteTxn) -> None:
        old = _rule(registry, txn, stored.prefix)
        if old is None:
            _require_room(registry, txn)
        now = registry.now()
        new = msgspec.structs.replace(stored, created=now if old is None else old.created, updated=now)
        entries = [*_adopted(registry, txn, act), _entry(registry, txn, act, new)]
        commit_rules(registry, txn, act, lambda _dot, _hlc: [*entries])

    await registry.store.writer.write(run)
    registry.changes.notify()
    return stored


async def create_cache_rule(registry: Registry, caller: Caller, given: CacheRule) -> CacheRule:
    """Add a rule, as ECR does.

    Raises:
        Denied: without ``ecr:CreatePullThroughCacheRule``.
        RuleExists: there is one of this prefix.
        ValidationFailed: what it says does not go together.
        LimitExceeded: there are too many.
    """
    action = "ecr:CreatePullThroughCacheRule"
    registry.authorize(caller, action, None)
    check_access(given.upstream, given.credential, given.role, registry.name)
    if given.prefix == ROOT and given.upstream_prefix not in {"", ROOT}:
        raise ValidationFailed("upstreamRepositoryPrefix can be given only where ecrRepositoryPrefix is not ROOT")
    act, now = Act(caller, action, given.prefix), int(registry.now() * 1000) / 1000
    new = msgspec.structs.replace(given, created=now, updated=now)

    def run(txn: WriteTxn) -> None:
        if _rule(registry, txn, given.prefix) is not None:
            raise RuleExists(
                f"The pull through cache rule with prefix '{given.prefix}' already exists in the registry with id "
                f"'{registry.name.account}'"
            )
        _require_room(registry, txn)
        entries = [*_adopted(registry, txn, act), _entry(registry, txn, act, new)]
        commit_rules(registry, txn, act, lambda _dot, _hlc: [*entries])

    await registry.store.writer.write(run)
    registry.changes.notify()
    return new


async def update_cache_rule(
    registry: Registry, caller: Caller, prefix: str, *, credential: str | None, role: str | None
) -> CacheRule:
    """Change by what the upstream of a rule is asked; what is ``None`` stays.

    Raises:
        Denied: without ``ecr:UpdatePullThroughCacheRule``.
        RuleUnknown: there is none of this prefix.
        ValidationFailed: the upstream cannot be asked with that.
    """
    action = "ecr:UpdatePullThroughCacheRule"
    registry.authorize(caller, action, None)
    act = Act(caller, action, prefix)

    def run(txn: WriteTxn) -> CacheRule:
        old = _known(registry, txn, prefix)
        new = msgspec.structs.replace(
            old,
            credential=old.credential if credential is None else credential,
            role=old.role if role is None else role,
            updated=int(registry.now() * 1000) / 1000,
        )
        check_access(new.upstream, new.credential, new.role, registry.name)
        entries = [*_adopted(registry, txn, act), _entry(registry, txn, act, new)]
        commit_rules(registry, txn, act, lambda _dot, _hlc: [*entries])
        return new

    rule = await registry.store.writer.write(run)
    registry.changes.notify()
    return rule


async def delete_pull_through(registry: Registry, caller: Caller, prefix: str) -> CacheRule:
    """Delete the rule with this prefix, and return it; what was pulled through stays.

    Raises:
        Denied: without ``ecr:DeletePullThroughCacheRule``.
        RuleUnknown: there is none.
    """
    action = "ecr:DeletePullThroughCacheRule"
    registry.authorize(caller, action, None)
    act = Act(caller, action, prefix)

    def run(txn: WriteTxn) -> CacheRule:
        old = _known(registry, txn, prefix)
        entries = _adopted(registry, txn, act)
        fields = dict.fromkeys(_fields(old))
        entries.append(register_put(registry, txn, act, _GROUP, _name(prefix), fields))
        commit_rules(registry, txn, act, lambda _dot, _hlc: [*entries])
        return old

    rule = await registry.store.writer.write(run)
    registry.changes.notify()
    return rule


def list_cache_rules(registry: Registry, caller: Caller, *, after: str, limit: int) -> list[CacheRule]:
    """Return at most *limit* rules by prefix, those beyond the one whose prefix is *after*.

    Raises:
        Denied: without ``ecr:DescribePullThroughCacheRules``.
    """
    registry.authorize(caller, "ecr:DescribePullThroughCacheRules", None)
    with registry.store.meta.read() as txn:
        rules = _rules(registry, txn)
    return [rule for rule in rules if _name(rule.prefix) > _name(after)][:limit]


def find_cache_rules(registry: Registry, caller: Caller, prefixes: Iterable[str]) -> list[CacheRule]:
    """Return the rules of these prefixes.

    Raises:
        Denied: without ``ecr:DescribePullThroughCacheRules``.
        RuleUnknown: one of them is none.
    """
    registry.authorize(caller, "ecr:DescribePullThroughCacheRules", None)
    with registry.store.meta.read() as txn:
        return [_known(registry, txn, prefix) for prefix in prefixes]


def validate_cache_rule(registry: Registry, caller: Caller, prefix: str) -> tuple[CacheRule, str]:
    """Return a rule, and why nothing can be pulled through by it now; an empty text where something can.

    Raises:
        Denied: without ``ecr:ValidatePullThroughCacheRule``.
        RuleUnknown: there is none.
    """
    registry.authorize(caller, "ecr:ValidatePullThroughCacheRule", None)
    with registry.store.meta.read() as txn:
        rule = _known(registry, txn, prefix)
    upstream = rule.upstream
    if upstream.registry is None:
        return rule, f"This version pulls through other entrepot registries alone: {upstream.url} is not asked yet"
    if registry.elsewhere.reaches(upstream.registry):
        return rule, ""
    return rule, f"No node of the registry {upstream.registry} is connected to this one"


class Upstreams:
    """The rules as pulls need them, made again only when a rule changed: each pull asks."""

    def __init__(self) -> None:
        self._current: Current[list[PullThroughRule]] | None = None
        self._rules: list[PullThroughRule] = []

    def of(self, registry: Registry, name: RepositoryName) -> tuple[RegistryName, RepositoryName] | None:
        """Return where *name* is pulled through from and what it is called there, or ``None``."""
        found = self.rule(registry, name)
        return None if found is None else found[1:]

    def rule(
        self, registry: Registry, name: RepositoryName
    ) -> tuple[PullThroughRule, RegistryName, RepositoryName] | None:
        """Return the rule by which *name* is pulled through, from where, and what it is called there; or ``None``."""
        if self._current is None:
            self._current = Current(registry.store, lambda txn: [one.rule for one in _rules(registry, txn)])
        # Where they are damaged those before go on: every pull asks, and most have nothing to do with them.
        with suppress(Damaged):
            self._rules = self._current.get()
        if not self._rules:
            return None
        found = upstream_name(self._rules, name)
        if found is None or found[0].registry is None:
            return None
        return found[0], found[0].registry, found[1]


def _rules(registry: Registry, txn: ReadTxn) -> list[CacheRule]:
    found = {name: _stored(fields) for name, fields in registers(registry, txn, _GROUP, limit=_ALL)}
    for old in _old_rules(registry, txn):
        found.setdefault(_name(old.prefix), old)
    return [found[name] for name in sorted(found)]


def _rule(registry: Registry, txn: ReadTxn, prefix: str) -> CacheRule | None:
    fields = register(registry, txn, _GROUP, _name(prefix))
    if fields is not None:
        return _stored(fields)
    return next((old for old in _old_rules(registry, txn) if _name(old.prefix) == _name(prefix)), None)


def _known(registry: Registry, txn: ReadTxn, prefix: str) -> CacheRule:
    rule = _rule(registry, txn, prefix)
    if rule is None:
        raise RuleUnknown(
            f"The pull through cache rule with prefix '{prefix}' does not exist in the registry with id "
            f"'{registry.name.account}'"
        )
    return rule


def _require_room(registry: Registry, txn: ReadTxn) -> None:
    most = registry.settings.quotas.pull_through_rules
    if len(_rules(registry, txn)) >= most:
        raise LimitExceeded(f"There are {most} pull through cache rules; delete one first")


def _old_rules(registry: Registry, txn: ReadTxn) -> list[CacheRule]:
    data = registry.store.meta.documents.get(txn, _OLD_DOCUMENT)
    return [
        CacheRule(_outer(old.prefix), upstream_of(old.registry), _outer(old.upstream_prefix))
        for old in ([] if data is None else _decode_old(data))
        if old.registry is not None
    ]


def _adopted(registry: Registry, txn: WriteTxn, act: Act) -> list[RegisterPut]:
    """Return the entries that make registers of rules from before there were any; they go from where they lay."""
    entries = [
        _entry(registry, txn, act, old)
        for old in _old_rules(registry, txn)
        if register(registry, txn, _GROUP, _name(old.prefix)) is None
    ]
    registry.store.meta.documents.delete(txn, _OLD_DOCUMENT)
    return entries


def _entry(registry: Registry, txn: ReadTxn, act: Act, rule: CacheRule) -> RegisterPut:
    return register_put(registry, txn, act, _GROUP, _name(rule.prefix), _fields(rule))


def _fields(rule: CacheRule) -> dict[str, Setting]:
    return {
        "prefix": rule.prefix,
        "url": rule.upstream.url,
        "upstream-prefix": rule.upstream_prefix or None,
        "credential": rule.credential or None,
        "role": rule.role or None,
        "created": int(rule.created * 1000),
        "updated": int(rule.updated * 1000),
    }


def _stored(fields: dict[str, Setting]) -> CacheRule:
    return CacheRule(
        prefix=str(fields.get("prefix", ROOT)),
        upstream=upstream_at(str(fields.get("url", ""))),
        upstream_prefix=str(fields.get("upstream-prefix") or ""),
        credential=str(fields.get("credential", "")),
        role=str(fields.get("role", "")),
        created=int(fields.get("created") or 0) / 1000,
        updated=int(fields.get("updated") or 0) / 1000,
    )


def _name(prefix: str) -> str:
    return prefix.rstrip("/")


def _inner(prefix: str) -> str:
    """Return a prefix as ``protocol.rules.pullthrough`` has it: with its slash, and nothing for ``ROOT``."""
    return "" if prefix in {"", ROOT} else f"{_name(prefix)}/"


def _outer(prefix: str) -> str:
    """Return a prefix as ECR has it."""
    return _name(prefix) or ROOT
