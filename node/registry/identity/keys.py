"""Access keys: an id that anyone may see, and a secret that is shown once.

The secret itself is needed to verify a signature, so it is kept sealed under the registry's key and bound to the id.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from node.registry.identity.directory import AccessKey, Directory, Principal
from node.registry.identity.principals import authorize_user, change, named
from node.registry.identity.uses import forget_use, last_use
from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.keyuse import KeyUse
from protocol.auth.principals import access_key_id, principal_arn, secret_access_key
from protocol.auth.secret import Secret
from protocol.errors import Damaged, LimitExceeded, ParameterInvalid, PrincipalUnknown
from protocol.sync.entries import Setting

MAX_KEYS = 2  # Of one user: one in use, and the next.
_LABEL = "access keys"
_Wanted = Mapping[tuple[str, str], Mapping[str, Setting] | None]


class ShownKey(msgspec.Struct, frozen=True):
    """A key as people see it."""

    key: AccessKey
    user: str  # Name.
    used: KeyUse | None  # Last, at this node.
    is_lost: bool  # Its secret does not open here: see ``secret_of``.


class NewKey(msgspec.Struct, frozen=True):
    """A key with its secret, which nobody sees again."""

    key: AccessKey
    user: str  # Name; empty for root.
    secret: Secret


async def create_key(registry: Registry, caller: Caller, user: str, *, expires: int | None = None) -> NewKey:
    """Give a user one more access key.

    Args:
        registry: that the user is of.
        caller: who asks.
        user: its name.
        expires: milliseconds since 1970 after which it is good for nothing, or ``None``.

    Raises:
        Denied: without ``iam:CreateAccessKey``.
        PrincipalUnknown: there is no such user.
        LimitExceeded: it has as many as it may have, those that have expired not counted: they go.
        ParameterInvalid: it would be over already.
    """
    authorize_user(registry, caller, "iam:CreateAccessKey", user)
    now = int(registry.now() * 1000)
    if expires is not None and expires <= now:
        raise ParameterInvalid("the key would expire before it is made")
    drawn = _draw(registry)

    def write(txn: WriteTxn, directory: Directory) -> _Wanted:
        found = named(directory, "user", user)
        fields: dict[str, Setting] = {"user": found.id, "secret": drawn.sealed, "created": now, "expires": expires}
        return {**_room(registry, txn, directory, found), ("access-key", drawn.id): fields}

    await change(registry, Act(caller, "iam:CreateAccessKey", f"{user}/{drawn.id}"), write)
    return _new_key(registry, user, drawn)


async def rotate_key(registry: Registry, caller: Caller, key: str, *, keep: float) -> NewKey:
    """Give the user of a key the next one, and let the old one expire.

    Args:
        registry: that the user is of.
        caller: who asks.
        key: id of the old one.
        keep: seconds from now for which the old one is still good; one that expires before that does so.

    Raises:
        Denied: without ``iam:CreateAccessKey`` and ``iam:UpdateAccessKey``.
        PrincipalUnknown: there is no such key.
        LimitExceeded: the user has another one beside it already.
    """
    user = _authorize_key(registry, caller, "iam:UpdateAccessKey", key)
    authorize_user(registry, caller, "iam:CreateAccessKey", user)
    now, drawn = int(registry.now() * 1000), _draw(registry)
    until = now + max(int(keep * 1000), 1)

    def write(txn: WriteTxn, directory: Directory) -> _Wanted:
        old, found = _key(directory, key), named(directory, "user", user)
        if old.user != found.id:
            raise PrincipalUnknown(f"there is no access key {key[:128]}")
        fields: dict[str, Setting] = {"user": found.id, "secret": drawn.sealed, "created": now}
        return {
            ("access-key", key): {"expires": min(old.expires or until, until)},
            **_room(registry, txn, directory, found),
            ("access-key", drawn.id): fields,
        }

    await change(registry, Act(caller, "iam:CreateAccessKey", f"{user}/{drawn.id}"), write)
    return _new_key(registry, user, drawn)


def get_key(registry: Registry, caller: Caller, key: str) -> ShownKey:
    """Return a key as people see it.

    Raises:
        Denied: without ``iam:GetAccessKeyLastUsed``.
        PrincipalUnknown: there is no such key.
    """
    user = _authorize_key(registry, caller, "iam:GetAccessKeyLastUsed", key)
    found = _key(registry.directory.get(), key)
    with registry.store.meta.read() as txn:
        return _as_shown(registry, txn, found, user)


def list_keys(registry: Registry, caller: Caller, user: str) -> list[ShownKey]:
    """Return the access keys of a user, the oldest first.

    Raises:
        Denied: without ``iam:ListAccessKeys``.
        PrincipalUnknown: there is no such user.
    """
    authorize_user(registry, caller, "iam:ListAccessKeys", user)
    directory = registry.directory.get()
    keys = directory.access_keys(named(directory, "user", user).id)
    with registry.store.meta.read() as txn:
        return [_as_shown(registry, txn, one, user) for one in keys]


async def set_key_active(registry: Registry, caller: Caller, key: str, *, is_active: bool) -> None:
    """Let a key be used, or not for now; what was issued to its user before is over when it may not be.

    Raises:
        Denied: without ``iam:UpdateAccessKey``.
        PrincipalUnknown: there is no such key.
    """
    user = _authorize_key(registry, caller, "iam:UpdateAccessKey", key)

    def write(_txn: WriteTxn, directory: Directory) -> _Wanted:
        fields: dict[str, Setting] = {"inactive": not is_active or None}
        over = {} if is_active else _over(directory, key)
        return {("access-key", _key(directory, key).id): fields, **over}

    await change(registry, Act(caller, "iam:UpdateAccessKey", f"{user}/{key}"), write)


async def delete_key(registry: Registry, caller: Caller, key: str) -> None:
    """Revoke a key for good; what was issued to its user before is over.

    Raises:
        Denied: without ``iam:DeleteAccessKey``.
        PrincipalUnknown: there is no such key.
    """
    user = _authorize_key(registry, caller, "iam:DeleteAccessKey", key)

    def write(txn: WriteTxn, directory: Directory) -> _Wanted:
        forget_use(registry, txn, key)
        return {("access-key", _key(directory, key).id): None, **_over(directory, key)}

    await change(registry, Act(caller, "iam:DeleteAccessKey", f"{user}/{key}"), write)


def secret_of(registry: Registry, key: AccessKey) -> str | None:
    """Return the secret of a key, for who verifies a signature.

    ``None`` where it does not open here: it was sealed under the keys of a node that was lost, or for another key.
    """
    try:
        return registry.vault.unseal(_LABEL, base64.b64decode(key.secret), f"access-key/{key.id}").decode()
    except (Damaged, ValueError):
        return None


def is_usable(key: AccessKey, now: float) -> bool:
    """Whether a key may be used at *now*, seconds since 1970; its user may be disabled all the same."""
    return key.is_active and (key.expires is None or now * 1000 < key.expires)


def _as_shown(registry: Registry, txn: ReadTxn, key: AccessKey, user: str) -> ShownKey:
    return ShownKey(key, user, last_use(registry, txn, key.id), secret_of(registry, key) is None)


@dataclass(frozen=True, slots=True)
class _Drawn:
    id: str
    secret: Secret
    sealed: str


def _draw(registry: Registry) -> _Drawn:
    new, secret = access_key_id(registry.random(10)), secret_access_key(registry.random(30)).encode()
    sealed = base64.b64encode(registry.vault.seal(_LABEL, secret, f"access-key/{new}")).decode()
    return _Drawn(new, Secret(secret), sealed)


def _new_key(registry: Registry, user: str, drawn: _Drawn) -> NewKey:
    key = registry.directory.get().access_key(drawn.id)
    if key is None:
        raise PrincipalUnknown(f"the user {user} was deleted meanwhile")
    return NewKey(key, user, drawn.secret)


def _room(registry: Registry, txn: WriteTxn, directory: Directory, user: Principal) -> _Wanted:
    """Return what makes room for one more key of *user*: those that have expired go. Raises ``LimitExceeded``."""
    keys, now = directory.access_keys(user.id), registry.now()
    over = [one for one in keys if one.expires is not None and one.expires <= now * 1000]
    if len(keys) - len(over) >= MAX_KEYS:
        raise LimitExceeded(f"{user.name} has {MAX_KEYS} access keys; delete one first")
    for one in over:
        forget_use(registry, txn, one.id)
    return {("access-key", one.id): None for one in over}


def _authorize_key(registry: Registry, caller: Caller, action: str, key: str) -> str:
    """Ask for the user whose key it is; one that there is not is nobody's, and only who may do all of it is told so."""
    directory = registry.directory.get()
    found = directory.access_key(key)
    owner = None if found is None else directory.by_id(found.user)
    user = "" if owner is None else owner.name
    registry.authorize(caller, action, principal_arn(registry.name.account, "user", user or "*"))
    return user


def _key(directory: Directory, key: str) -> AccessKey:
    found = directory.access_key(key)
    if found is None:
        raise PrincipalUnknown(f"there is no access key {key[:128]}")
    return found


def _over(directory: Directory, key: str) -> _Wanted:
    owner = directory.by_id(_key(directory, key).user)
    return {} if owner is None else {(owner.kind, owner.id): {"generation": owner.generation + 1}}
