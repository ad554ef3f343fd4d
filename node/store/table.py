"""Named LMDB tables of sealed values.

LMDB checks nothing that it reads, so each value carries its own check:

    u8 format | 8 bytes of BLAKE3 over (key, body) | body

The key is covered, so that a good value under the wrong key is found out too. In a ``Table`` the body is the msgpack
of an ``array_like`` struct: fields are told apart by place, so a new one goes last and has a default. In a
``BytesTable`` it is bytes as they came.

A bit of the disk may flip in a key as well, and then keys are out of order around it: a search may end in another
place than the last one did. So a page never begins before the place that it goes on from, or a walk could go round for
ever. Pages of the engine that make no sense are damage like a bad value.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import lmdb
import msgspec
from blake3 import blake3

from protocol.errors import Damaged

ReadTxn: TypeAlias = "lmdb.Transaction[bytes]"
WriteTxn: TypeAlias = "lmdb.Transaction[bytes]"
"""The same type to LMDB and to the checker; the reader of a signature is told apart."""

Record = TypeVar("Record")

MAX_READERS = 8192
"""Slots of 64 bytes. A transaction keeps its own until nothing names it any more, also after it has ended: so does each
request that waits in the function that read; with 256 of them the 257th reader of a large blob got an error."""
SEAL_SIZE = 9  # Bytes before each body.
_FORMAT = b"\x01"
_SENSELESS = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.BadChecksumError, lmdb.BadValsizeError)


class Noticed:
    """Values whose check failed, each as (table, key), since somebody asked; filled on any thread."""

    def __init__(self) -> None:
        self._places: set[tuple[str, bytes]] = set()

    def add(self, table: str, key: bytes) -> None:
        """Take note of one."""
        self._places.add((table, key))

    def __len__(self) -> int:
        """How many there are now."""
        return len(self._places)

    def take(self) -> set[tuple[str, bytes]]:
        """Return what was noted, and forget it."""
        taken: set[tuple[str, bytes]] = set()
        while self._places:
            taken.add(self._places.pop())
        return taken


class Scanned(NamedTuple):
    """What a page of a scan came to."""

    rows: int
    size: int  # Bytes of keys and values.
    damaged: list[bytes]  # Keys of values that fail their check.
    last: bytes | None  # Where the next page goes on; ``None`` at the end.


class BytesTable:
    """Bytes under keys of at most 511 bytes, in the order of the keys."""

    def __init__(self, env: "lmdb.Environment", name: str) -> None:
        """Open the table, or create it; not while a write transaction is open."""
        self.name = name
        try:
            self.db: Any = env.open_db(name.encode())
        except lmdb.ReadonlyError:  # Only looked at, and written by a version that had no such table.
            self.db = None
        """LMDB's handle, for those that damage, count or copy values on purpose."""
        self.noticed = Noticed()
        """Told of each value whose check fails; all tables of an environment share one."""

    def get(self, txn: ReadTxn, key: bytes) -> bytes | None:
        """Return the body, or ``None``; ``Damaged`` where its check fails."""
        try:
            value = None if self.db is None else txn.get(key, db=self.db)
        except _SENSELESS as error:
            raise self._senseless(error) from error
        return None if value is None else self._unsealed(key, value)

    def has(self, txn: ReadTxn, key: bytes) -> bool:
        """Whether there is a value; its check is not looked at."""
        try:
            return self.db is not None and txn.get(key, db=self.db) is not None
        except _SENSELESS as error:
            raise self._senseless(error) from error

    def put(self, txn: WriteTxn, key: bytes, body: bytes) -> None:
        """Add or replace."""
        txn.put(key, sealed(key, body), db=self.db)

    def delete(self, txn: WriteTxn, key: bytes) -> bool:
        """Return whether there was something to delete."""
        return txn.delete(key, db=self.db)

    def last_key(self, txn: ReadTxn) -> bytes | None:
        """Return the greatest key."""
        with self._cursor(txn) as cursor:
            return cursor.key() if self.db is not None and cursor.last() else None

    def keys(self, txn: ReadTxn, prefix: bytes, *, after: bytes = b"", limit: int) -> list[bytes]:
        """Return at most *limit* keys that begin with *prefix*, in order, the first one beyond ``prefix + after``."""
        found: list[bytes] = []
        with self._cursor(txn) as cursor:
            start = prefix + after
            here = self.db is not None and cursor.set_range(start)
            while here and len(found) < limit:
                key = cursor.key()
                if not after or key > start:
                    if not key.startswith(prefix):
                        break
                    found.append(key)
                here = cursor.next()
        return found

    def span(self, txn: ReadTxn, first: bytes, beyond: bytes) -> list[bytes]:
        """Return the keys from *first* on that lie before *beyond*, in order."""
        found: list[bytes] = []
        with self._cursor(txn) as cursor:
            here = self.db is not None and cursor.set_range(first)
            while here and (key := cursor.key()) < beyond:
                found.append(key)
                here = cursor.next()
        return found

    def items(self, txn: ReadTxn, prefix: bytes, *, after: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]:
        """Return keys as ``keys`` does, each with its body."""
        return [(key, self._unsealed(key, value)) for key, value in self._values(txn, prefix, after=after, limit=limit)]

    def sound(self, txn: ReadTxn, prefix: bytes, *, after: bytes = b"", limit: int) -> list[tuple[bytes, bytes]]:
        """Return keys with bodies as ``items`` does, without those that fail their check: for those that must go on."""
        found: list[tuple[bytes, bytes]] = []
        while page := self._values(txn, prefix, after=after, limit=limit - len(found)):
            for key, value in page:
                try:
                    found.append((key, self._unsealed(key, value)))
                except Damaged:  # It was noticed.
                    continue
            after = max(key for key, _ in page)[len(prefix) :]
            if len(found) == limit:
                break
        return found

    def checked(self, txn: ReadTxn, *, after: bytes = b"", limit: int) -> list[tuple[bytes, bytes | Damaged]]:
        """Return at most *limit* keys beyond *after*, each with its body, or with what is wrong with that."""
        found: list[tuple[bytes, bytes | Damaged]] = []
        for key, value in self._values(txn, b"", after=after, limit=limit):
            try:
                found.append((key, self._unsealed(key, value)))
            except Damaged as damage:
                found.append((key, damage))
        return found

    def scan(self, txn: ReadTxn, *, after: bytes, size: int) -> Scanned:
        """Check values beyond *after*, until *size* bytes of them were looked at, and keep none.

        It goes by place and not by key, so that a key that is out of order hides none of those behind it.
        """
        rows, seen, last = 0, 0, after
        damaged: list[bytes] = []
        with self._cursor(txn) as cursor:
            here = cursor.set_range(after)
            while here and seen < size:
                key, value = cursor.item()
                here = cursor.next()
                is_sound = is_sealed(key, value)
                if is_sound and after and key <= after:
                    continue  # It was looked at before.
                rows, seen = rows + 1, seen + len(key) + len(value)
                if is_sound:
                    last = max(last, key)
                else:
                    damaged.append(key)
            if here and last == after:  # Nothing but damage in all of it: its keys have to do.
                last = max([after, *damaged])
                here = last > after
        return Scanned(rows, seen, damaged, last if here else None)

    def raw(self, txn: ReadTxn, key: bytes) -> bytes | None:
        """Return a value as it is stored, damaged or not.

        Where a search does not find it all values are looked at, for its key may be out of order: slow.
        """
        with self._cursor(txn) as cursor:
            return bytes(cursor.value()) if _found(cursor, key) else None

    def remove(self, txn: WriteTxn, key: bytes) -> None:
        """Delete a value that may be damaged; it is found as in ``raw``."""
        with self._cursor(txn) as cursor:
            if _found(cursor, key):
                cursor.delete()

    def is_whole(self, txn: ReadTxn, key: bytes) -> bool:
        """Whether there is a value that passes its check; nobody is told where there is none."""
        try:
            value = txn.get(key, db=self.db)
        except _SENSELESS:
            return False
        return value is not None and is_sealed(key, value)

    def count(self, txn: ReadTxn) -> int:
        """Return how many values there are; constant cost."""
        return 0 if self.db is None else int(txn.stat(self.db)["entries"])

    def _values(self, txn: ReadTxn, prefix: bytes, *, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        with self._cursor(txn) as cursor:
            start = prefix + after
            here = self.db is not None and cursor.set_range(start)
            while here and len(found) < limit:
                key = cursor.key()
                if not after or key > start:
                    if not key.startswith(prefix):
                        break
                    found.append((key, cursor.value()))
                here = cursor.next()
        return found

    @contextmanager
    def _cursor(self, txn: ReadTxn) -> "Iterator[lmdb.Cursor[bytes]]":
        try:
            with txn.cursor(self.db) as cursor:
                yield cursor
        except _SENSELESS as error:
            raise self._senseless(error) from error

    def _unsealed(self, key: bytes, value: bytes) -> bytes:
        if not is_sealed(key, value):
            self.noticed.add(self.name, key)
            raise Damaged(f"table {self.name}, key {key.hex()}")
        return value[SEAL_SIZE:]

    def _senseless(self, error: lmdb.Error) -> Damaged:
        return Damaged(f"table {self.name}, a page of it: {error}")


class Table(Generic[Record]):
    """Records of one type; beside what it wraps there is a ``BytesTable`` of the same name."""

    def __init__(self, env: "lmdb.Environment", name: str, kind: type[Record]) -> None:
        """Open the table, or create it; not while a write transaction is open."""
        self.bytes = BytesTable(env, name)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kind).decode

    def get(self, txn: ReadTxn, key: bytes) -> Record | None:
        """Return the record, or ``None``; ``Damaged`` where its check fails."""
        value = self.bytes.get(txn, key)
        return None if value is None else self._decode(value)

    def decoded(self, body: bytes) -> Record:
        """Return the record of which *body* is the encoding."""
        return self._decode(body)

    def put(self, txn: WriteTxn, key: bytes, record: Record) -> None:
        """Add or replace."""
        self.bytes.put(txn, key, self._encode(record))

    def delete(self, txn: WriteTxn, key: bytes) -> bool:
        """Return whether there was something to delete."""
        return self.bytes.delete(txn, key)

    def items(self, txn: ReadTxn, prefix: bytes, *, after: bytes = b"", limit: int) -> list[tuple[bytes, Record]]:
        """Return at most *limit* keys that begin with *prefix* and lie beyond ``prefix + after``, with records."""
        return [(key, self._decode(body)) for key, body in self.bytes.items(txn, prefix, after=after, limit=limit)]

    def sound(self, txn: ReadTxn, prefix: bytes, *, after: bytes = b"", limit: int) -> list[tuple[bytes, Record]]:
        """Return records as ``items`` does, without those that fail their check: for those that must go on."""
        return [(key, self._decode(body)) for key, body in self.bytes.sound(txn, prefix, after=after, limit=limit)]

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


def _found(cursor: "lmdb.Cursor[bytes]", key: bytes) -> bool:
    """Put *cursor* at a key, wherever that is."""
    here = cursor.set_key(key)
    if here:
        return True
    here = cursor.first()
    while here and cursor.key() != key:
        here = cursor.next()
    return here


def sealed(key: bytes, body: bytes) -> bytes:
    """Return the value in which *body* is stored under *key*."""
    return _FORMAT + blake3(key + body).digest(length=8) + body


def is_sealed(key: bytes, value: bytes) -> bool:
    """Whether *value* is what was stored under *key*."""
    return value[:SEAL_SIZE] == _FORMAT + blake3(key + value[SEAL_SIZE:]).digest(length=8)
