"""One damaged row: by its seal where one byte is wrong, else by what its table says that it follows from."""

from collections.abc import Callable
from functools import partial

import structlog
import trio

from node.registry.damage import note_place
from node.registry.mending.contents import mend_content, mend_map, mend_record
from node.registry.mending.derived import REBUILDS, Mending
from node.registry.mending.lost import Lost
from node.registry.mending.missing import find_missing, put_missing
from node.registry.mending.replay import (
    Replay,
    rebuilt_image,
    rebuilt_register,
    rebuilt_repository,
    rebuilt_tag,
    replay_of,
)
from node.registry.registry import Registry
from node.store.damage import Place
from node.store.mend import mended
from node.store.rows import RepositoryRow
from node.store.table import BytesTable, WriteTxn, is_sealed
from protocol.oci.digest import unpacked
from protocol.oci.names import TagName
from protocol.sync.images import ImageState
from protocol.sync.tags import TagState

REPLAYED = frozenset(
    {"registers", "repositories", "repositories-deleted", "images", "images-deleted", "tags", "tags-deleted"}
)

_OF_BURIED = frozenset({"images", "images-deleted", "tags", "tags-deleted", "tag-history"})
"""Tables of which a row that lies in a deleted repository cannot be told from one of its next life."""

log = structlog.get_logger()


async def mend_row(registry: Registry, table: BytesTable, key: bytes) -> None:
    """Mend one row.

    Raises:
        Lost: nothing leads back to it, or not yet.
        Damaged: what it follows from is damaged as well.
    """
    value = await trio.to_thread.run_sync(_raw, registry, table, key)
    if value is not None and is_sealed(key, value):
        return
    right = None if value is None else await trio.to_thread.run_sync(mended, key, value)
    if right is None and table.name in _OF_BURIED and _is_buried(registry, key):
        raise Lost("it lies in a repository that was deleted, and goes with it", may_come=True)
    if right is not None:
        await registry.store.writer.write(partial(_put_right, table, key, value, right))
        return
    try:
        await _mend_by_table(registry, table, key)
    except Lost as lost:
        if not lost.is_nobodys:
            raise
        await _drop(registry, table, key)


def _raw(registry: Registry, table: BytesTable, key: bytes) -> bytes | None:
    with registry.store.meta.read() as txn:
        return table.raw(txn, key)


def _is_buried(registry: Registry, key: bytes) -> bool:
    with registry.store.meta.read() as txn:
        return registry.store.meta.repositories.burials.has(txn, key[:8])


def _put_right(table: BytesTable, key: bytes, wrong: bytes | None, right: tuple[bytes, bytes], txn: WriteTxn) -> None:
    if table.raw(txn, key) == wrong:
        table.remove(txn, key)
        txn.put(*right, db=table.db)


async def _mend_by_table(registry: Registry, table: BytesTable, key: bytes) -> None:
    meta, now = registry.store.meta, registry.now()
    if table.name == "contents":
        await mend_content(registry, key)
    elif table.name == "journal":
        await mend_record(registry, key)
    elif table.name == "maps":
        await mend_map(registry, key)
    elif table.name in REPLAYED:
        replay = replay_of(meta, table.name, key)
        await trio.to_thread.run_sync(replay.prepare, meta)
        await registry.store.writer.write(partial(_put_replayed, registry, table, key, replay))
    elif table.name in REBUILDS:
        rebuild = REBUILDS[table.name]

        def run(txn: WriteTxn) -> None:
            if _is_wrong(table, txn, key):
                table.remove(txn, key)
                rebuild(Mending(meta, registry.store.chunks, txn, now), key)

        await registry.store.writer.write(run)
    else:
        raise Lost("restore it from a backup: nothing else has it")


def _is_wrong(table: BytesTable, txn: WriteTxn, key: bytes) -> bool:
    """Whether the row is damaged still, or not there: then others speak of it."""
    value = table.raw(txn, key)
    return value is None or not is_sealed(key, value)


def _put_replayed(registry: Registry, table: BytesTable, key: bytes, replay: Replay, txn: WriteTxn) -> None:
    meta = registry.store.meta
    if not _is_wrong(table, txn, key):
        return
    replay.finish(meta, txn)
    if table.name == "registers":
        register = rebuilt_register(replay)
        table.remove(txn, key)
        meta.registers.rows.put(txn, key, register)
        return
    rebuilt: dict[str, Callable[[], RepositoryRow | ImageState | TagState | None]] = {
        "repositories": lambda: rebuilt_repository(meta, txn, key, replay),
        "images": lambda: rebuilt_image(meta, txn, key, replay),
        "tags": lambda: rebuilt_tag(meta, txn, key, replay),
    }
    state = rebuilt[table.name.removesuffix("-deleted")]()
    table.remove(txn, key)
    repository = int.from_bytes(key[:8], "big")
    if isinstance(state, RepositoryRow):
        deleted = meta.repositories.deleted
        (deleted if table is deleted.bytes else meta.repositories.rows).put(txn, key, state)
    elif table.name.startswith("images"):
        assert not isinstance(state, TagState)
        meta.images.put(txn, repository, unpacked(key[8:]), state)
    else:
        assert not isinstance(state, ImageState)
        meta.tags.put(txn, repository, TagName(key[8:].decode()), state)


async def _drop(registry: Registry, table: BytesTable, key: bytes) -> None:
    """A row of a key that nothing knows of goes; what it may have been is looked for."""
    meta, now = registry.store.meta, registry.now()

    def run(txn: WriteTxn) -> None:
        if _is_wrong(table, txn, key):
            table.remove(txn, key)
            put_missing(Mending(meta, registry.store.chunks, txn, now), table.name)

    await registry.store.writer.write(run)
    log.warning("damaged row set aside", table=table.name, key=key.hex())
    for name, other in await trio.to_thread.run_sync(find_missing, meta, table.name):
        note_place(registry, Place(name, other))
