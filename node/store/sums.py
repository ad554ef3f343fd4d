"""Fingerprints of the live entries, kept up to date in the transaction that changes an entry."""

import lmdb

from node.store.table import ReadTxn, Table, WriteTxn
from protocol.sync.fingerprint import Bucket, Hash, leaf

_ROOT, _INNER, _LEAF = b"\0", b"\1", b"\2"


class Sums:
    """key: level (0 root, 1 inner, 2 leaf), u16 number -> ``Bucket``."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.buckets = Table(env, "sums", Bucket)

    def root(self, txn: ReadTxn) -> Bucket:
        """Return the sum of all."""
        return self._get(txn, _ROOT + b"\0\0")

    def inner(self, txn: ReadTxn) -> dict[int, Bucket]:
        """Return the sums of the 256 inner buckets, empty ones left out."""
        return {int.from_bytes(key[1:], "big"): row for key, row in self.buckets.items(txn, _INNER, limit=256)}

    def leaves(self, txn: ReadTxn, inner: int) -> dict[int, Bucket]:
        """Return the sums of the 256 leaves under an inner bucket, empty ones left out."""
        rows = self.buckets.items(txn, _LEAF + inner.to_bytes(1, "big"), limit=256)
        return {int.from_bytes(key[1:], "big"): row for key, row in rows}

    def replace(self, txn: WriteTxn, key: bytes, old: Hash | None, new: Hash | None) -> None:
        """Take note that the entry under *key*, which is the same at every replica, had hash *old* and has *new*."""
        if old == new:
            return
        number = leaf(key)
        for place in (
            _ROOT + b"\0\0",
            _INNER + (number >> 8).to_bytes(2, "big"),
            _LEAF + number.to_bytes(2, "big"),
        ):
            self.buckets.put(txn, place, self._get(txn, place).replace(old, new))

    def _get(self, txn: ReadTxn, place: bytes) -> Bucket:
        return self.buckets.get(txn, place) or Bucket()
