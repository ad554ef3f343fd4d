"""Rows that should be there: for where a key was damaged so much that nobody knows what it was.

Then its row goes, and what is missing is looked for: of an index all that it should have, of other tables what others
speak of. Slow, and rare.
"""

from collections.abc import Callable, Iterator

from node.registry.mending.derived import Mending
from node.registry.mending.replay import missing_places
from node.store.meta import Meta
from node.store.replicas import open_key
from node.store.rows import pointed_at
from node.store.table import ReadTxn
from protocol.oci.digest import packed

_ALL = 2**31


def put_missing(mending: Mending, table: str) -> None:
    """Put all rows of an index that should be there."""
    expected, index = _EXPECTED.get(table), next(one for one in mending.meta.tables() if one.name == table)
    for key in expected(mending.meta, mending.txn) if expected else ():
        if not index.has(mending.txn, key):
            index.put(mending.txn, key, b"")


def find_missing(meta: Meta, table: str) -> list[tuple[str, bytes]]:
    """Return (table, key) of rows that others speak of and that are not there. Slow: for a thread."""
    match table:
        case "images" | "images-deleted" | "tags" | "tags-deleted":
            return missing_places(meta, images=table.startswith("images"))
        case "blobs":
            with meta.read() as txn:
                shorts = {short for _, short in meta.blobs.numbers.sound(txn, b"", limit=_ALL)}
                shorts |= set(meta.blobs.contents.keys(txn, b"", limit=_ALL))
                return [("blobs", one) for one in sorted(shorts) if not meta.blobs.rows.bytes.has(txn, one)]
        case "links":
            with meta.read() as txn:
                keys = [key[-8:] + key[:-8] for key in meta.blobs.holders.keys(txn, b"", limit=_ALL)]
                return [("links", one) for one in keys if not meta.blobs.links.bytes.has(txn, one)]
        case "contents":
            with meta.read() as txn:
                rows = meta.blobs.rows.sound(txn, b"", limit=_ALL)
                small = [key for key, row in rows if not row.number]
                return [("contents", one) for one in small if not meta.blobs.contents.has(txn, one)]
        case _:
            return []


def _parents(meta: Meta, txn: ReadTxn) -> Iterator[bytes]:
    for key, image in meta.images.alive.sound(txn, b"", limit=_ALL):
        for child in image.shown.value.children if image.shown else ():
            yield key[:8] + packed(child) + key[8:]


def _referrers(meta: Meta, txn: ReadTxn) -> Iterator[bytes]:
    for key, image in meta.images.alive.sound(txn, b"", limit=_ALL):
        if image.shown and image.shown.value.subject is not None:
            yield key[:8] + packed(image.shown.value.subject) + key[8:]


def _tags_of_image(meta: Meta, txn: ReadTxn) -> Iterator[bytes]:
    for key, tag in meta.tags.alive.sound(txn, b"", limit=_ALL):
        digest = pointed_at(tag)
        if digest is not None:
            yield key[:8] + packed(digest) + key[8:]


def _holders(meta: Meta, txn: ReadTxn) -> Iterator[bytes]:
    for key in meta.blobs.links.bytes.keys(txn, b"", limit=_ALL):
        yield key[8:] + key[:8]


def _due(meta: Meta, txn: ReadTxn) -> Iterator[bytes]:
    for key, link in meta.blobs.links.sound(txn, b"", limit=_ALL):
        if link.due:
            yield link.due.to_bytes(8, "big") + key
    for key, row in meta.blobs.rows.sound(txn, b"", limit=_ALL):
        if not row.holds:
            yield bytes(16) + key  # Looked at now, and left where it is not to go.


def _open(meta: Meta, txn: ReadTxn) -> Iterator[bytes]:
    for key, row in meta.replicas.statuses.sound(txn, b"", limit=_ALL):
        destination, _, image = key.partition(b"\0")
        if row.status != "COMPLETE":
            yield open_key(destination.decode(), row.wanted, image)


_EXPECTED: dict[str, Callable[[Meta, ReadTxn], Iterator[bytes]]] = {
    "parents": _parents,
    "referrers": _referrers,
    "tags-of-image": _tags_of_image,
    "holders": _holders,
    "due": _due,
    "replication-open": _open,
}
