"""A blob's bytes as verified extents of ``data.mdb``, and the leases that keep them in place.

Theory of operation
===================
The zero-copy path hands the kernel a file and an offset, and nobody looks at the bytes on their way. So each chunk is
looked at once, when it comes from the disk: read with ``preadv`` in a thread (a bad sector under the map would kill
the process), hashed, and compared with the chunk map. From then on it is sent straight from the page cache, for as
long as it stays there: a probe of three pages with ``RWF_NOWAIT`` tells whether it does, for a microsecond each, and
where it does not the chunk is read and verified again. So no byte leaves the node that was not compared since it
was last read from the disk, and no cold page ever blocks the loop.

A sealed blob goes through memory: a piece of a chunk at a time, opened in a thread. Its chunks are known and looked for
in the page cache in the same way: one that is not there is read whole and its tag compared, of one that is only the
piece is opened that is sent next. So a range costs the chunks that it touches, and a client that does not read pins one
piece.

A *lease* is a count for each blob number. It outlives the transaction that found the extents: until it is released
no collector may delete the chunks, or the pages would be sent with another blob's bytes in them.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import trio
from blake3 import blake3

from node.store.blobs import Chunked
from node.store.chunks import Chunks
from node.store.damage import CHUNKS, chunk_place
from node.store.table import Noticed
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.blobs.sealing import SEAL, DataKey, open_chunk, open_piece
from protocol.errors import Damaged

_BATCH = 16  # Chunks looked up in one transaction.
MAX_SEEN = 65_536  # Blobs whose chunks are known to be right; some 150 bytes each. Others are compared again.
COLD = 32  # Chunks that are read from the disk at once.
_PIECE = 256 * 1024  # Bytes of a sealed chunk that are opened at once; a multiple of 16.


@dataclass(slots=True)
class Leases:
    """How many readers each blob number has. Used on the loop's thread alone."""

    counts: dict[int, int] = field(default_factory=dict)

    def take(self, number: int) -> None:
        """One reader more."""
        self.counts[number] = self.counts.get(number, 0) + 1

    def release(self, number: int) -> None:
        """One reader fewer."""
        left = self.counts[number] - 1
        if left:
            self.counts[number] = left
        else:
            del self.counts[number]

    def held(self, number: int) -> bool:
        """Whether the chunks of this blob have to stay."""
        return number in self.counts


@dataclass(frozen=True, slots=True)
class Span:
    """*length* bytes from *offset* of the file of ``Chunks``; verified, and in the page cache a moment ago."""

    offset: int
    length: int
    is_followed: bool = False
    """Whether the next one is ready as well: asking for it does not wait."""


class Verified:
    """Which chunks were compared with their map since they were last read from the disk."""

    def __init__(self, chunks: Chunks, noticed: Noticed) -> None:
        self._chunks = chunks
        self._noticed = noticed
        self._seen: dict[int, bytearray] = {}
        # Their own threads: readers of a disk that hangs leave those that hash and look up names to others.
        self._cold = trio.CapacityLimiter(COLD)
        self.bad: dict[int, set[int]] = {}
        """Blobs with the chunks of them that did not match: a push of the same digest replaces them."""
        self.cached = 0
        """Chunks that were known and still in the page cache when they were asked for."""
        self.compared = 0
        """Chunks that were read from the disk and compared."""

    def note(self, number: int, indexes: range) -> None:
        """These chunks were hashed while they were written."""
        seen = self._seen.get(number)
        if seen is None:
            if len(self._seen) >= MAX_SEEN:
                del self._seen[next(iter(self._seen))]  # The one that has been here longest.
            seen = self._seen[number] = bytearray()
        seen.extend(bytes(max(0, indexes.stop - len(seen))))
        for index in indexes:
            seen[index] = 1

    def note_bad(self, number: int, index: int) -> None:
        """This chunk did not match, or could not be read."""
        self.bad.setdefault(number, set()).add(index)
        self._noticed.add(CHUNKS, chunk_place(number, index).key)
        seen = self._seen.get(number)
        if seen is not None and index < len(seen):
            seen[index] = 0

    def note_good(self, number: int, index: int) -> None:
        """This chunk was bad, and matches now."""
        bad = self.bad.get(number, set())
        bad.discard(index)
        if not bad:
            self.bad.pop(number, None)

    def forget(self, number: int) -> None:
        """The blob is gone."""
        self._seen.pop(number, None)
        self.bad.pop(number, None)

    async def spans(self, number: int, size: int, hashes: bytes, start: int, length: int) -> AsyncIterator[Span]:
        """Yield the *length* bytes from *start* of a blob, span by span; the caller holds a lease.

        Args:
            number: of the blob.
            size: of the whole blob, in bytes.
            hashes: its chunk map: 32 bytes for each chunk.
            start: first byte.
            length: how many, at least 1.

        Raises:
            Damaged: a chunk does not match, or cannot be read. What came before it was right.
        """
        end = start + length
        last = (end - 1) // CHUNK_SIZE
        index = start // CHUNK_SIZE
        while index <= last:
            offsets = self._offsets(number, index, min(_BATCH, last - index + 1))
            ready = self._is_ready(number, index, offsets[0], size)
            for offset, following in zip(offsets, [*offsets[1:], 0], strict=True):
                whole = min(CHUNK_SIZE, size - index * CHUNK_SIZE)
                if not ready:
                    expected = hashes[index * 32 : index * 32 + 32]
                    if not await trio.to_thread.run_sync(
                        _read_and_compare, self._chunks.fd, offset, whole, expected, limiter=self._cold
                    ):
                        self.note_bad(number, index)
                        raise Damaged(f"chunk {index} of blob {number}")
                    self.note(number, range(index, index + 1))
                    self.compared += 1
                else:
                    self.cached += 1
                skip = max(0, start - index * CHUNK_SIZE)
                ready = following > 0 and self._is_ready(number, index + 1, following, size)
                yield Span(offset + skip, min(whole, end - index * CHUNK_SIZE) - skip, ready)
                index += 1

    async def opened(self, content: Chunked, start: int, length: int) -> AsyncIterator[bytes]:
        """Yield the *length* bytes from *start* of a sealed blob, in pieces; the caller holds a lease.

        Raises:
            Damaged: a chunk cannot be opened, or not be read. What came before it was right.
        """
        row, key, end = content.row, content.key, start + length
        assert key is not None  # Else nobody would ask.
        while start < end:
            index, skip = divmod(start, CHUNK_SIZE)
            [offset] = self._offsets(row.number, index, 1)
            whole = min(CHUNK_SIZE, row.size - index * CHUNK_SIZE)
            first = skip // _PIECE * _PIECE
            piece = range(skip, min(first + _PIECE, whole, end - index * CHUNK_SIZE))
            seal = content.seals[index * SEAL : index * SEAL + SEAL]
            if self._is_ready(row.number, index, offset, row.size):
                data = await trio.to_thread.run_sync(_open_piece, self._chunks.fd, offset, key, seal, piece)
                self.cached += 1
            else:
                data = await trio.to_thread.run_sync(
                    _open_whole, self._chunks.fd, offset, whole, key, index, seal, limiter=self._cold
                )
                if not data:
                    self.note_bad(row.number, index)
                    raise Damaged(f"chunk {index} of blob {row.number}")
                self.note(row.number, range(index, index + 1))
                self.compared += 1
                data = data[piece.start : piece.stop]
            yield data
            start += len(piece)

    def _offsets(self, number: int, index: int, count: int) -> list[int]:
        """Return where chunks lie. Apart, for a transaction has a slot for as long as a suspended function names it."""
        with self._chunks.read() as txn:
            try:
                return self._chunks.offsets(txn, number, index, count)
            except LookupError as error:
                self.note_bad(number, index)
                raise Damaged(str(error)) from error

    def _is_ready(self, number: int, index: int, offset: int, size: int) -> bool:
        length = min(CHUNK_SIZE, size - index * CHUNK_SIZE)
        return self._was_seen(number, index) and is_resident(self._chunks.fd, offset, length)

    def _was_seen(self, number: int, index: int) -> bool:
        seen = self._seen.get(number)
        return seen is not None and index < len(seen) and seen[index] == 1


def is_resident(fd: int, offset: int, length: int) -> bool:
    """Whether these bytes are in the page cache; what cannot be read is not."""
    probe = bytearray(1)
    for at in (offset, offset + length // 2, offset + length - 1):
        try:
            if os.preadv(fd, [probe], at, os.RWF_NOWAIT) != 1:
                return False
        except OSError:  # EAGAIN: it is on the disk. What else there may be is found by the read that follows.
            return False
    return True


def _read_and_compare(fd: int, offset: int, length: int, expected: bytes) -> bool:
    try:
        return blake3(os.pread(fd, length, offset)).digest() == expected
    except OSError:  # A bad sector.
        return False


def _open_whole(fd: int, offset: int, length: int, key: DataKey, index: int, seal: bytes) -> bytes:
    """Return a chunk, which has a byte at least; nothing where it cannot be read or opened."""
    try:
        return open_chunk(key, index, os.pread(fd, length, offset), seal)
    except (OSError, Damaged):
        return b""


def _open_piece(fd: int, offset: int, key: DataKey, seal: bytes, piece: range) -> bytes:
    first = piece.start // 16 * 16
    try:
        sealed = os.pread(fd, piece.stop - first, offset + first)
    except OSError as error:
        raise Damaged(f"cannot read the store: {error}") from error
    return open_piece(key, seal, first, sealed)[piece.start - first :]
