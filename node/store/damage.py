"""What is damaged on disk: noticed by whoever meets it, and kept in a table until it is mended.

``Noticed`` is memory alone, filled on whatever thread a check fails; nothing is written by who reads. The job that
repairs takes it over into the table ``damage``, which outlives a restart and is what ``entrepot scrub --status`` shows.
"""

from typing import Literal, TypeAlias

import lmdb
import msgspec

from node.store.table import Noticed, ReadTxn, Table, WriteTxn

State: TypeAlias = Literal["found", "waiting", "lost"]
"""``found``: not looked at yet. ``waiting``: tried, and tried again. ``lost``: nothing here leads back to it."""

CHUNKS = "chunks"
"""What chunks are called where rows have the name of their table."""


class DamageRow(msgspec.Struct, frozen=True, array_like=True):
    """One value or chunk that fails its check."""

    since: float  # When it was noticed first: seconds since 1970, UTC.
    state: State = "found"
    reason: str = ""  # Why it is not mended yet, for people.
    tries: int = 0
    tried: float = 0.0  # When that was tried last.


class Place(msgspec.Struct, frozen=True, order=True):
    """Where something is damaged."""

    table: str  # Of ``meta``, or ``CHUNKS``.
    key: bytes  # Of the row; u64 blob number and u32 index of a chunk.


class Damages:
    """key: name of a table or ``chunks``, NUL, key there -> ``DamageRow``."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.rows = Table(env, "damage", DamageRow)

    def get(self, txn: ReadTxn, place: Place) -> DamageRow | None:
        """Return what is known of the damage there, or ``None``."""
        return self.rows.get(txn, _key(place))

    def put(self, txn: WriteTxn, place: Place, row: DamageRow) -> None:
        """Add or replace."""
        self.rows.put(txn, _key(place), row)

    def delete(self, txn: WriteTxn, place: Place) -> bool:
        """Take it off the list: it is mended, or gone; return whether it was on it."""
        return self.rows.delete(txn, _key(place))

    def page(self, txn: ReadTxn, *, after: bytes = b"", limit: int) -> list[tuple[bytes, Place, DamageRow]]:
        """Return at most *limit* (key, place, row) beyond the key *after*; rows that are damaged are left out."""
        return [(key, _place(key), row) for key, row in self.rows.sound(txn, b"", after=after, limit=limit)]

    def count(self, txn: ReadTxn) -> int:
        """Return how many there are; constant cost."""
        return self.rows.bytes.count(txn)


def chunk_place(number: int, index: int) -> Place:
    """Return the place of a chunk."""
    return Place(CHUNKS, number.to_bytes(8, "big") + index.to_bytes(4, "big"))


def number_and_index(place: Place) -> tuple[int, int]:
    """Return the blob number and the index of a chunk's place."""
    return int.from_bytes(place.key[:8], "big"), int.from_bytes(place.key[8:], "big")


def taken(noticed: Noticed) -> list[Place]:
    """Return what was noticed since the last call."""
    return sorted({Place(table, key) for table, key in noticed.take()})


def _key(place: Place) -> bytes:
    return place.table.encode() + b"\0" + place.key


def _place(key: bytes) -> Place:
    table, _, rest = key.partition(b"\0")
    return Place(table.decode("ascii", "replace"), rest)
