"""Named LMDB tables of sealed values.

LMDB checks nothing that it reads, so each value carries its own check:

    u8 format | 8 bytes of BLAKE3 over (key, body) | body

The key is covered, so that a good value under the wrong key is found out too. In a ``Table`` the body is the msgpack
of an ``array_like`` struct: fields are told apart by place, so a new one goes last and has a default. In a
``BytesTable`` it is bytes as they came.
"""

from typing import Any, Generic, TypeAlias, TypeVar

import lmdb
import msgspec
from blake3 import blake3

from protocol.errors import Damaged

ReadTxn: TypeAlias = "lmdb.Transaction[bytes]"
WriteTxn: TypeAlias = "lmdb.Transaction[bytes]"
"""The same type to LMDB and to the checker; the reader of a signature is told apart."""

Record = TypeVar("Record")

SEAL_SIZE = 9  # Bytes before each body.
_FORMAT = b"\x01"


class BytesTable:
    """Bytes under keys of at most 511 bytes, in the order of the keys."""

    def __init__(self, env: "lmdb.Environment", name: str) -> None:
        """Open the table, or create it; not while a write transaction is open."""
        self.name = name
        self.db: Any = env.open_db(name.encode())
        """LMDB's handle, for those that damage, count or copy values on purpose."""

    def get(self, txn: ReadTxn, key: bytes) -> bytes | None:
        """Return the body, or ``None``; ``Damaged`` where its check fails."""
        value = txn.get(key, db=self.db)
        return None if value is None else _unsealed(self.name, key, value)

    def has(self, txn: ReadTxn, key: bytes) -> bool:
        """Whether there is a value; its check is not looked at."""
        return txn.get(key, db=self.db) is not None

    def put(self, txn: WriteTxn, key: bytes, body: bytes) -> None:
        """Add or replace."""
        txn.put(key, _FORMAT + blake3(key + body).digest(length=8) + body, db=self.db)

    def delete(self, txn: WriteTxn, key: bytes) -> bool:
        """Return whether there was something to delete."""
        return txn.delete(key, db=self.db)

    def last_key(self, txn: ReadTxn) -> bytes | None:
        """Return the greatest key."""
        with txn.cursor(self.db) as cursor:
            return cursor.key() if cursor.last() else None

    def keys(self, txn: ReadTxn, prefix: bytes, *, after: bytes = b"", limit: int) -> list[bytes]:
        """Return at most *limit* keys that begin with *prefix*, in order, the first one beyond ``prefix + after``."""
        found: list[bytes] = []
        with txn.cursor(self.db) as cursor:
            start = prefix + after
            here = cursor.set_range(start)
            if here and after and cursor.key() == start:
                here = cursor.next()
            while here and len(found) < limit:
                key = cursor.key()
                if not key.startswith(prefix):
                    break
                found.append(key)
                here = cursor.next()
        return found

    def items(self, txn: ReadTxn, prefix: bytes, *, after: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]:
        """Return keys as ``keys`` does, each with its body."""
        found: list[tuple[bytes, bytes]] = []
        with txn.cursor(self.db) as cursor:
            start = prefix + after
            here = cursor.set_range(start)
            if here and after and cursor.key() == start:
                here = cursor.next()
            while here and len(found) < limit:
                key = cursor.key()
                if not key.startswith(prefix):
                    break
                found.append((key, _unsealed(self.name, key, cursor.value())))
                here = cursor.next()
        return found

    def checked(self, txn: ReadTxn, *, after: bytes = b"", limit: int) -> list[tuple[bytes, bytes | Damaged]]:
        """Return at most *limit* keys beyond *after*, each with its body, or with what is wrong with that."""
        found: list[tuple[bytes, bytes | Damaged]] = []
        with txn.cursor(self.db) as cursor:
            here = cursor.set_range(after)
            if here and after and cursor.key() == after:
                here = cursor.next()
            while here and len(found) < limit:
                key = cursor.key()
                try:
                    found.append((key, _unsealed(self.name, key, cursor.value())))
                except Damaged as damage:
                    found.append((key, damage))
                here = cursor.next()
        return found

    def count(self, txn: ReadTxn) -> int:
        """Return how many values there are; constant cost."""
        return int(txn.stat(self.db)["entries"])


class Table(Generic[Record]):
    """Records of one type; beside what it wraps there is a ``BytesTable`` of the same name."""

    def __init__(self, env: "lmdb.Environment", name: str, kind: type[Record]) -> None:
        """Open the table, or create it; not while a write transaction is open."""
        self.bytes = BytesTable(env, name)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._db = self.bytes.db

    def get(self, txn: ReadTxn, key: bytes) -> Record | None:
        """Return the record, or ``None``; ``Damaged`` where its check fails."""
        value = txn.get(key, db=self._db)
        return None if value is None else self._decode(_unsealed(self.bytes.name, key, value))

    def put(self, txn: WriteTxn, key: bytes, record: Record) -> None:
        """Add or replace."""
        self.bytes.put(txn, key, self._encode(record))

    def delete(self, txn: WriteTxn, key: bytes) -> bool:
        """Return whether there was something to delete."""
        return self.bytes.delete(txn, key)

    def items(self, txn: ReadTxn, prefix: bytes, *, after: bytes = b"", limit: int) -> list[tuple[bytes, Record]]:
        """Return at most *limit* keys that begin with *prefix* and lie beyond ``prefix + after``, with records."""
        return [(key, self._decode(body)) for key, body in self.bytes.items(txn, prefix, after=after, limit=limit)]

    def checked(self, txn: ReadTxn, *, after: bytes = b"", limit: int) -> list[tuple[bytes, Record | Damaged]]:
        """Return at most *limit* keys beyond *after*, each with its record, or with what is wrong with that."""
        return [(key, self._checked(key, body)) for key, body in self.bytes.checked(txn, after=after, limit=limit)]

    def _checked(self, key: bytes, body: bytes | Damaged) -> Record | Damaged:
        if isinstance(body, Damaged):
            return body
        try:
            return self._decode(body)
        except msgspec.DecodeError as error:
            return Damaged(f"table {self.bytes.name}, key {key.hex()}: {error}")


def _unsealed(name: str, key: bytes, value: bytes) -> bytes:
    body = value[SEAL_SIZE:]
    if value[:SEAL_SIZE] != _FORMAT + blake3(key + body).digest(length=8):
        raise Damaged(f"table {name}, key {key.hex()}")
    return body
