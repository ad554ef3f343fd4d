"""The records of what changed, in the order in which this node committed them.

Each node numbers its own records without gaps; the *local order*, a second numbering that never leaves the node, is
what followers read by cursor. Both numbers are stored counters, never derived from the last key.
"""

from math import inf

import lmdb
import msgspec

from node.store.table import BytesTable, ReadTxn, Table, WriteTxn
from protocol.sync.record import FIRST
from protocol.sync.vector import Dot

_LAST = b"last"
_STEP = 8  # Records that are read at once where their size matters.


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The end of one writer's chain."""

    seq: int = 0
    hash: bytes = FIRST  # Of its last record.
    hlc: int = 0  # Of its last record.


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A number in local order."""

    position: int


class Journal:
    """Records, heads and cursors."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.records = BytesTable(env, "journal")
        """key: u64 number in local order, from 1 -> the record as on the wire."""
        self.places = BytesTable(env, "records")
        """key: node, incarnation, u64 sequence number -> u64 number in local order."""
        self.heads = Table(env, "heads", Head)
        """key: node, incarnation -> ``Head``."""
        self.cursors = Table(env, "cursors", Cursor)
        """key: a follower's name, or ``last`` -> ``Cursor``."""

    def head(self, txn: ReadTxn, node: str, incarnation: bytes) -> Head:
        """Return the end of a writer's chain, or that of an empty one."""
        return self.heads.get(txn, node.encode() + incarnation) or Head()

    def heads_of_all(self, txn: ReadTxn) -> list[Dot]:
        """Return the last record of each writer."""
        rows = self.heads.items(txn, b"", limit=2**31)
        return [Dot(key[:-16].decode(), key[-16:], head.seq) for key, head in rows]

    def append(self, txn: WriteTxn, dot: Dot, data: bytes, head: Head) -> int:
        """Append record *dot*, after which its writer's chain ends in *head*; return its number in local order."""
        number = self.last(txn) + 1
        place = number.to_bytes(8, "big")
        writer = dot.node.encode() + dot.incarnation
        self.records.put(txn, place, data)
        self.places.put(txn, writer + dot.seq.to_bytes(8, "big"), place)
        self.heads.put(txn, writer, head)
        self.cursors.put(txn, _LAST, Cursor(number))
        return number

    def last(self, txn: ReadTxn) -> int:
        """Return the number of the last record in local order, 0 where there is none."""
        return self.cursor(txn, "last")

    def first(self, txn: ReadTxn) -> int:
        """Return the number of the oldest record that is here; where there is none, that of the next one."""
        keys = self.records.keys(txn, b"", limit=1)
        return int.from_bytes(keys[0], "big") if keys else self.last(txn) + 1

    def at(self, txn: ReadTxn, position: int) -> bytes | None:
        """Return the record with this number in local order."""
        return self.records.get(txn, position.to_bytes(8, "big"))

    def cursor(self, txn: ReadTxn, follower: str) -> int:
        """Return the number of the last record that *follower* is done with."""
        cursor = self.cursors.get(txn, follower.encode())
        return 0 if cursor is None else cursor.position

    def move(self, txn: WriteTxn, follower: str, position: int) -> None:
        """Say that *follower* is done with all records up to *position*."""
        self.cursors.put(txn, follower.encode(), Cursor(position))

    def drop(self, txn: WriteTxn, follower: str) -> None:
        """Forget a follower."""
        self.cursors.delete(txn, follower.encode())

    def after(self, txn: ReadTxn, position: int, *, limit: int, size: float = inf) -> list[tuple[int, bytes | None]]:
        """Return at most *limit* records beyond *position*, each with its number in local order.

        Fewer where they have *size* bytes, and a few more, together. ``None`` stands for a record that is damaged: who
        follows goes on after it. With a damaged key it is left out.
        """
        found: list[tuple[int, bytes | None]] = []
        step = limit if size == inf else _STEP
        after = position
        while len(found) < limit and size > 0:
            rows = self.records.checked(txn, after=after.to_bytes(8, "big"), limit=min(step, limit - len(found)))
            for key, data in rows:
                number = int.from_bytes(key, "big")
                if isinstance(data, bytes):
                    found.append((number, data))
                    size -= len(data)
                elif number == (found[-1][0] if found else position) + 1:
                    found.append((number, None))
            last = found[-1][0] if found else after
            if not rows or last == after:
                break
            after = last
        return found
