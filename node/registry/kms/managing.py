"""Making, listing, rotating, disabling and deleting KMS keys.

Rotating one raises its version; what is wrapped under an older one is wrapped anew by ``rewrapping``, which then
destroys that. A key that is deleted waits first, for as long as whoever deletes it says, and may not be used: until
then that is undone by enabling it. Then its files are overwritten, and what was kept under it is lost for good.
"""

import re

import msgspec
import trio

from node.registry.commit import commit_rules
from node.registry.keyring import KMS
from node.registry.kms.keys import DEFAULT_ALIAS, GROUP, MAX_KEYS, KmsKey
from node.registry.registers import register_put
from node.registry.registry import Registry
from node.registry.sealing import make_kms_key
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.errors import KeyUnusable, LimitExceeded, ParameterInvalid
from protocol.sync.entries import Setting

MIN_DAYS, MAX_DAYS = 7, 30
"""How long a key waits before it is deleted; as at KMS."""
_ALIAS = re.compile(r"alias/[A-Za-z0-9/_-]{1,250}", re.ASCII)
_DAY = 86_400_000  # Milliseconds.


class KeyShown(msgspec.Struct, frozen=True):
    """A KMS key, for people."""

    id: str
    arn: str
    alias: str
    state: str
    version: int
    repositories: int  # That are encrypted under it.
    stale: int  # Of these: whose keys are not wrapped under its last version yet.
    created: float  # Seconds since 1970, UTC.
    rotated: float
    deletion: float  # When it goes; 0: it does not.
    description: str


async def create_key(registry: Registry, caller: Caller, *, alias: str, description: str) -> KeyShown:
    """Make a key; *alias* may be empty, or is ``alias/...``, and no other key has it.

    Raises:
        Denied: without ``kms:CreateKey``.
        ParameterInvalid: the alias is none, or taken.
        LimitExceeded: there are as many as there may be.
    """
    action = "kms:CreateKey"
    registry.authorize(caller, action, None)
    if alias and (not _ALIAS.fullmatch(alias) or alias.startswith("alias/aws/")):
        raise ParameterInvalid(
            "an alias is alias/NAME, of letters, digits, / _ and -, and does not begin with alias/aws/"
        )

    def run(txn: WriteTxn) -> KmsKey:
        keys = registry.kms_keys.get()
        if alias and keys.find(alias) is not None:
            raise ParameterInvalid(f"{alias} is the alias of {keys.require(alias).arn}")
        if len(keys.all()) >= MAX_KEYS:
            raise LimitExceeded(f"there are {MAX_KEYS} keys, and may not be more")
        return make_kms_key(
            registry, txn, Act(caller, action, alias or "kms:key"), alias=alias, description=description
        )

    made = await registry.store.writer.write(run)
    registry.changes.notify()
    return _shown(registry, made)


async def list_keys(registry: Registry, caller: Caller) -> list[KeyShown]:
    """Return all keys, the oldest first; ``Denied`` without ``kms:ListKeys``."""
    registry.authorize(caller, "kms:ListKeys", None)
    keys = registry.kms_keys.get().all()
    return await trio.to_thread.run_sync(lambda: [_shown(registry, one) for one in keys])


async def rotate_key(registry: Registry, caller: Caller, name: str) -> KeyShown:
    """Draw a new version of a key; what is kept under it is wrapped anew soon, and no blob is written again.

    Raises:
        Denied: without ``kms:RotateKeyOnDemand``.
        KeyUnusable: there is none, or it may not be used.
    """
    action = "kms:RotateKeyOnDemand"
    registry.authorize(caller, action, None)
    key, now = registry.kms_keys.get().require(name), int(registry.now() * 1000)
    return await _put(registry, caller, action, key, {"version": key.version + 1, "rotated": now})


async def disable_key(registry: Registry, caller: Caller, name: str) -> KeyShown:
    """Let nobody use a key until it is enabled again.

    Raises:
        Denied: without ``kms:DisableKey``.
        KeyUnusable: there is none.
    """
    registry.authorize(caller, "kms:DisableKey", None)
    return await _put(registry, caller, "kms:DisableKey", _found(registry, name), {"disabled": True})


async def enable_key(registry: Registry, caller: Caller, name: str) -> KeyShown:
    """Let a key be used again that was disabled, or is to be deleted and still there.

    Raises:
        Denied: without ``kms:EnableKey``.
        KeyUnusable: there is none.
    """
    registry.authorize(caller, "kms:EnableKey", None)
    fields: dict[str, Setting] = {"disabled": None, "deletion": None}
    return await _put(registry, caller, "kms:EnableKey", _found(registry, name), fields)


async def schedule_deletion(registry: Registry, caller: Caller, name: str, *, days: int) -> KeyShown:
    """Have a key deleted after *days*; nobody can use it from now on.

    Raises:
        Denied: without ``kms:ScheduleKeyDeletion``.
        ParameterInvalid: it has to wait for longer, or not as long; or it is the default key.
        KeyUnusable: there is none.
    """
    registry.authorize(caller, "kms:ScheduleKeyDeletion", None)
    key = _found(registry, name)
    if not MIN_DAYS <= days <= MAX_DAYS:
        raise ParameterInvalid(f"a key waits for {MIN_DAYS} to {MAX_DAYS} days before it is deleted")
    if key.alias == DEFAULT_ALIAS:
        raise ParameterInvalid(f"{DEFAULT_ALIAS} stays: repositories that name no key are encrypted under it")
    fields: dict[str, Setting] = {"deletion": int(registry.now() * 1000) + days * _DAY}
    return await _put(registry, caller, "kms:ScheduleKeyDeletion", key, fields)


async def delete_due_keys(registry: Registry, caller: Caller) -> int:
    """Destroy the keys whose time has come; return how many went. What was kept under them is lost.

    Raises:
        Denied: without ``kms:DeleteKey``.
        StoreReadOnly: the disk does not take it; they are tried again.
    """
    registry.authorize(caller, "kms:DeleteKey", None)
    now = registry.now() * 1000
    due = [one for one in registry.kms_keys.get().all() if one.deletion and one.deletion <= now]
    for key in due:
        for name in await trio.to_thread.run_sync(registry.keyring.files.names):
            if name.startswith(f"{KMS}{key.id}-"):
                await trio.to_thread.run_sync(registry.keyring.destroy, name)
        await _write(registry, Act(caller, "kms:DeleteKey", key.arn), key, {}, ended=True)
    if due:
        registry.keyring.forget()
    return len(due)


def _found(registry: Registry, name: str) -> KmsKey:
    found = registry.kms_keys.get().find(name)
    if found is None:
        raise KeyUnusable("NotFoundException", f"Key '{name}' does not exist")
    return found


async def _put(registry: Registry, caller: Caller, action: str, key: KmsKey, fields: dict[str, Setting]) -> KeyShown:
    await _write(registry, Act(caller, action, key.arn), key, fields)
    registry.rewrapping.notify()
    return await trio.to_thread.run_sync(lambda: _shown(registry, _found(registry, key.id)))


async def _write(registry: Registry, act: Act, key: KmsKey, fields: dict[str, Setting], *, ended: bool = False) -> None:
    def run(txn: WriteTxn) -> None:
        entry = register_put(registry, txn, act, GROUP, key.id, fields, ended=ended)
        commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])

    await registry.store.writer.write(run)
    registry.changes.notify()


def _shown(registry: Registry, key: KmsKey) -> KeyShown:
    used = registry.keyring.wrapped_under(f"{KMS}{key.id}-")
    return KeyShown(
        key.id,
        key.arn,
        key.alias,
        key.state,
        key.version,
        len(used),
        sum(under != f"{KMS}{key.id}-{key.version}" for under in used.values()),
        key.created / 1000,
        key.rotated / 1000,
        key.deletion / 1000,
        key.description,
    )
