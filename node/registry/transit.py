"""A blob on its way from another node: verified as it comes, durable as it comes, readable as it comes.

Theory of operation
===================
The source's chunk map is known first, and its root came in a signed entry: so each chunk is compared before it is
written, and who reads along gets only what was compared. The map promises nothing about the digest of the whole, which
is known at the last byte: until it is compared nobody gets the last chunk. Where the transfer fails for good, readers
get an exception in the middle and their connections break: a short body never ends as if whole.

Where the repository that it comes for keeps its bytes sealed they are sealed as they arrive, and readers open them. A
blob that repositories of two domains want comes twice.

One transit serves all who want the digest. It holds a lease on its number, and gives it back when the last reader has.
"""

from collections.abc import AsyncIterator, Callable
from functools import partial
from time import monotonic
from typing import NamedTuple

import trio

from node.registry.content import Kept, Sealed, keep_content
from node.registry.elsewhere import OpenBlob
from node.registry.transfers import Transfer
from node.store.blobs import INLINE_SIZE, BlobRow, Chunked
from node.store.chunks import chunk_count
from node.store.copies import PLAIN, copy_in
from node.store.extents import Span
from node.store.ingest import Ingest, ReceiveInto
from node.store.sealedmap import sealed_map
from node.store.store import Store
from node.store.table import WriteTxn
from protocol.blobs.chunkmap import CHUNK_SIZE, ChunkMap
from protocol.blobs.sealing import DataKey
from protocol.errors import NoSource, PeerFault, TooSlow
from protocol.oci.digest import Digest, algorithm
from protocol.sync.entries import Blob

_AT_ONCE = 64  # Numbers that are freed together, and forgotten when they are.


class Into(NamedTuple):
    """How the repository that a blob comes for keeps its bytes."""

    domain: bytes = PLAIN
    key: DataKey | None = None  # Drawn for this transit; ``None``: it is kept plain.
    sealed: Sealed | None = None

    def copy(self, digest: Digest) -> Digest:
        """Return the name of the copy that a blob becomes here."""
        return copy_in(digest, self.domain)


class Transit:
    """One blob that is being fetched; made by ``Transits.begin``."""

    def __init__(self, transits: "Transits", blob: Blob, chunk_map: ChunkMap, into: Into) -> None:
        """Begin; *chunk_map* has the root that *blob* names, and its size."""
        self.blob = blob
        self.copy = into.copy(blob.digest)
        self._into = into
        self.began = monotonic()
        self.ended = trio.Event()
        """Set when the blob is here, or will not come."""
        self.failure = ""
        """Why it did not come."""
        self._transits = transits
        self._store = transits.store
        self._map = chunk_map
        self._hashes = b"".join(chunk_map.hashes)
        self._ingest = Ingest(self._store.sink, algorithm(blob.digest), expected=self._hashes, key=into.key)
        self._ingest.number = self._store.sink.next_number() if blob.size > INLINE_SIZE else 0
        self._ingest.on_durable = self._wake
        self._progress = trio.Event()
        self._content = b""

    @property
    def moved(self) -> int:
        """How many bytes have come."""
        return self._ingest.size

    @property
    def next_chunk(self) -> int:
        """Where a source has to go on."""
        return self._ingest.whole

    async def fill(self, receive_into: ReceiveInto) -> None:
        """Take what a source sends from ``next_chunk`` on, to the end.

        Raises:
            trio.BrokenResourceError: it broke off; another source may go on.
            PeerFault: it sent a chunk that is not in the map; ``end`` has to follow.
            StoreFull: likewise.
        """
        self._ingest.rewind()
        left = self.blob.size - self._ingest.size
        try:
            await self._ingest.fill(receive_into, left)
        except TooSlow as error:
            raise trio.BrokenResourceError(str(error)) from error
        if self._ingest.size != self.blob.size:
            raise trio.BrokenResourceError(f"{self.blob.size - self._ingest.size} bytes did not come")

    async def complete(self) -> None:
        """Compare the digest and let the blob be found; ``PeerFault`` where its signer's map leads to another one."""
        found, _ = await self._ingest.finish(algorithm(self.blob.digest))
        if found != self.blob.digest:
            raise PeerFault(f"the chunks of {self.blob.digest} make {found}: whoever signed its chunk map is to blame")
        store, number, key, sealed = self._store, self._ingest.number, self._into.key, self._into.sealed
        content, parts = None if number else self._ingest.kept_inline, tuple[bytes, ...]()
        row = BlobRow(self.blob.size, number, self._map.root, 0, b"" if key is None else key.id)
        if key is not None and number:
            parts = sealed_map(key, self.blob.size, self._hashes, self._ingest.seals, store.sink.random)
        now = self._transits.now()

        def run(txn: WriteTxn) -> Kept:
            if sealed is not None and store.meta.blobs.domain(txn, sealed.repository) != self._into.domain:
                raise NoSource("the repository that it was fetched for is gone")
            kept = keep_content(store, txn, self.copy, row, content, self._hashes, parts=parts, sealed=sealed)
            store.meta.blobs.keep_for_a_day(txn, self.copy, now=now)
            return kept

        kept = await store.writer.write(run)
        if kept.freed:
            self._transits.free_when_unread(kept.freed)
        if number:
            store.verified.note(number, range(len(self._map.hashes)))
        self._content = b"" if number else self._ingest.inline
        self._end("", delete=0 if kept.is_new else number)

    def fail(self, reason: str) -> None:
        """It will not come. What came of it goes when the last reader has gone."""
        self._end(reason, delete=self._ingest.number)

    def open(self) -> OpenBlob:
        """Return the blob as it is arriving."""
        number = self._ingest.number
        if number:
            self._store.leases.take(number)
        release = partial(self._store.leases.release, number) if number else _nothing
        return OpenBlob(self.blob.size, self._store.chunks.fd, self._read, release)

    async def _read(self, start: int, length: int) -> AsyncIterator[bytes | Span]:
        if not self._ingest.number:
            await self.ended.wait()
            self._require()
            yield self._content[start : start + length]
            return
        end, store = start + length, self._store
        while start < end:
            ready = await self._ready(start)
            stop = min(end, ready)
            if self._into.key is not None:
                row = BlobRow(self.blob.size, self._ingest.number, self._map.root, 0)
                content = Chunked(row, self._hashes, self._ingest.seals, self._into.key)
                async for piece in store.verified.opened(content, start, stop - start):
                    yield piece
            else:
                async for span in store.verified.spans(
                    self._ingest.number, self.blob.size, self._hashes, start, stop - start
                ):
                    yield span
            start = stop

    async def _ready(self, start: int) -> int:
        """Wait for the byte at *start*, and return how far it can be read without waiting."""
        last = chunk_count(self.blob.size) - 1
        while True:
            progress = self._progress
            if self.ended.is_set():
                self._require()
                return self.blob.size
            ready = min(self._ingest.durable, last) * CHUNK_SIZE
            if ready > start:
                self._store.verified.note(self._ingest.number, range(start // CHUNK_SIZE, self._ingest.durable))
                return ready
            await progress.wait()

    def _require(self) -> None:
        if self.failure:
            raise NoSource(self.failure)

    def _wake(self) -> None:
        self._progress.set()
        self._progress = trio.Event()

    def _end(self, failure: str, *, delete: int) -> None:
        self.failure = failure
        self._transits.outcomes["failed" if failure else "complete"] += 1
        self._transits.ended(self.copy, delete)
        self._ingest.close()
        self.ended.set()
        self._wake()


_KEPT_PLAIN = Into()


class Transits:
    """The blobs that are on their way to this node."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self.store = store
        self.now = now
        self._under_way: dict[Digest, Transit] = {}
        self._leftovers: set[int] = set()  # Numbers of chunks that came to nothing.
        self.outcomes = {"complete": 0, "failed": 0}
        """How many transits have ended, and how."""

    @property
    def under_way(self) -> int:
        """How many blobs are on their way."""
        return len(self._under_way)

    def transfers(self) -> list[Transfer]:
        """Return the blobs that are on their way here."""
        now = monotonic()
        return [
            Transfer(
                f"t{one.blob.digest[-12:]}", "fetch", "", one.blob.digest, "", one.moved, one.blob.size, now - one.began
            )
            for one in self._under_way.values()
        ]

    def get(self, digest: Digest) -> Transit | None:
        """Return the transit of a copy that is on its way."""
        return self._under_way.get(digest)

    def is_here(self, digest: Digest) -> bool:
        """Whether the copy is wholly here, whoever sees it, and nothing is known to be wrong with its bytes."""
        with self.store.meta.read() as txn:
            row = self.store.meta.blobs.get(txn, digest)
            if row is None:
                return False
            if row.number:
                return row.number not in self.store.verified.bad
            return self.store.meta.blobs.is_sound(txn, digest)

    def begin(self, blob: Blob, chunk_map: ChunkMap, into: Into = _KEPT_PLAIN) -> Transit:
        """Return a new transit, where everyone who wants the digest finds it; there may be none of it yet.

        Raises:
            PeerFault: the chunk map is not the one that the image's entry names.
            StoreFull: there is no room.
        """
        if chunk_map.root != blob.root or chunk_map.size != blob.size:
            raise PeerFault(f"a chunk map that is not that of {blob.digest}")
        self.store.space.require(blob.size)
        transit = Transit(self, blob, chunk_map, into)
        assert transit.copy not in self._under_way
        self._under_way[transit.copy] = transit
        return transit

    def ended(self, digest: Digest, leftover: int) -> None:
        """Take note that a transit has ended, and that the chunks of *leftover* serve nobody, if it is not 0."""
        self._under_way.pop(digest, None)
        if leftover:
            self.free_when_unread(leftover)

    def free_when_unread(self, number: int) -> None:
        """Have the chunks of a number that no row names deleted as soon as nobody reads them."""
        self._leftovers.add(number)

    async def delete_leftovers(self) -> None:
        """Free the chunks of numbers that no row names and that nobody reads any more."""
        unread = [number for number in self._leftovers if not self.store.leases.held(number)]
        for first in range(0, len(unread), _AT_ONCE):
            some = unread[first : first + _AT_ONCE]
            await self.store.delete_chunks(*some)
            self._leftovers.difference_update(some)

    async def free(self, number: int) -> None:
        """Free the chunks of a number that no row names: now, or later where somebody reads them."""
        self._leftovers.add(number)
        if not self.store.leases.held(number):
            await self.store.delete_chunks(number)
            self._leftovers.discard(number)


def _nothing() -> None:
    """A small blob holds no lease."""
