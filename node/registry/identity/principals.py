"""Users, groups and roles: created, listed, changed, deleted."""

from collections.abc import Callable, Collection, Mapping
from functools import partial

from node.registry.commit import commit_rules
from node.registry.identity.directory import Directory, Principal
from node.registry.identity.uses import forget_use
from node.registry.registers import register_put
from node.registry.registry import Registry
from node.registry.settings import tag_keys
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.conditions import Keys
from protocol.auth.policy import Kind, read_policy
from protocol.auth.principals import PrincipalKind, principal_arn, principal_name, unique_id
from protocol.errors import LimitExceeded, ParameterInvalid, PolicyInvalid, PrincipalExists, PrincipalUnknown
from protocol.rules.tags import MAX_TAGS, resource_tags
from protocol.sync.entries import Known, Setting

MAX_OF_A_KIND = 5000  # IAM's quota of users.
MAX_GROUPS = 10  # In which a user is.
SESSION = range(900, 43_201)  # Seconds that a session of a role may last.
MAX_TRUST = 10_240  # Characters of a trust policy.

_NO_KEYS: Keys = {}

Write = Callable[[WriteTxn, Directory], Mapping[tuple[str, str], Mapping[str, Setting] | None]]
"""Looks at what there is, and returns what to set by group and name; ``None`` ends a register."""


async def create_principal(
    registry: Registry,
    caller: Caller,
    kind: PrincipalKind,
    name: str,
    *,
    trust: str | None = None,
    max_session: int = 3600,
    description: str = "",
    tags: Mapping[str, str] | None = None,
) -> Principal:
    """Create a user, group or role.

    Args:
        registry: to create it in.
        caller: who asks.
        kind: what it is.
        name: unique among its kind.
        trust: of a role, and only of one: the policy that says who may assume it.
        max_session: of a role: seconds that a session may last.
        description: of a role, for people.
        tags: for conditions of policies.

    Raises:
        Denied: without ``iam:CreateUser`` (``Group``, ``Role``).
        ParameterInvalid, PolicyInvalid, TagsInvalid: something given is not what it has to be.
        PrincipalExists: the name is taken.
        LimitExceeded: there are too many.
    """
    action = authorize(registry, caller, "Create", kind, name, tag_keys(tags or {}))
    if (kind == "role") != (trust is not None):
        raise ParameterInvalid("a role has a trust policy, which says who may assume it; nobody else has one")
    fields: dict[str, Setting] = {"name": name, "created": int(registry.now() * 1000), "generation": 1}
    if trust is not None:
        _trust(trust)
        fields |= {"trust": trust, "max-session": _session(max_session), "description": description[:1000] or None}
    fields |= tag_fields(tags or {})
    new = unique_id(kind, registry.random(10))

    def write(_txn: WriteTxn, directory: Directory) -> Mapping[tuple[str, str], Mapping[str, Setting] | None]:
        if directory.by_name(kind, name) is not None:
            raise PrincipalExists(f"there is a {kind} {name}")
        if len(directory.principals(kind)) >= MAX_OF_A_KIND:
            raise LimitExceeded(f"there are {MAX_OF_A_KIND} of kind {kind}; delete some")
        return {(kind, new): fields}

    await change(registry, Act(caller, action, name), write)
    return find_principal(registry, kind, name)


def get_principal(registry: Registry, caller: Caller, kind: PrincipalKind, name: str) -> Principal:
    """Return a user, group or role.

    Raises:
        Denied: without ``iam:GetUser`` (``Group``, ``Role``).
        PrincipalUnknown: there is none of this name.
    """
    authorize(registry, caller, "Get", kind, name)
    return find_principal(registry, kind, name)


def list_principals(registry: Registry, caller: Caller, kind: PrincipalKind) -> list[Principal]:
    """Return all of a kind by name; ``Denied`` without ``iam:ListUsers`` (``Groups``, ``Roles``)."""
    registry.authorize(caller, f"iam:List{kind.capitalize()}s", None)
    return registry.directory.get().principals(kind)


async def delete_principal(registry: Registry, caller: Caller, kind: PrincipalKind, name: str) -> None:
    """Delete a user with its keys, a group, or a role: for good, and what was issued to it is over.

    Raises:
        Denied: without ``iam:DeleteUser`` (``Group``, ``Role``).
        PrincipalUnknown: there is none of this name.
    """
    action = authorize(registry, caller, "Delete", kind, name)

    def write(txn: WriteTxn, directory: Directory) -> Mapping[tuple[str, str], Mapping[str, Setting] | None]:
        named(directory, kind, name)
        ended: dict[tuple[str, str], Mapping[str, Setting] | None] = {}
        for one in directory.all_named(kind, name):
            ended[kind, one.id] = None
            for key in directory.access_keys(one.id):
                ended["access-key", key.id] = None
                forget_use(registry, txn, key.id)
            ended |= {("user", member.id): {f"group:{one.id}": None} for member in directory.members(one.id)}
        return ended

    await change(registry, Act(caller, action, name), write)


async def set_disabled(registry: Registry, caller: Caller, name: str, *, is_disabled: bool) -> None:
    """Let a user do nothing any more, or again; what was issued to it before is over either way.

    Raises:
        Denied: without ``iam:UpdateUser``.
        PrincipalUnknown: there is none of this name.
    """
    await _set(registry, caller, "Update", "user", name, lambda one: {"disabled": is_disabled or None, **_next(one)})


async def set_password(registry: Registry, caller: Caller, name: str, kept: str | None) -> None:
    """Give a user a password, hashed already, or take it away; what was issued to it before is over.

    Raises:
        Denied: without ``iam:UpdateLoginProfile``.
        PrincipalUnknown: there is none of this name.
    """
    action = "iam:UpdateLoginProfile"
    authorize_user(registry, caller, action, name)

    def write(_txn: WriteTxn, directory: Directory) -> Mapping[tuple[str, str], Mapping[str, Setting] | None]:
        found = named(directory, "user", name)
        return {("user", found.id): {"password": kept, **_next(found)}}

    await change(registry, Act(caller, action, name), write)


async def set_trust(registry: Registry, caller: Caller, name: str, trust: str) -> None:
    """Replace the policy that says who may assume a role.

    Raises:
        Denied: without ``iam:UpdateAssumeRolePolicy``.
        PolicyInvalid: it is none.
        PrincipalUnknown: there is no such role.
    """
    action = "iam:UpdateAssumeRolePolicy"
    registry.authorize(caller, action, principal_arn(registry.name.account, "role", principal_name("role", name)))
    _trust(trust)

    def write(_txn: WriteTxn, directory: Directory) -> Mapping[tuple[str, str], Mapping[str, Setting] | None]:
        return {("role", named(directory, "role", name).id): {"trust": trust}}

    await change(registry, Act(caller, action, name), write)


async def set_role(
    registry: Registry, caller: Caller, name: str, *, max_session: int | None, description: str | None
) -> None:
    """Change how long a session of a role may last, or what it says of itself; ``None`` leaves it.

    Raises:
        Denied: without ``iam:UpdateRole``.
        ParameterInvalid: a session cannot last that long.
        PrincipalUnknown: there is no such role.
    """
    fields: dict[str, Setting] = {}
    if max_session is not None:
        fields["max-session"] = _session(max_session)
    if description is not None:
        fields["description"] = description[:1000] or None
    await _set(registry, caller, "Update", "role", name, lambda _: fields)


async def set_groups(registry: Registry, caller: Caller, user: str, groups: Collection[str]) -> None:
    """Let a user be in these groups and in no others, as who keeps the members of groups elsewhere wants it.

    Raises:
        Denied: without ``iam:AddUserToGroup`` and ``iam:RemoveUserFromGroup`` for all groups.
        PrincipalUnknown: there is no such user or group.
        LimitExceeded: there are too many.
    """
    every = principal_arn(registry.name.account, "group", "*")
    for action in ("iam:AddUserToGroup", "iam:RemoveUserFromGroup"):
        registry.authorize(caller, action, every)
    if len(groups) > MAX_GROUPS:
        raise LimitExceeded(f"a user is in at most {MAX_GROUPS} groups")

    def write(_txn: WriteTxn, directory: Directory) -> Mapping[tuple[str, str], Mapping[str, Setting] | None]:
        member = named(directory, "user", user)
        wanted = {named(directory, "group", one).id for one in groups}
        fields: dict[str, Setting] = {f"group:{one}": None for one in member.groups if one not in wanted}
        return {("user", member.id): fields | {f"group:{one}": True for one in wanted}}

    await change(registry, Act(caller, "iam:AddUserToGroup", user), write)


async def set_member(registry: Registry, caller: Caller, group: str, user: str, *, is_in: bool) -> None:
    """Put a user into a group, or take it out.

    Raises:
        Denied: without ``iam:AddUserToGroup`` or ``iam:RemoveUserFromGroup``.
        PrincipalUnknown: there is no such user or group.
        LimitExceeded: it is in too many groups.
    """
    action = "iam:AddUserToGroup" if is_in else "iam:RemoveUserFromGroup"
    registry.authorize(caller, action, principal_arn(registry.name.account, "group", principal_name("group", group)))

    def write(_txn: WriteTxn, directory: Directory) -> Mapping[tuple[str, str], Mapping[str, Setting] | None]:
        member, of = named(directory, "user", user), named(directory, "group", group)
        if is_in and of.id not in member.groups and len(member.groups) >= MAX_GROUPS:
            raise LimitExceeded(f"{user} is in {MAX_GROUPS} groups; take it out of one first")
        return {("user", member.id): {f"group:{of.id}": is_in or None}}

    await change(registry, Act(caller, action, f"{group}/{user}"), write)


def find_principal(registry: Registry, kind: PrincipalKind, name: str) -> Principal:
    """Return who has this name, or raise ``PrincipalUnknown``; whoever asks was allowed to before."""
    return named(registry.directory.get(), kind, name)


def named(directory: Directory, kind: PrincipalKind, name: str) -> Principal:
    """Return who has this name, or raise ``PrincipalUnknown``."""
    found = directory.by_name(kind, name)
    if found is None:
        raise PrincipalUnknown(f"there is no {kind} {name[:128]}")
    return found


def authorize_user(registry: Registry, caller: Caller, action: str, user: str) -> None:
    """Ask whether *caller* may do *action* to a user."""
    registry.authorize(caller, action, principal_arn(registry.name.account, "user", principal_name("user", user)))


def authorize(
    registry: Registry, caller: Caller, verb: str, kind: PrincipalKind, name: str, keys: Keys = _NO_KEYS
) -> str:
    """Ask whether *caller* may do this to a principal, and return the action."""
    action = f"iam:{verb}{kind.capitalize()}"
    registry.authorize(caller, action, principal_arn(registry.name.account, kind, principal_name(kind, name)), keys)
    return action


async def change(registry: Registry, act: Act, write: Write) -> None:
    """Commit what *write* returns, given what there is in the very transaction."""

    def run(txn: WriteTxn) -> None:
        directory = read_now(registry, txn)
        wanted = write(txn, directory)
        put = partial(register_put, registry, txn, act)

        def entries(_dot: object, _hlc: int) -> list[Known]:
            return [
                put(group, name, {} if fields is None else fields, ended=fields is None)
                for (group, name), fields in wanted.items()
            ]

        commit_rules(registry, txn, act, entries)

    await registry.store.writer.write(run)
    registry.changes.notify()


def read_now(registry: Registry, txn: ReadTxn) -> Directory:
    """Return what there is in a transaction, however new."""
    return registry.principals.read(txn)


def tag_fields(tags: Mapping[str, str]) -> dict[str, Setting]:
    """Return the fields of a principal that hold *tags*; ``TagsInvalid`` or ``LimitExceeded`` where they cannot be."""
    checked = resource_tags({"Key": key, "Value": value} for key, value in tags.items())
    if len(checked) > MAX_TAGS:
        raise LimitExceeded(f"{len(checked)} tags; there may be {MAX_TAGS}")
    return {f"tag:{key}": value for key, value in checked.items()}


async def _set(
    registry: Registry,
    caller: Caller,
    verb: str,
    kind: PrincipalKind,
    name: str,
    fields_of: Callable[[Principal], Mapping[str, Setting]],
) -> None:
    action = authorize(registry, caller, verb, kind, name)

    def write(_txn: WriteTxn, directory: Directory) -> Mapping[tuple[str, str], Mapping[str, Setting] | None]:
        found = named(directory, kind, name)
        return {(kind, found.id): fields_of(found)}

    await change(registry, Act(caller, action, name), write)


def _next(one: Principal) -> dict[str, Setting]:
    return {"generation": one.generation + 1}


def _trust(document: str) -> None:
    if len(document) > MAX_TRUST:
        raise PolicyInvalid(f"the trust policy has {len(document)} characters; {MAX_TRUST} are taken")
    read_policy(document.encode(), Kind.TRUST)


def _session(seconds: int) -> int:
    if seconds not in SESSION:
        raise ParameterInvalid(f"a session lasts {SESSION.start} to {SESSION.stop - 1} seconds, not {seconds}")
    return seconds
