"""Chunks that nothing names: of uploads and transfers that were under way when the node was killed, or cut short."""

import trio

from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.errors import Damaged, Refusal

_PAGE = 250  # Numbers that are looked at together: a millisecond or two of the event loop.


async def delete_orphans(registry: Registry) -> int:
    """Free chunks from before this start that no blob and no upload names; return how many numbers had some.

    Numbers given since the start are left alone: theirs are under way. ``Damaged`` where an upload cannot be read: its
    chunks could be any.
    """
    store, meta = registry.store, registry.store.meta
    above, found = 0, 0
    with meta.read() as txn:
        kept = _upload_numbers(registry, txn)  # Of before this start: no upload gets one of those numbers any more.
    while True:
        with store.chunks.read() as chunk_txn:
            numbers = store.chunks.numbers(chunk_txn, above=above, below=store.first_number, limit=_PAGE)
        if not numbers:
            return found
        above = numbers[-1]
        with meta.read() as txn:
            orphans = [one for one in numbers if one not in kept and not meta.blobs.is_numbered(txn, one)]
        for number in orphans:
            registry.transits.free_when_unread(number)  # A reader of a blob that has gone since may still have one.
        await registry.transits.delete_leftovers()
        await trio.lowlevel.checkpoint()
        found += len(orphans)


async def delete_abandoned(registry: Registry) -> int:
    """Free the chunks of requests that were cut short, unless they are named after all; return how many were not.

    A write that was queued when its request was cancelled is done all the same. So they are looked at in a write.
    """
    numbers = registry.abandoned - {0}
    registry.abandoned.clear()
    if not numbers:
        return 0

    def run(txn: WriteTxn) -> list[int]:
        kept = _upload_numbers(registry, txn)
        return [one for one in numbers if one not in kept and not registry.store.meta.blobs.is_numbered(txn, one)]

    try:
        free = await registry.store.writer.write(run)
    except Damaged:
        registry.abandoned.update(numbers)  # Until the upload is mended, or set aside.
        return 0
    except Refusal:
        registry.abandoned.update(numbers)  # The disk is full: they are looked at again.
        raise
    for number in free:
        registry.transits.free_when_unread(number)
    await registry.transits.delete_leftovers()
    return len(free)


def _upload_numbers(registry: Registry, txn: ReadTxn) -> set[int]:
    found: set[int] = set()
    last = b""
    while page := registry.store.meta.uploads.rows.items(txn, b"", after=last, limit=_PAGE):
        found |= {number for _, row in page for number in (row.number, row.tail)}
        last = page[-1][0]
    return found
