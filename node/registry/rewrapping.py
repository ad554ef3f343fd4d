"""Rotation: keys are wrapped anew under the key in force, and older ones destroyed. No blob is touched.

What is wrapped under what stands in the files of the keys (``keyring``), so a pass goes through them, a batch at a
time, and changes those that are under another key than they should be. Nothing else is remembered: a node that was
killed in between goes on at its next start. Only after a whole pass, in which nothing failed, the older keys go:
versions of KMS keys, and the master key before.
"""

import structlog
import trio

from node.registry.keyring import KMS, REPOSITORY, kms_key_name, repository_key_name
from node.registry.registry import Registry
from node.store.table import WriteTxn
from protocol.auth.caller import Caller
from protocol.errors import Damaged, NotReady

BATCH = 100  # Keys that are looked at together: some syncs of the disk each, where they are wrapped anew.
_PAUSE = 0.05  # Seconds between two batches, for pulls and pushes.

log = structlog.get_logger()


async def rotate_master_key(registry: Registry, caller: Caller) -> None:
    """Draw a new master key; what is wrapped under the old one is wrapped anew soon, and then that is destroyed.

    Raises:
        Denied: without ``entrepot:RotateMasterKey``.
        NotReady: the last rotation has not ended.
    """
    registry.authorize(caller, "entrepot:RotateMasterKey", None)
    if registry.masters is None:
        raise NotReady("this node does not keep a master key")
    registry.keyring.set_masters(await trio.to_thread.run_sync(registry.masters.begin))
    registry.rewrapping.notify()


async def wrap_anew(registry: Registry) -> int:
    """Make a whole pass; return how many keys were wrapped anew. What cannot be opened keeps the older keys.

    Raises:
        StoreReadOnly: the disk takes nothing.
    """
    keyring, done, failed = registry.keyring, 0, 0
    names = await trio.to_thread.run_sync(keyring.files.names)
    for first in range(0, len(names), BATCH):
        batch = names[first : first + BATCH]
        came, wrong = await trio.to_thread.run_sync(_batch, registry, batch)
        done, failed = done + came, failed + wrong
        if came:
            await trio.sleep(_PAUSE)
    if failed:
        return done
    for name in names:
        if name.startswith(KMS) and await trio.to_thread.run_sync(_is_old, registry, name):
            await trio.to_thread.run_sync(keyring.destroy, name)
    if registry.masters is not None and keyring.has_older_masters:
        await trio.to_thread.run_sync(registry.masters.end)
        keyring.drop_older_masters()
        log.info("the master key was rotated")
    return done


def _batch(registry: Registry, names: list[str]) -> tuple[int, int]:
    done = failed = 0
    for name in names:
        try:
            done += registry.keyring.wrap_anew(name, _wanted(registry, name))
        except Damaged as damage:
            failed += 1
            log.warning("a key cannot be wrapped anew", key=name, reason=str(damage))
    return done, failed


def _wanted(registry: Registry, name: str) -> str:
    """Return the key under which another one should be wrapped."""
    keyring = registry.keyring
    kms = keyring.kms_of(name) if name.startswith(REPOSITORY) else ""
    if not kms:
        return keyring.master
    found = registry.kms_keys.get().find(kms)
    if found is None:  # Its end was said elsewhere: what is under it goes with it.
        return keyring.under(name)
    wanted = kms_key_name(kms, found.version)
    if not keyring.has(wanted):
        keyring.make(wanted, keyring.master)
    return wanted


def _is_old(registry: Registry, name: str) -> bool:
    """Whether a version of a KMS key is not the one in force, and nothing is under it any more."""
    id_, _, version = name.removeprefix(KMS).rpartition("-")
    found = registry.kms_keys.get().find(id_)
    return found is not None and version != str(found.version) and not registry.keyring.wrapped_under(name)


async def delete_stray_keys(registry: Registry) -> int:
    """Destroy keys of repositories that no repository has: of one that was deleted, or not made in the end.

    Raises:
        StoreReadOnly: the disk takes nothing.
    """
    names = [one for one in await trio.to_thread.run_sync(registry.keyring.files.names) if one.startswith(REPOSITORY)]
    if not names:
        return 0

    def known(txn: WriteTxn) -> set[str]:
        rows = registry.store.meta.blobs.domains.items(txn, b"", limit=2**31)
        return {repository_key_name(row.key) for _, row in rows if row.key}

    kept = await registry.store.writer.write(known)  # Behind whoever is making one now: see ``begin_domain``.
    stray = [one for one in names if one not in kept]
    for name in stray:
        await trio.to_thread.run_sync(registry.keyring.destroy, name)
    return len(stray)
