"""Uploads that have not ended: what of them would survive a crash. What has not settled yet is in memory alone."""

import lmdb
import msgspec

from node.store.table import ReadTxn, Table, WriteTxn


class UploadRow(msgspec.Struct, frozen=True, array_like=True):
    """How far an upload has come."""

    repository: str  # Name: it may not exist yet.
    owner: str  # Unique id of who began it, or the ARN of root; nobody else may go on with it.
    begun: int  # Seconds since 1970, UTC.
    touched: int  # When a part came last; the upload expires some time later.
    algorithm: str  # That its digest is computed with while it arrives.
    number: int  # Of its chunks; 0 while it is small.
    size: int  # Bytes.
    inline: bytes  # All of it, while it is small; sealed as a content where ``key`` is not empty.
    parts: int = 0  # Those that came by the API of ECR.
    last_part: int = 0  # Bytes of the last of them.
    has_small_part: bool = False  # One that is too small was followed by another.
    domain: bytes = b""  # Of the repository that it is for: see ``copies``.
    key: bytes = b""  # Id of the data key under which it is sealed; empty: it lies plain.
    wrapped: bytes = b""  # That key, under the repository's.
    tail: int = 0  # Number under which what does not fill a chunk lies; 0: where it will stay, or there is none.
    seals: bytes = b""  # 28 bytes for each chunk, sealed.


class Uploads:
    """key: the upload's id, 16 random bytes -> ``UploadRow``."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.rows = Table(env, "uploads", UploadRow)

    def get(self, txn: ReadTxn, upload: bytes) -> UploadRow | None:
        """Return how far it has come, or ``None``."""
        return self.rows.get(txn, upload)

    def put(self, txn: WriteTxn, upload: bytes, row: UploadRow) -> None:
        """Add or replace."""
        self.rows.put(txn, upload, row)

    def delete(self, txn: WriteTxn, upload: bytes) -> bool:
        """Return whether there was something to delete."""
        return self.rows.delete(txn, upload)

    def page(self, txn: ReadTxn, *, after: bytes = b"", limit: int) -> list[tuple[bytes, UploadRow]]:
        """Return at most *limit* uploads beyond the id *after*, in the order of ids, without those that are damaged."""
        return self.rows.sound(txn, b"", after=after, limit=limit)
