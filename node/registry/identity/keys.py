"""Access keys: an id that anyone may see, and a secret that is shown once.

The secret itself is needed to verify a signature, so it is kept sealed under the registry's key and bound to the id.
"""

import base64
from collections.abc import Mapping

import msgspec

from node.registry.identity.directory import AccessKey, Directory
from node.registry.identity.principals import change, named
from node.registry.registry import Registry
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.principals import access_key_id, principal_arn, principal_name, secret_access_key
from protocol.auth.secret import Secret
from protocol.errors import LimitExceeded, ParameterInvalid, PrincipalUnknown
from protocol.sync.entries import Setting

MAX_KEYS = 2  # Of one user: one in use, and the next.
_LABEL = "access keys"
_Wanted = Mapping[tuple[str, str], Mapping[str, Setting] | None]


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
        LimitExceeded: it has as many as it may have.
        ParameterInvalid: it would be over already.
    """
    _authorize(registry, caller, "iam:CreateAccessKey", user)
    now = int(registry.now() * 1000)
    if expires is not None and expires <= now:
        raise ParameterInvalid("the key would expire before it is made")
    new, secret = access_key_id(registry.random(10)), secret_access_key(registry.random(30))
    sealed = base64.b64encode(registry.vault.seal(_LABEL, secret.encode(), f"access-key/{new}")).decode()

    def write(_txn: WriteTxn, directory: Directory) -> _Wanted:
        found = named(directory, "user", user)
        if len(directory.access_keys(found.id)) >= MAX_KEYS:
            raise LimitExceeded(f"{user} has {MAX_KEYS} access keys; delete one first")
        fields: dict[str, Setting] = {"user": found.id, "secret": sealed, "created": now, "expires": expires}
        return {("access-key", new): fields}

    await change(registry, Act(caller, "iam:CreateAccessKey", f"{user}/{new}"), write)
    key = registry.directory.get().access_key(new)
    assert key is not None
    return NewKey(key, user, Secret(secret.encode()))


def list_keys(registry: Registry, caller: Caller, user: str) -> list[AccessKey]:
    """Return the access keys of a user, the oldest first, their secrets sealed.

    Raises:
        Denied: without ``iam:ListAccessKeys``.
        PrincipalUnknown: there is no such user.
    """
    _authorize(registry, caller, "iam:ListAccessKeys", user)
    directory = registry.directory.get()
    return directory.access_keys(named(directory, "user", user).id)


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

    def write(_txn: WriteTxn, directory: Directory) -> _Wanted:
        return {("access-key", _key(directory, key).id): None, **_over(directory, key)}

    await change(registry, Act(caller, "iam:DeleteAccessKey", f"{user}/{key}"), write)


def secret_of(registry: Registry, key: AccessKey) -> str:
    """Return the secret of a key, for who verifies a signature; ``Damaged`` where it does not open."""
    return registry.vault.unseal(_LABEL, base64.b64decode(key.secret), f"access-key/{key.id}").decode()


def is_usable(key: AccessKey, now: float) -> bool:
    """Whether a key may be used at *now*, seconds since 1970; its user may be disabled all the same."""
    return key.is_active and (key.expires is None or now * 1000 < key.expires)


def _authorize(registry: Registry, caller: Caller, action: str, user: str) -> None:
    registry.authorize(caller, action, principal_arn(registry.name.account, "user", principal_name("user", user)))


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
