"""Bytes that arrive: hashed and written while the next ones are received.

Theory of operation
===================
A buffer of one chunk is filled from the socket. When it is full it goes through three stages that run side by side:
the next buffer fills; a thread feeds this one to the digest and takes its BLAKE3; the writer of ``chunks`` puts it in
the next commit. The thread goes on while the next buffer is there when it is done, since a hop to it and back takes
nearly as long as a hash. At most two buffers of an upload are hashed or wait for it, and a semaphore over all uploads
bounds what waits for a hash or the disk, so that a slow disk slows the sockets and memory stays where it is.

Buffers that fill are bounded over all uploads as well. Where they are used up, whoever needs one waits, and the upload
whose chunk has been coming for longest has to go, if it took more than ``STALLED``: what it sent in whole is kept, and
it may go on from there. So clients that send a part of a chunk and stop hold nobody up for longer than that.

What does not fill a chunk stays in the buffer. ``settle`` makes it durable too, inline while all of it is small.
Bytes count only when they would survive a crash.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TypeAlias

import trio
from blake3 import blake3

from node.store.blobs import INLINE_SIZE
from node.store.chunks import Chunks, chunk_count
from node.store.space import Space
from node.store.writer import Writer
from protocol.blobs.chunkmap import CHUNK_SIZE, ChunkMap
from protocol.errors import PeerFault, Refusal, TooSlow
from protocol.oci.digest import Algorithm, Digest, Hasher, hasher

FILLING = 128 * 2**20  # Bytes of buffers that fill, over all uploads.
STALLED = 5.0  # Seconds in which a chunk has to come where others wait for a buffer: 200 KiB/s.
IN_FLIGHT = 32  # Full chunks, over all uploads, that wait for a hash or the disk.
_SPARE = 24  # Buffers kept for the next chunk: a fresh one costs 256 page faults.
_LONGEST = 30.0  # Seconds that an upload waits for a buffer.
_AGAIN = 0.1  # Seconds until it is looked again whether an upload that was cut has gone.
_SMALL = 64 * 1024  # Bytes: the first buffer where the length is not known.

ReceiveInto: TypeAlias = Callable[[memoryview], Awaitable[int]]
"""``await receive_into(view)``: fills *view* and returns how much came; fewer than its size at the end only."""


@dataclass(slots=True)
class Sink:
    """Where all uploads write to, and what they share."""

    chunks: Chunks
    writer: Writer
    space: Space
    next_number: Callable[[], int]
    in_flight: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(IN_FLIGHT))
    spare: list[bytearray] = field(default_factory=list)
    room: int = FILLING
    """Bytes of buffers that may fill."""
    filling: set["Ingest"] = field(default_factory=set)
    """Uploads with a buffer of more than ``_SMALL``."""
    held: int = 0  # Bytes of all buffers that fill.
    freed: trio.Event = field(default_factory=trio.Event)
    """Set when ``held`` becomes less; another one takes its place."""

    def buffer(self) -> bytearray:
        """Return a buffer of one chunk, with anything in it."""
        return self.spare.pop() if self.spare else bytearray(CHUNK_SIZE)

    def recycle(self, buffer: bytearray) -> None:
        """Take back a buffer of one chunk that nobody looks at any more."""
        if len(self.spare) < _SPARE and len(buffer) == CHUNK_SIZE:
            self.spare.append(buffer)


@dataclass(slots=True)
class _Lane:
    """Full chunks of one blob on their way to its hash, in order."""

    waiting: deque[bytearray] = field(default_factory=deque)
    is_running: bool = False  # Whether a task sees to what waits.
    is_wrong: bool = False  # A chunk was not the expected one: nothing is hashed after it.
    room: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(2))
    """Chunks that are hashed, or wait for it."""


class Ingest:
    """One blob on its way in. One task at a time may use it."""

    def __init__(self, sink: Sink, algorithm: Algorithm, *, expected: bytes = b"") -> None:
        """Begin with nothing. *expected* is the chunk map, 32 bytes for each chunk, where it is known beforehand."""
        self.algorithm = algorithm
        self.number = 0
        """Of the blob's chunks; 0 while it has none."""
        self.settled = 0
        """Bytes from the start that would survive a crash once ``inline`` is stored as well."""
        self.durable = 0
        """Chunks from the start that are durable, none missing between."""
        self.on_durable: Callable[[], None] = _nobody
        """Called when ``durable`` has risen."""
        self._expected = expected
        self._scattered: set[int] = set()  # Chunks that are durable beyond ``durable``.
        self._sink = sink
        self._hasher: Hasher = hasher(algorithm)
        self._hashes = bytearray()
        self._buffer = bytearray()
        self._filled = 0
        self._whole = 0  # Chunks that are full, hashed and durable.
        self._tail_written = 0  # Bytes of the tail that lie in ``chunks``.
        self._places = 0  # Of the sink's ``in_flight`` that chunks of this one have.
        self._began = 0.0  # When the buffer grew beyond ``_SMALL``.
        self._receiving = trio.CancelScope()
        self._is_receiving = False
        self._held = 0  # What the sink was told of the buffer.

    @property
    def size(self) -> int:
        """Bytes that came, durable or not."""
        return self._whole * CHUNK_SIZE + self._filled

    @property
    def memory(self) -> int:
        """Bytes of the buffer that is being filled; those on their way to the disk are counted by the sink."""
        return len(self._buffer)

    @property
    def inline(self) -> bytes:
        """All of it, while it is small enough to lie in ``meta``; else nothing."""
        return bytes(self._buffer[: self._filled]) if self.size <= INLINE_SIZE else b""

    async def fill(self, receive_into: ReceiveInto, expected: int | None) -> None:
        """Take what comes, to its end.

        Args:
            receive_into: the source. When it raises, what came in full chunks before is kept and durable.
            expected: bytes that will come, where that is known: it only sizes the buffer.

        Raises:
            trio.BrokenResourceError: the client went away. What came in full chunks is kept, ``settle`` may follow.
            TooSlow: others need the memory of a chunk that does not come. As above.
            StoreFull: there is no room. This object may not be used any more; what was settled before is kept.
            PeerFault: a chunk is not the expected one; nothing of it was written. As ``StoreFull``.
        """
        await self._unpark()
        if expected is not None and self._filled + expected < CHUNK_SIZE:  # Nothing to hand on: small images, ends.
            await self._receive(receive_into, expected, None)
            return
        into, full = trio.open_memory_channel[bytearray](0)
        failures: list[Exception] = []
        broken: list[Exception] = []  # Apart from failures: what came before the client went away is still written.
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._drain, full, nursery, failures)
                async with into:
                    try:
                        await self._receive(receive_into, expected, into)
                    except (trio.BrokenResourceError, TooSlow) as error:
                        broken.append(error)  # From the client, or from here: the drain has ended.
        finally:
            while self._places:
                self._give_place_back()
        for failure in failures + broken:  # Raised out here: inside, the nursery would cancel what is on its way.
            raise failure

    async def settle(self) -> None:
        """Make the tail durable as well, unless it is ``inline``."""
        if self.size > INLINE_SIZE and self._filled and self._tail_written != self._filled:
            self._number_it()
            index, data = self._whole, bytes(self._buffer[: self._filled])
            await self._sink.writer.write(lambda txn: self._sink.chunks.put(txn, self.number, index, data))
            self._tail_written = self._filled
        self.settled = self.size

    async def finish(self, algorithm: Algorithm) -> tuple[Digest, ChunkMap]:
        """Return the digest and the chunk map of all that came; it is durable then, or ``inline``.

        ``PeerFault`` where the last chunk is not the expected one.
        """
        await self.settle()
        await self._unpark()
        if self._filled:
            with memoryview(self._buffer)[: self._filled] as tail:
                is_right = await trio.to_thread.run_sync(self._hash, tail) if len(tail) > _SMALL else self._hash(tail)
            if not is_right:
                raise PeerFault("the last chunk is not what the chunk map says")
        chunk_map = ChunkMap(self.size, tuple(_split(self._hashes)))
        if algorithm != self.algorithm:
            return await trio.to_thread.run_sync(self._rehash, algorithm), chunk_map
        return Digest(f"{algorithm}:{self._hasher.hexdigest()}"), chunk_map

    async def resume(self, number: int, size: int, inline: bytes) -> None:
        """Take up, in a new ``Ingest``, what another one had settled before a restart."""
        self.number = number
        if number:
            await trio.to_thread.run_sync(self._reread, size)
        else:
            self._buffer, self._filled = bytearray(inline), len(inline)
        self.settled = size

    def park(self) -> None:
        """Give the buffer back until the next part comes: what lies in ``chunks`` of the tail is read again then."""
        if self.number and self._tail_written == self._filled:
            self._sink.recycle(self._buffer)
            self._take_buffer(bytearray())

    def rewind(self) -> None:
        """Forget what came of a chunk that is not whole: its source will send it again from its start."""
        self._filled = 0

    def close(self) -> None:
        """Give the buffer back; nothing may be asked afterwards."""
        self._sink.recycle(self._buffer)
        self._take_buffer(bytearray())
        self._filled = 0

    async def _unpark(self) -> None:
        if len(self._buffer) < self._filled:
            chunks = self._sink.chunks
            tail = await trio.to_thread.run_sync(chunks.load, self.number, self._whole, self._filled)
            self._take_buffer(bytearray(tail))

    async def _receive(
        self, receive_into: ReceiveInto, expected: int | None, into: trio.MemorySendChannel[bytearray] | None
    ) -> None:
        left = expected
        while left is None or left > 0:
            await self._make_room(left)
            room = len(self._buffer) - self._filled
            wanted = room if left is None else min(room, left)
            with memoryview(self._buffer)[self._filled : self._filled + wanted] as view:
                with trio.CancelScope() as self._receiving:
                    self._is_receiving = True
                    try:
                        came = await receive_into(view)
                    finally:
                        self._is_receiving = False
                if self._receiving.cancelled_caught:
                    raise TooSlow("a chunk of this upload took too long while others wait; go on with what was taken")
            self._filled += came
            left = None if left is None else left - came
            if self._filled == CHUNK_SIZE:
                assert into is not None  # ``fill`` leaves it out only where no chunk can be filled.
                # Here, so that what waits for the disk is one full buffer of each upload, and no second one.
                await self._sink.in_flight.acquire()
                self._places += 1
                await into.send(self._buffer)
                self._take_buffer(bytearray())
                self._filled, self._tail_written = 0, 0
                self._whole += 1
            if came < wanted:
                return

    async def _make_room(self, left: int | None) -> None:
        """Grow the buffer in steps: a thousand small uploads must not take a thousand chunks of memory.

        Nor do a thousand that announce much and send little: the first chunk takes steps whatever was announced.
        """
        step = max(_SMALL, self._filled * 3)
        if left is not None and self._whole:
            wanted = self._filled + left
            enough = min(wanted, CHUNK_SIZE)
        else:
            wanted = self._filled + (step if left is None else min(left, step))
            enough = self._filled + 1
        if len(self._buffer) >= enough:
            return
        if wanted > _SMALL:
            await self._wait_for_room(min(wanted, CHUNK_SIZE) - len(self._buffer))
        grown = self._sink.buffer() if wanted >= CHUNK_SIZE else bytearray(wanted)
        grown[: self._filled] = self._buffer[: self._filled]
        self._take_buffer(grown)

    async def _wait_for_room(self, size: int) -> None:
        """Wait until buffers that fill may take *size* more; let the slowest upload go where that takes too long."""
        sink = self._sink
        end = trio.current_time() + _LONGEST
        while sink.held + size > sink.room and sink.held > self._held:
            left = min((one.patience for one in sink.filling), default=inf)
            if left <= 0:
                min(sink.filling, key=lambda one: one.patience).cut()
            if trio.current_time() > end:
                raise TooSlow("too many uploads are under way; go on with what was taken")
            with trio.move_on_after(min(max(left, _AGAIN), _LONGEST)):
                await sink.freed.wait()

    @property
    def patience(self) -> float:
        """Seconds that its chunk may still take where others wait; ``inf`` where it does not wait for its client."""
        return self._began + STALLED - trio.current_time() if self._is_receiving else inf

    def cut(self) -> None:
        """Stop receiving: ``fill`` raises ``TooSlow``."""
        self._receiving.cancel()

    def _take_buffer(self, buffer: bytearray) -> None:
        """Fill *buffer* from now on, and let the sink know what it holds."""
        sink, before = self._sink, self._held
        self._buffer, self._held = buffer, len(buffer) if len(buffer) > _SMALL else 0
        sink.held += self._held - before
        if self._held and not before:
            self._began = trio.current_time()
            sink.filling.add(self)
        elif not self._held:
            sink.filling.discard(self)
        if self._held < before:
            sink.freed.set()
            sink.freed = trio.Event()

    def _give_place_back(self) -> None:
        self._places -= 1
        self._sink.in_flight.release()

    async def _drain(
        self, full: trio.MemoryReceiveChannel[bytearray], nursery: trio.Nursery, failures: list[Exception]
    ) -> None:
        lane = _Lane()
        async with full:
            while True:
                await lane.room.acquire()
                try:
                    buffer = await full.receive()
                except trio.EndOfChannel:
                    return
                if failures:  # Ends the channel, and so what is received.
                    return
                self._number_it()
                lane.waiting.append(buffer)
                if not lane.is_running:
                    lane.is_running = True
                    nursery.start_soon(self._hash_lane, lane, nursery, failures)

    async def _hash_lane(self, lane: _Lane, nursery: trio.Nursery, failures: list[Exception]) -> None:
        """Hash in one thread for as long as full chunks come."""
        token = trio.lowlevel.current_trio_token()

        def hashed(buffer: bytearray, index: int, *, is_right: bool) -> None:
            lane.room.release()
            if is_right:
                nursery.start_soon(self._write, index, buffer, failures)
            else:
                failures.append(PeerFault(f"chunk {index} is not what the chunk map says"))

        def hash_waiting() -> None:
            while lane.waiting:
                buffer, index = lane.waiting.popleft(), len(self._hashes) // 32
                is_right = self._hash(memoryview(buffer))
                token.run_sync_soon(partial(hashed, buffer, index, is_right=is_right))
                if not is_right:
                    lane.is_wrong = True
                    return

        while lane.waiting and not lane.is_wrong:
            await trio.to_thread.run_sync(hash_waiting)
        lane.is_running = False

    async def _write(self, index: int, buffer: bytearray, failures: list[Exception]) -> None:
        try:
            self._sink.space.require(CHUNK_SIZE)
            await self._sink.writer.write(lambda txn: self._sink.chunks.put(txn, self.number, index, buffer))
        except Refusal as refusal:
            failures.append(refusal)
            return
        finally:
            self._give_place_back()
        self._sink.recycle(buffer)
        self._scattered.add(index)
        while self.durable in self._scattered:
            self._scattered.remove(self.durable)
            self.durable += 1
        self.on_durable()

    def _number_it(self) -> None:
        self.number = self.number or self._sink.next_number()

    def _hash(self, data: memoryview) -> bool:
        """Add a chunk, unless another one was expected."""
        found = blake3(data).digest()
        if self._expected and found != self._expected[len(self._hashes) : len(self._hashes) + 32]:
            return False
        self._hasher.update(data)
        self._hashes += found
        return True

    def _reread(self, size: int) -> None:
        whole, self._filled = divmod(size, CHUNK_SIZE)
        for data in self._stored(size):
            if len(data) == CHUNK_SIZE:
                self._hash(memoryview(data))
            else:
                self._buffer, self._tail_written = bytearray(data), len(data)
        self._whole = whole

    def _rehash(self, algorithm: Algorithm) -> Digest:
        state = hasher(algorithm)
        if self.size <= INLINE_SIZE:
            state.update(self.inline)
        else:
            for data in self._stored(self.size):
                state.update(data)
        return Digest(f"{algorithm}:{state.hexdigest()}")

    def _stored(self, size: int) -> Iterator[bytes]:
        for index in range(chunk_count(size)):
            yield self._sink.chunks.load(self.number, index, min(CHUNK_SIZE, size - index * CHUNK_SIZE))


def _nobody() -> None:
    """Nobody waits for chunks."""


def _split(hashes: bytearray) -> list[bytes]:
    return [bytes(hashes[at : at + 32]) for at in range(0, len(hashes), 32)]
