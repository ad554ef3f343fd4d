"""Single documents and counters: rules as their writers gave them, the clock's ceiling."""

import lmdb

from node.store.table import BytesTable, ReadTxn, WriteTxn


class Documents:
    """key: the document's name -> its bytes."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.rows = BytesTable(env, "documents")

    def get(self, txn: ReadTxn, name: str) -> bytes | None:
        """Return the document, or ``None``."""
        return self.rows.get(txn, name.encode())

    def put(self, txn: WriteTxn, name: str, data: bytes) -> None:
        """Add or replace."""
        self.rows.put(txn, name.encode(), data)

    def delete(self, txn: WriteTxn, name: str) -> bool:
        """Return whether there was something to delete."""
        return self.rows.delete(txn, name.encode())

    def under(self, txn: ReadTxn, prefix: str, *, after: str = "", limit: int) -> list[tuple[str, bytes]]:
        """Return at most *limit* documents whose names begin with *prefix*, without it, beyond ``prefix + after``.

        Those that are damaged are left out: they must not hold up the others.
        """
        rows = self.rows.sound(txn, prefix.encode(), after=after.encode(), limit=limit)
        return [(key.decode().removeprefix(prefix), data) for key, data in rows]

    def names(self, txn: ReadTxn, prefix: str, *, limit: int) -> list[str]:
        """Return names as ``under`` does; what the documents say is not looked at, so they may be damaged."""
        return [
            key.decode("ascii", "replace").removeprefix(prefix)
            for key in self.rows.keys(txn, prefix.encode(), limit=limit)
        ]

    def number(self, txn: ReadTxn, name: str) -> int:
        """Return a counter, 0 where there is none."""
        return int.from_bytes(self.get(txn, name) or b"", "big")

    def put_number(self, txn: WriteTxn, name: str, value: int) -> None:
        """Set a counter."""
        self.put(txn, name, value.to_bytes(8, "big"))
