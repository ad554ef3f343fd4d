"""What a backup is told by a node that runs: as ``source`` has it, asked of the policies first, blobs under a lease."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial

import msgspec
import trio
from blake3 import blake3

from node.registry.backup.source import (
    Content,
    Ending,
    Page,
    Started,
    Who,
    contents,
    ending,
    record,
    records,
    rows,
    start,
)
from node.registry.blobs import open_chunked
from node.registry.elsewhere import OpenBlob
from node.registry.registry import Registry
from node.registry.sealing import any_data_key, chunked
from node.store.blobs import Chunked
from node.store.copies import copy_name
from node.store.extents import Span
from node.store.sealedmap import plaintext
from protocol.auth.caller import Caller
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import BlobUnknown, Busy, Damaged, KeyUnusable

ACTION = "entrepot:Backup"
"""What a caller has to be allowed: it reads all that there is."""

_ENDED = "backup-ended"  # In the table of documents.


def start_backup(registry: Registry, caller: Caller, who: Who) -> Started:
    """Return what a backup begins with; ``Denied`` without ``entrepot:Backup``, as all here."""
    registry.authorize(caller, ACTION, None)
    with registry.store.chunks.read() as txn:
        chunks = registry.store.chunks.count(txn)
    return start(registry.store.meta, who, chunks, registry.now())


def read_record(registry: Registry, caller: Caller, position: int) -> bytes | None:
    """Return one record, ``None`` where there is none."""
    registry.authorize(caller, ACTION, None)
    return record(registry.store.meta, position)


def read_records(registry: Registry, caller: Caller, after: int, last: int) -> Page:
    """Return some records."""
    registry.authorize(caller, ACTION, None)
    return records(registry.store.meta, after, last)


def read_rows(registry: Registry, caller: Caller, table: str, after: bytes) -> Page:
    """Return some rows."""
    registry.authorize(caller, ACTION, None)
    return rows(registry.store.meta, table, after)


async def fix_ending(registry: Registry, caller: Caller) -> Ending:
    """Fix the last record; in a thread, for there may be many repositories."""
    registry.authorize(caller, ACTION, None)
    return await trio.to_thread.run_sync(ending, registry.store.meta)


def read_contents(registry: Registry, caller: Caller, digests: Sequence[bytes]) -> list[Content]:
    """Return small blobs."""
    registry.authorize(caller, ACTION, None)
    return contents(registry.store.meta, digests)


async def hash_sealed(registry: Registry, caller: Caller, copy: str) -> tuple[bytes, int]:
    """Return the BLAKE3 and the length of a large copy that is sealed, as ``open_large`` gives it; raises as that."""
    blob = open_large(registry, caller, copy)
    try:
        state, length = blake3(), 0
        async for piece in blob.read(0, blob.size):
            assert isinstance(piece, bytes)  # Of a sealed copy.
            await trio.to_thread.run_sync(state.update, piece)
            length += len(piece)
        return state.digest(), length
    finally:
        blob.release()


def read_keys(registry: Registry, caller: Caller) -> dict[str, bytes]:
    """Return the files with wrapped keys, by name."""
    registry.authorize(caller, ACTION, None)
    return dict(registry.keyring.files.files())


def open_large(registry: Registry, caller: Caller, copy: str) -> OpenBlob:
    """Return a large blob, whoever sees it, as it is kept, with its map where that is sealed; the caller releases it.

    A sealed one is compared as far as its key may be used.

    Raises:
        BlobUnknown: there is none of this digest.
    """
    registry.authorize(caller, ACTION, None)
    meta = registry.store.meta
    with meta.read() as txn:
        digest = copy_name(copy)
        row = meta.blobs.get(txn, digest)
        if row is None or not row.number:
            raise BlobUnknown(f"no large blob {digest}")
        content, trailer = Chunked(row, b""), b""
        if not row.key:
            content = chunked(registry, txn, row, None)
        else:
            trailer = msgspec.msgpack.encode(meta.blobs.map_parts(txn, row))
            with suppress(KeyUnusable, Damaged):
                content = chunked(registry, txn, row, any_data_key(registry, txn, digest, row))
        registry.store.leases.take(row.number)  # Before anything else runs: who deletes the row looks at leases then.
    if not row.key:
        return open_chunked(registry, content)
    read = partial(_read_kept, registry, content, trailer)
    release = partial(registry.store.leases.release, row.number)
    return OpenBlob(row.size + len(trailer), registry.store.chunks.fd, read, release)


async def _read_kept(
    registry: Registry, content: Chunked, trailer: bytes, start: int, length: int
) -> AsyncIterator[bytes | Span]:
    row, end = content.row, start + length

    def load(index: int) -> bytes:
        kept = registry.store.chunks.load(row.number, index, min(CHUNK_SIZE, row.size - index * CHUNK_SIZE))
        if content.key is not None:
            plaintext(content, index, kept)
        return kept

    while start < min(end, row.size):
        index, skip = divmod(start, CHUNK_SIZE)
        kept = (await trio.to_thread.run_sync(load, index))[skip : skip + end - start]
        start += len(kept)
        yield kept
    if start < end:
        yield trailer[start - row.size : end - row.size]


async def note_backup(registry: Registry, caller: Caller) -> None:
    """Remember that a backup was made; where nothing can be written it counts all the same, and is not remembered."""
    registry.authorize(caller, ACTION, None)
    now = int(registry.now())
    with suppress(Busy):
        await registry.store.writer.write(lambda txn: registry.store.meta.documents.put_number(txn, _ENDED, now))


def last_backup(registry: Registry) -> int:
    """Return when the last backup of this node while it ran was made, in seconds since 1970; 0 where none was."""
    with registry.store.meta.read() as txn:
        return registry.store.meta.documents.number(txn, _ENDED)
