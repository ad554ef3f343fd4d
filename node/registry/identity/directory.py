"""All users, groups, roles, policies and access keys, in memory: made anew when one of them changes.

A principal is a register by its unique id. Its fields:

    name, created (ms), generation      generation: raised when what was issued to it must not be used any longer
    disabled                            of a user
    password                            of a user: see ``protocol.auth.passwords``
    trust, max-session (s), description of a role
    policy:NAME                         an inline policy
    attached:ARN                        true: a managed policy is attached
    group:ID                            true: a user is in the group
    tag:KEY

An access key: user (its id; empty for root), secret (sealed, in base64), created, expires (ms), inactive. A managed
policy: name, document, created, updated, description. Where two nodes gave one name twice while they were apart, the
older one has it. The other is nobody, or what policies say of the name would be for two; both are deleted together.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import msgspec

from node.store.meta import Meta
from node.store.table import ReadTxn
from protocol.auth.caller import Caller
from protocol.auth.decision import Named
from protocol.auth.managed import MANAGED
from protocol.auth.policy import Kind, Policy, read_policy
from protocol.auth.principals import PREFIXES, PrincipalKind, principal_arn
from protocol.errors import PolicyInvalid
from protocol.sync.entries import Setting

_PAGE = 1000

Fields = Mapping[str, Setting]


class AccessKey(msgspec.Struct, frozen=True):
    """An access key as it is kept."""

    id: str
    user: str  # Unique id; empty: root.
    secret: str  # Sealed, in base64.
    created: int  # Milliseconds since 1970.
    is_active: bool
    expires: int | None = None  # Milliseconds since 1970.


class Principal(msgspec.Struct, frozen=True):
    """A user, group or role."""

    kind: PrincipalKind
    id: str
    name: str
    arn: str
    created: int  # Milliseconds since 1970.
    generation: int = 1
    is_disabled: bool = False
    password: str | None = None
    trust: str | None = None  # Of a role: who may assume it.
    max_session: int = 3600  # Seconds.
    description: str = ""
    inline: Mapping[str, str] = {}  # Name -> document.
    attached: tuple[str, ...] = ()  # ARNs.
    groups: tuple[str, ...] = ()  # Unique ids.
    tags: tuple[tuple[str, str], ...] = ()


class ManagedPolicy(msgspec.Struct, frozen=True):
    """A policy with an ARN of its own."""

    id: str  # Empty: everyone has it.
    name: str
    arn: str
    document: str
    created: int = 0  # Milliseconds since 1970.
    updated: int = 0
    description: str = ""


class Directory:
    """What there is at one moment; immutable but for what is worked out when it is first asked for."""

    def __init__(
        self,
        account: str,
        principals: Sequence[Principal],
        keys: Sequence[AccessKey],
        policies: Sequence[ManagedPolicy],
        unreadable: Collection[str] = (),
    ) -> None:
        """Take what there is, and the unique ids of what is there and cannot be read."""
        self.account = account
        self._unreadable = frozenset(unreadable)
        self._by_name: dict[tuple[str, str], Principal] = {}
        self._shadowed: list[Principal] = []
        for one in sorted(principals, key=lambda one: (one.created, one.id)):
            if self._by_name.setdefault((one.kind, one.name), one) is not one:
                self._shadowed.append(one)
        self._by_id = {one.id: one for one in self._by_name.values()}
        self._by_arn = {one.arn: one for one in self._by_name.values()}
        self._keys = {one.id: one for one in keys}
        managed = [ManagedPolicy("", arn.rpartition("/")[2], arn, text) for arn, text in MANAGED.items()]
        self._policies: dict[str, ManagedPolicy] = {}
        self._shadowed_policies: list[ManagedPolicy] = []
        for policy in (*managed, *sorted(policies, key=lambda one: (one.created, one.id))):
            if self._policies.setdefault(policy.arn, policy) is not policy:
                self._shadowed_policies.append(policy)
        self._read: dict[str, tuple[Named, ...]] = {}  # By unique id.

    def principals(self, kind: PrincipalKind) -> list[Principal]:
        """Return all of a kind, by name."""
        return [one for (of, _), one in sorted(self._by_name.items()) if of == kind]

    def by_id(self, unique_id: str) -> Principal | None:
        """Return the principal with this unique id."""
        return self._by_id.get(unique_id)

    def by_name(self, kind: PrincipalKind, name: str) -> Principal | None:
        """Return the principal that has this name now."""
        return self._by_name.get((kind, name))

    def all_named(self, kind: PrincipalKind, name: str) -> list[Principal]:
        """Return who has this name now, and those that were given it elsewhere at the same time and lost it."""
        found = self.by_name(kind, name)
        lost = [one for one in self._shadowed if (one.kind, one.name) == (kind, name)]
        return lost if found is None else [found, *lost]

    def all_policies(self, arn: str) -> list[ManagedPolicy]:
        """Return the managed policy with this ARN, and those that lost it likewise."""
        found = self._policies.get(arn)
        lost = [one for one in self._shadowed_policies if one.arn == arn]
        return lost if found is None else [found, *lost]

    def by_arn(self, arn: str) -> Principal | None:
        """Return the principal that has this ARN now."""
        return self._by_arn.get(arn)

    def members(self, group: str) -> list[Principal]:
        """Return the users in the group with this unique id, by name."""
        return [one for one in self.principals("user") if group in one.groups]

    def access_key(self, key: str) -> AccessKey | None:
        """Return the access key with this id, whether it may be used or not."""
        return self._keys.get(key)

    def access_keys(self, user: str) -> list[AccessKey]:
        """Return the keys of the user with this unique id, the oldest first; of root for an empty one."""
        return sorted((one for one in self._keys.values() if one.user == user), key=lambda one: (one.created, one.id))

    def policy(self, arn: str) -> ManagedPolicy | None:
        """Return the managed policy with this ARN."""
        return self._policies.get(arn)

    @cached_property
    def policies(self) -> list[ManagedPolicy]:
        """All managed policies by ARN, those that everyone has among them."""
        return sorted(self._policies.values(), key=lambda one: one.arn)

    def attached_to(self, arn: str) -> list[Principal]:
        """Return whom a managed policy is attached to."""
        return [one for one in self._by_id.values() if arn in one.attached]

    def exists(self, arn: str) -> bool:
        """Whether a principal that a document names is there; one of another account is taken to be."""
        parts = arn.split(":")
        if len(parts) < 6 or parts[4] != self.account:
            return True
        if parts[2] == "sts":
            role = parts[5].removeprefix("assumed-role/").rpartition("/")[0]
            return self.by_name("role", role) is not None
        return parts[5] == "root" or arn in self._by_arn

    def identity_policies(self, caller: Caller) -> tuple[Named, ...]:
        """Return the identity policies of whoever *caller* is: inline, attached, and those of its groups.

        None for root, which needs none, for nobody, for a user that is disabled, and for who is of another account.
        What is there and damaged is there as a policy that cannot be read: it may have denied something.
        """
        unique_id = caller.user_id.partition(":")[0]
        found = self._by_id.get(unique_id)
        if found is None or found.is_disabled:
            return ()
        if unique_id not in self._read:
            groups = [self._by_id[one] for one in found.groups if one in self._by_id]
            damaged = [Named(f"group {one}", None) for one in found.groups if one in self._unreadable]
            read = [named for one in (found, *groups) for named in self._policies_of(one)]
            self._read[unique_id] = (*read, *damaged)
        return self._read[unique_id]

    def _policies_of(self, principal: Principal) -> Iterator[Named]:
        for name, document in principal.inline.items():
            yield Named(f"{principal.kind} {principal.name}, policy {name}", _parsed(document))
        for arn in principal.attached:
            policy = self._policies.get(arn)
            if policy is not None:
                yield Named(arn, _parsed(policy.document))
            elif any(one.startswith(PREFIXES["managed-policy"]) for one in self._unreadable):
                yield Named(arn, None)  # Perhaps that one.


class DirectoryReader:
    """Reads the directory again and again: rows that did not change are not made anew, and nor is it where none did.

    With 5 000 users and 10 000 keys the first time takes 0.3 s and each other one a tenth of that. Called on the event
    loop and, in transactions that write, on the writer's thread: what it keeps is replaced as a whole, and what an
    aborted transaction leaves there is told from the truth by its bytes.
    """

    def __init__(self, account: str, meta: Meta) -> None:
        self._account = account
        self._meta = meta
        self._kept = _Kept({}, Directory(account, [], [], []))

    def read(self, txn: ReadTxn) -> Directory:
        """Return what there is."""
        before = self._kept
        rows: dict[tuple[str, str], tuple[bytes | None, _Row]] = {}
        for group in _GROUPS:
            for name, body in self._encoded(txn, group):
                known = before.rows.get((group, name))
                rows[group, name] = (
                    known if known is not None and known[0] == body else (body, self._made(group, name, body))
                )
        if rows.keys() == before.rows.keys() and all(row is before.rows[key] for key, row in rows.items()):
            return before.directory
        self._kept = kept = _Kept(rows, self._directory([row for _, row in rows.values()]))
        return kept.directory

    def _encoded(self, txn: ReadTxn, group: str) -> Iterator[tuple[str, bytes | None]]:
        after = ""
        while page := self._meta.registers.encoded(txn, group, after=after, limit=_PAGE):
            after = page[-1][0]
            yield from page

    def _made(self, group: str, name: str, body: bytes | None) -> "_Row":
        if body is None:
            return _Unreadable(name)
        state = self._meta.registers.decoded(body)
        if state.ended:
            return None
        fields = state.values()
        if group == "access-key":
            return _access_key(name, fields) if "secret" in fields else None
        if "name" not in fields:  # What made it did not come yet.
            return None
        kind = _KINDS.get(group)
        return (
            _managed(self._account, name, fields) if kind is None else principal_of(self._account, kind, name, fields)
        )

    def _directory(self, rows: Sequence["_Row"]) -> Directory:
        return Directory(
            self._account,
            [row for row in rows if isinstance(row, Principal)],
            [row for row in rows if isinstance(row, AccessKey)],
            [row for row in rows if isinstance(row, ManagedPolicy)],
            [row.id for row in rows if isinstance(row, _Unreadable)],
        )


_KINDS: Mapping[str, PrincipalKind] = {"user": "user", "group": "group", "role": "role"}
_GROUPS = (*_KINDS, "access-key", "managed-policy")


class _Unreadable(msgspec.Struct, frozen=True):
    """A register that is damaged."""

    id: str


_Row: TypeAlias = Principal | AccessKey | ManagedPolicy | _Unreadable | None
"""What a register is; ``None``: nothing, any more or yet."""


@dataclass(frozen=True, slots=True)
class _Kept:
    rows: dict[tuple[str, str], tuple[bytes | None, _Row]]
    directory: Directory


def principal_of(account: str, kind: PrincipalKind, unique_id: str, fields: Fields) -> Principal:
    """Return who the register of this unique id is of."""
    name = str(fields.get("name", ""))

    def under(prefix: str) -> dict[str, str]:
        return {key.removeprefix(prefix): str(value) for key, value in fields.items() if key.startswith(prefix)}

    return Principal(
        kind,
        unique_id,
        name,
        principal_arn(account, kind, name),
        _number(fields, "created"),
        _number(fields, "generation") or 1,
        bool(fields.get("disabled")),
        str(fields["password"]) if "password" in fields else None,
        str(fields["trust"]) if "trust" in fields else None,
        _number(fields, "max-session") or 3600,
        str(fields.get("description", "")),
        under("policy:"),
        tuple(under("attached:")),
        tuple(under("group:")),
        tuple(under("tag:").items()),
    )


def _access_key(key: str, fields: Fields) -> AccessKey:
    return AccessKey(
        key,
        str(fields.get("user", "")),
        str(fields["secret"]),
        _number(fields, "created"),
        not fields.get("inactive"),
        _number(fields, "expires") or None,
    )


def _managed(account: str, unique_id: str, fields: Fields) -> ManagedPolicy:
    name = str(fields.get("name", ""))
    return ManagedPolicy(
        unique_id,
        name,
        principal_arn(account, "policy", name),
        str(fields.get("document", "")),
        _number(fields, "created"),
        _number(fields, "updated"),
        str(fields.get("description", "")),
    )


def _number(fields: Fields, name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0


def _parsed(document: str) -> Policy | None:
    try:
        return read_policy(document.encode(), Kind.IDENTITY)
    except PolicyInvalid:
        return None
