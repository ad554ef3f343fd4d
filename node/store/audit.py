"""The audit of this node: entries in a chain, and the checkpoints that it signed."""

import lmdb

from node.store.table import SEAL_SIZE, BytesTable, ReadTxn, Table, WriteTxn
from protocol.auth.audit import FIRST, Checkpoint, Place, entry_hash


class Audit:
    """Entries and checkpoints. Entries go from the old end alone, up to a checkpoint that stays."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.entries = BytesTable(env, "audit")
        """key: u64 number, without gaps -> ``Entry``."""
        self.checkpoints = Table(env, "audit-checkpoints", Checkpoint)
        """key: u64 number of the entry -> ``Checkpoint``."""

    def end(self, txn: ReadTxn) -> Place:
        """Return the last entry: the next one names its hash.

        It is hashed as it lies there, sound or not: a damaged one is told of by whoever verifies, and must not keep
        everybody from writing.
        """
        key = self.entries.last_key(txn)
        if key is not None:
            value = self.entries.raw(txn, key) or b""
            return int.from_bytes(key, "big"), entry_hash(value[SEAL_SIZE:])
        last = self.checkpoint_before(txn, 2**64 - 1)
        return (0, FIRST) if last is None else (last.seq, last.hash)

    def append(self, txn: WriteTxn, seq: int, data: bytes) -> None:
        """Add an entry at the end."""
        self.entries.put(txn, seq.to_bytes(8, "big"), data)

    def page(self, txn: ReadTxn, after: int, *, limit: int) -> list[tuple[int, bytes | None]]:
        """Return at most *limit* entries beyond *after*, by number; ``None`` for one that is damaged."""
        rows = self.entries.checked(txn, after=after.to_bytes(8, "big"), limit=limit)
        return [(int.from_bytes(key, "big"), data if isinstance(data, bytes) else None) for key, data in rows]

    def first(self, txn: ReadTxn) -> int:
        """Return the number of the oldest entry; 0 where there is none."""
        keys = self.entries.keys(txn, b"", limit=1)
        return int.from_bytes(keys[0], "big") if keys else 0

    def size(self, txn: ReadTxn) -> int:
        """Return how many bytes of the file the entries take; constant cost."""
        stat = txn.stat(self.entries.db)
        return int(stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]))

    def put_checkpoint(self, txn: WriteTxn, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""
        self.checkpoints.put(txn, checkpoint.seq.to_bytes(8, "big"), checkpoint)

    def checkpoint_before(self, txn: ReadTxn, seq: int) -> Checkpoint | None:
        """Return the last sound checkpoint at *seq* or before."""
        with txn.cursor(self.checkpoints.bytes.db) as cursor:
            key = seq.to_bytes(8, "big")
            here = cursor.set_range(key) or cursor.last()
            while here:
                if cursor.key() <= key and self.checkpoints.bytes.is_whole(txn, cursor.key()):
                    return self.checkpoints.get(txn, cursor.key())
                here = cursor.prev()
        return None

    def checkpoints_after(self, txn: ReadTxn, after: int, *, limit: int) -> list[Checkpoint]:
        """Return at most *limit* checkpoints beyond *after*, damaged ones left out."""
        rows = self.checkpoints.sound(txn, b"", after=after.to_bytes(8, "big"), limit=limit)
        return [row for _, row in rows]

    def trim(self, txn: WriteTxn, last: int, *, limit: int) -> int:
        """Remove at most *limit* entries up to *last*, and checkpoints before *last*; return how many entries went."""
        removed = 0
        for key in self.entries.keys(txn, b"", limit=limit):
            if int.from_bytes(key, "big") > last:
                break
            self.entries.remove(txn, key)
            removed += 1
        for key in self.checkpoints.bytes.keys(txn, b"", limit=limit):
            if int.from_bytes(key, "big") >= last:
                break
            self.checkpoints.bytes.remove(txn, key)
        return removed
