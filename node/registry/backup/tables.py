"""Which tables are in a backup, which are worked out again from records, and which are left out on purpose.

A test compares this with all tables that there are: who adds one decides here what becomes of it.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from node.store.blobs import BlobRow, LinkRow
from node.store.meta import Meta
from node.store.table import BytesTable

Keep: TypeAlias = Callable[[bytes], bytes | None]
"""What becomes of a row's body in the backup; ``None``: the row is left out."""

_encode = msgspec.msgpack.Encoder().encode
_blob = msgspec.msgpack.Decoder(BlobRow).decode
_link = msgspec.msgpack.Decoder(LinkRow).decode

FIRST = ("replication-taken",)
"""Read before the last record is fixed: what is said to be taken is then in the records."""

THEN = (
    "documents",
    "image-notes",
    "replication-status",
    "replication-arrived",
    "audit-checkpoints",
    "audit",
    "links",
    "data-keys",
    "blobs",
)
"""Read after that: what the records name is then in them. What they say of later records is cut off by a restore."""

AT_ONCE = ("cursors", "repository-names", "domains")
"""Read in the transaction that fixes the last record. Repositories have numbers in the keys of other tables, of which a
delete gives them new ones, and a restore others again."""

KEYS = "keys"
"""Files with wrapped keys, by name; read last, so that all are there that rows name."""

EARLIER = "links-earlier"
"""The links once more, as they were shortly before the last record: those of a repository that is deleted after it go
at once. A restore takes from here what an image names."""

DERIVED = frozenset(
    {
        "repositories",
        "repositories-deleted",
        "repository-burials",
        "images",
        "images-deleted",
        "parents",
        "referrers",
        "tags",
        "tags-deleted",
        "tag-history",
        "tags-of-image",
        "contents",
        "maps",
        "numbers",
        "holders",
        "due",
        "journal",
        "records",
        "heads",
        "sums",
        "replication-open",
        "registers",
    }
)
"""Come back with the records and the blobs."""

LEFT_OUT = frozenset({"uploads", "damage"})
"""An upload that has not ended is begun anew; what was damaged on one disk is not on another."""


def _whole(body: bytes) -> bytes:
    return body


def _seen(body: bytes) -> bytes | None:
    """A link that was seen; how many images name it is counted again, and when it is due begins anew."""
    return b"" if _link(body).seen else None


class Sized(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of the row of a blob."""

    size: int
    is_large: bool
    key: bytes = b""  # Of one that is sealed, as in ``BlobPlace``,
    root: bytes = b""  # likewise.


def _size(body: bytes) -> bytes:
    row = _blob(body)
    if row.key:
        return _encode(Sized(row.size, bool(row.number), row.key, row.root))
    return _encode((row.size, bool(row.number)))


_KEPT: Mapping[str, Keep] = {"links": _seen, "blobs": _size}


def kept(name: str) -> Keep:
    """Return what becomes of the rows of a table."""
    return _KEPT.get(name, _whole)


def carried(meta: Meta) -> dict[str, BytesTable]:
    """Return the tables that are in a backup, by name."""
    tables = (
        meta.replicas.taken_at,
        meta.repositories.numbers,
        meta.documents.rows,
        meta.notes.rows.bytes,
        meta.replicas.statuses.bytes,
        meta.blobs.links.bytes,
        meta.blobs.wrapped,
        meta.blobs.domains.bytes,
        meta.blobs.rows.bytes,
        meta.journal.cursors.bytes,
        meta.replicas.arrived,
        meta.audit.checkpoints.bytes,
        meta.audit.entries,
    )
    return {table.name: table for table in tables}
