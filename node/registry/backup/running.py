"""What a backup is told by a node that runs: as ``source`` has it, asked of the policies first, blobs under a lease."""

from collections.abc import Sequence
from contextlib import suppress

import trio

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
from protocol.auth.caller import Caller
from protocol.errors import BlobUnknown, Busy
from protocol.oci.digest import Digest

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


def open_large(registry: Registry, caller: Caller, digest: Digest) -> OpenBlob:
    """Return a large blob, whoever sees it; the caller releases it.

    Raises:
        BlobUnknown: there is none of this digest.
    """
    registry.authorize(caller, ACTION, None)
    meta = registry.store.meta
    with meta.read() as txn:
        row = meta.blobs.get(txn, digest)
        if row is None or not row.number:
            raise BlobUnknown(f"no large blob {digest}")
        hashes = meta.blobs.hashes(txn, row)
        registry.store.leases.take(row.number)  # Before anything else runs: who deletes the row looks at leases then.
    return open_chunked(registry, row, hashes)


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
