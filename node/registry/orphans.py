"""Chunks that nothing names: of uploads and transfers that were under way when the node was killed."""

from node.registry.registry import Registry
from node.store.table import ReadTxn

_PAGE = 1000  # Numbers that are looked at together.


async def delete_orphans(registry: Registry) -> int:
    """Free chunks from before this start that no blob and no upload names; return how many numbers had some.

    Numbers given since the start are left alone: theirs are under way.
    """
    store, meta = registry.store, registry.store.meta
    above, found = 0, 0
    while True:
        with store.chunks.read() as chunk_txn:
            numbers = store.chunks.numbers(chunk_txn, above=above, below=store.first_number, limit=_PAGE)
        if not numbers:
            return found
        above = numbers[-1]
        with meta.read() as txn:
            kept = _upload_numbers(registry, txn)
            orphans = [one for one in numbers if one not in kept and not meta.blobs.is_numbered(txn, one)]
        for number in orphans:
            await store.delete_chunks(number)
        found += len(orphans)


def _upload_numbers(registry: Registry, txn: ReadTxn) -> set[int]:
    found: set[int] = set()
    last = b""
    while page := registry.store.meta.uploads.page(txn, after=last, limit=_PAGE):
        found |= {row.number for _, row in page}
        last = page[-1][0]
    return found
