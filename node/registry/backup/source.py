"""What a backup asks of the node: pages of records and rows, the bytes of blobs, a signature.

Each answer comes from one short read and holds no more than a page, so that nothing pins the store's free pages and
nothing is remembered from one question to the next: a backup that is killed leaves nothing behind at the node. What is
asked for may have gone since it was listed. That is no fault: nothing goes earlier than 25 hours after the record
that let go of it, and the records are read after the list.

``Source`` is what the run of a backup is given. ``StoppedSource`` answers out of a store whose node does not run; the
command line asks a running one over its control socket, which ends in the functions here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from blake3 import blake3

from node.registry.backup.layout import Certificates, Row
from node.registry.backup.tables import AT_ONCE, carried, kept
from node.store.blobs import BlobRow
from node.store.chunks import Chunks, chunk_count
from node.store.copies import unpacked_copy
from node.store.keyfiles import KeyFiles
from node.store.meta import Meta
from node.store.store import StoppedStore
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import BlobUnknown, Damaged, ParameterInvalid
from protocol.oci.digest import Digest

PAGE = 500  # Rows in one answer: some 3 ms of the event loop.
MAX_CONTENTS = 128  # Small blobs in one answer, 2 MiB at most.
_RECORD_BYTES = 2**20  # Bytes of records in one answer, and one record more.
CERTIFICATE = "certificate:"
"""A document of this name and a node is its ``Certificates``: a restore leaves those of earlier writers."""


class Who(msgspec.Struct, frozen=True, array_like=True):
    """The node that a backup is of."""

    registry: str
    node: str
    incarnation: bytes
    software: str
    certificates: Certificates


class Started(msgspec.Struct, frozen=True, array_like=True):
    """What a backup begins with."""

    who: Who
    now: float
    position: int  # Of the last record.
    blobs: int
    chunks: int
    certificates: dict[str, Certificates]
    """Of everyone else who wrote a record."""


class Page(msgspec.Struct, frozen=True, array_like=True):
    """Some rows, in the order of their keys."""

    rows: list[Row]
    next: bytes | None  # Key after which the next page begins; ``None`` at the end.
    damaged: list[tuple[bytes, str]]  # Keys of rows that could not be read, and why.


class Content(msgspec.Struct, frozen=True, array_like=True):
    """A small blob, or why there is none."""

    data: bytes | None
    what: str = ""
    """What is wrong with it; nothing where it only went."""


class Ending(msgspec.Struct, frozen=True, array_like=True):
    """What was so in one transaction."""

    position: int  # Of the last record.
    tables: dict[str, list[Row]]


class Source(Protocol):
    """Where a backup comes from. What is damaged there is said in the answer; what is raised ends the run."""

    def start(self) -> Started:
        """Return who and where the node is."""

    def record(self, position: int) -> bytes | None:
        """Return one record, ``None`` where it cannot be read or there is none."""

    def records(self, after: int, last: int) -> Page:
        """Return records beyond *after* up to *last*, by u64 numbers in local order."""

    def rows(self, table: str, after: bytes) -> Page:
        """Return rows of a table beyond *after*, as they are kept."""

    def ending(self) -> Ending:
        """Fix the last record."""

    def contents(self, digests: Sequence[bytes]) -> list[Content]:
        """Return small blobs by digests in short form."""

    def sealed(self, copy: Digest) -> tuple[bytes, int]:
        """Return the BLAKE3 and the length of what ``blob`` yields for a large copy that is sealed; raises as that."""

    def keys(self) -> dict[str, bytes]:
        """Return the files with wrapped keys, by name."""

    def blob(self, digest: Digest, start: int) -> Iterator[bytes]:
        """Yield the bytes of a large blob from *start* on; of a copy that is sealed as they are kept, and its map.

        Raises:
            BlobUnknown: it went.
            Damaged: it cannot be read any further.
        """

    def sign(self, message: bytes) -> bytes:
        """Return the node's signature."""

    def identity(self) -> dict[str, bytes]:
        """Return the files of the node's identity by name; they are secrets."""


def start(meta: Meta, who: Who, chunks: int, now: float) -> Started:
    """Return what a backup begins with."""
    with meta.read() as txn:
        others = {
            key.decode("ascii", "replace").removeprefix(CERTIFICATE): msgspec.msgpack.decode(body, type=Certificates)
            for key, body in meta.documents.rows.items(txn, CERTIFICATE.encode(), limit=1000)
        }
        return Started(who, now, meta.journal.last(txn), meta.blobs.rows.bytes.count(txn), chunks, others)


def record(meta: Meta, position: int) -> bytes | None:
    """Return one record, ``None`` where it cannot be read or there is none."""
    with meta.read() as txn:
        try:
            return meta.journal.records.get(txn, position.to_bytes(8, "big"))
        except Damaged:
            return None


def records(meta: Meta, after: int, last: int) -> Page:
    """Return records beyond *after*, up to *last*."""
    table, rows, damaged, size = meta.journal.records, list[Row](), list[tuple[bytes, str]](), 0
    key = after.to_bytes(8, "big")
    with meta.read() as txn:
        while size < _RECORD_BYTES and len(rows) + len(damaged) < PAGE:
            page = table.checked(txn, after=key, limit=16)
            for found, body in page:
                if int.from_bytes(found, "big") > last:
                    return Page(rows, None, damaged)
                key = found
                if isinstance(body, Damaged):
                    damaged.append((found, str(body)))
                else:
                    rows.append((found, body))
                    size += len(body)
            if not page:
                return Page(rows, None, damaged)
    return Page(rows, key, damaged)


def rows(meta: Meta, table: str, after: bytes) -> Page:
    """Return rows of a table, as they are kept; ``ParameterInvalid`` where it is in no backup."""
    found = carried(meta).get(table)
    if found is None:
        raise ParameterInvalid(f"no table {table[:64]!r} is in a backup")
    with meta.read() as txn:
        page = found.checked(txn, after=after, limit=PAGE)
    result, damaged = _kept(table, page)
    return Page(result, page[-1][0] if len(page) == PAGE else None, damaged)


def ending(meta: Meta) -> Ending:
    """Fix the last record, with what is only right together with it: how far the followers are."""
    tables = carried(meta)
    with meta.read() as txn:
        found = {name: _kept(name, tables[name].checked(txn, limit=2**31))[0] for name in AT_ONCE}
        return Ending(meta.journal.last(txn), found)


def contents(meta: Meta, digests: Sequence[bytes]) -> list[Content]:
    """Return small blobs by digests in short form."""
    found: list[Content] = []
    with meta.read() as txn:
        for short in digests[:MAX_CONTENTS]:
            try:
                body = meta.blobs.contents.get(txn, short)
                gone = body is None and not meta.blobs.rows.bytes.has(txn, short)
                found.append(Content(body, "its content is missing" if body is None and not gone else ""))
            except Damaged as damage:
                found.append(Content(None, str(damage)))
    return found


def _kept(name: str, page: list[tuple[bytes, bytes | Damaged]]) -> tuple[list[Row], list[tuple[bytes, str]]]:
    keep, result, damaged = kept(name), list[Row](), list[tuple[bytes, str]]()
    for key, body in page:
        try:
            if isinstance(body, Damaged):
                raise body
            row = keep(body)
        except (Damaged, msgspec.DecodeError) as damage:
            damaged.append((key, str(damage)))
        else:
            if row is not None:
                result.append((key, row))
    return result, damaged


@dataclass(frozen=True, slots=True)
class StoppedSource:
    """A store whose node does not run, and what of the node's identity a backup needs."""

    store: StoppedStore
    who: Who
    now: float
    signer: Callable[[bytes], bytes]
    files: Callable[[], dict[str, bytes]]
    key_files: KeyFiles

    def start(self) -> Started:
        """As ``Source`` has it, as all here."""
        with self.store.chunks.read() as txn:
            chunks = self.store.chunks.count(txn)
        return start(self.store.meta, self.who, chunks, self.now)

    def record(self, position: int) -> bytes | None:
        """One record."""
        return record(self.store.meta, position)

    def records(self, after: int, last: int) -> Page:
        """Some records."""
        return records(self.store.meta, after, last)

    def rows(self, table: str, after: bytes) -> Page:
        """Some rows."""
        return rows(self.store.meta, table, after)

    def ending(self) -> Ending:
        """The last record."""
        return ending(self.store.meta)

    def contents(self, digests: Sequence[bytes]) -> list[Content]:
        """Small blobs."""
        return contents(self.store.meta, digests)

    def sealed(self, copy: Digest) -> tuple[bytes, int]:
        """Read it once."""
        return hashed(self.blob(copy, 0))

    def keys(self) -> dict[str, bytes]:
        """Wrapped keys."""
        return dict(self.key_files.files())

    def blob(self, digest: Digest, start: int) -> Iterator[bytes]:
        """Read a large blob chunk by chunk, each compared with the map where it is plain."""
        meta = self.store.meta
        with meta.read() as txn:
            row = meta.blobs.get(txn, digest)
            if row is None or not row.number:
                raise BlobUnknown(f"no large blob {digest}")
            parts = meta.blobs.map_parts(txn, row)
        if row.key:
            yield from cut_from(sealed_pieces(self.store.chunks, row, parts), start)
            return
        hashes = b"".join(parts)
        for index in range(start // CHUNK_SIZE, chunk_count(row.size)):
            data = self.store.chunks.load(row.number, index, min(CHUNK_SIZE, row.size - index * CHUNK_SIZE))
            if blake3(data).digest() != hashes[index * 32 : index * 32 + 32]:
                raise Damaged(f"chunk {index} of {chunk_count(row.size)} does not match its hash")
            yield data[max(0, start - index * CHUNK_SIZE) :]

    def sign(self, message: bytes) -> bytes:
        """The node's signature."""
        return self.signer(message)

    def identity(self) -> dict[str, bytes]:
        """The node's secrets."""
        return self.files()


def sealed_pieces(chunks: Chunks, row: BlobRow, parts: Sequence[bytes]) -> Iterator[bytes]:
    """Yield a sealed copy as it is kept: its chunks, then the parts of its map as msgpack."""
    for index in range(chunk_count(row.size)):
        yield chunks.load(row.number, index, min(CHUNK_SIZE, row.size - index * CHUNK_SIZE))
    yield msgspec.msgpack.encode(parts)


def cut_from(pieces: Iterator[bytes], start: int) -> Iterator[bytes]:
    """Yield what follows the first *start* bytes of *pieces*."""
    for piece in pieces:
        if start < len(piece):
            yield piece[start:]
        start = max(0, start - len(piece))


def hashed(pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """Return the BLAKE3 of all *pieces*, and how long they are."""
    state, length = blake3(), 0
    for piece in pieces:
        state.update(piece)
        length += len(piece)
    return state.digest(), length


def readable_key(table: str, key: bytes) -> str:
    """Return what a row is called for people."""
    try:
        return unpacked_copy(key) if table == "blobs" else f"{table} {key.hex()}"
    except (KeyError, IndexError):
        return f"{table} {key.hex()}"
