"""Bytes that arrive: hashed and written while the next ones are received.

Theory of operation
===================
A buffer of one chunk is filled from the socket. When it is full it goes through three stages that run side by side:
the next buffer fills; a thread feeds this one to the digest and takes its BLAKE3; the writer of ``chunks`` puts it in
the next commit. The thread goes on while the next buffer is there when it is done, since a hop to it and back takes
nearly as long as a hash. At most two buffers of an upload are hashed or wait for it, and a semaphore over all uploads
bounds what waits for a hash or the disk, so that a slow disk slows the sockets and memory stays where it is.

Whatever ends the receiving, also a cancellation (the session of a peer that ends cancels what it sends), a chunk that
was handed on is hashed and written: it counts, and whoever goes on goes on after it. So only the receiving is
cancelled, and the rest is waited for.

Buffers that fill are bounded over all uploads as well (``filling``): an upload that has to go for others keeps what it
sent in whole, and may go on from there.

What is to lie sealed is sealed in the thread that hashes, each chunk at each write under a nonce of its own; plaintext
is only ever in memory.

What does not fill a chunk stays in the buffer. ``settle`` makes it durable too, inline while all of it is small. Where
it is sealed it lies under a number of its own until the end: in its own place the next part would be written over it,
under another nonce, before anything durable tells of that one.

Bytes count only when they would survive a crash.
"""

import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import trio
from blake3 import blake3

from node.store.blobs import INLINE_SIZE
from node.store.chunks import Chunks, chunk_count
from node.store.filling import SMALL, Buffers, Filling
from node.store.space import Space
from node.store.writer import Writer
from protocol.blobs.chunkmap import CHUNK_SIZE, ChunkMap
from protocol.blobs.sealing import NONCE, SEAL, Bytes, DataKey, open_chunk, open_part, seal_chunk, seal_part
from protocol.errors import PeerFault, Refusal
from protocol.oci.digest import Algorithm, Digest, Hasher, hasher

IN_FLIGHT = 32  # Full chunks, over all uploads, that wait for a hash or the disk.

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
    buffers: Buffers = field(default_factory=Buffers)
    random: Callable[[int], bytes] = os.urandom  # For nonces.


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

    def __init__(self, sink: Sink, algorithm: Algorithm, *, expected: bytes = b"", key: DataKey | None = None) -> None:
        """Begin with nothing.

        Args:
            sink: where it goes.
            algorithm: of the digest.
            expected: the chunk map, 32 bytes for each chunk, where it is known beforehand.
            key: under which all of it is sealed, and nothing else; ``None``: it is kept plain.
        """
        self.algorithm = algorithm
        self.key = key
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
        self._seals = bytearray()  # Of full chunks, in order.
        self._tail_seal = b""
        self.tail = 0
        """Number under which the sealed tail lies for now, as its chunk 0."""
        self.spent: list[int] = []
        """Numbers of tails that go once it is stored that there is another one, or none."""
        self._filling = Filling(sink.buffers)
        self._filled = 0
        self._is_ended = False
        self._whole = 0  # Chunks that are full, hashed and durable.
        self._tail_written = 0  # Bytes of the tail that lie in ``chunks``.
        self._failures: list[Exception] = []  # Why nothing more may be done with it.
        self._places = 0  # Of the sink's ``in_flight`` that chunks of this one have.

    @property
    def size(self) -> int:
        """Bytes that came, durable or not."""
        return self._whole * CHUNK_SIZE + self._filled

    @property
    def whole(self) -> int:
        """Full chunks that came, durable or not: what follows them is not handed on."""
        return self._whole

    @property
    def memory(self) -> int:
        """Bytes of the buffer that is being filled; those on their way to the disk are counted by the sink."""
        return len(self._filling.buffer)

    @property
    def inline(self) -> bytes:
        """All of it, while it is small enough to lie in ``meta``; else nothing."""
        return bytes(self._filling.buffer[: self._filled]) if self.size <= INLINE_SIZE else b""

    @property
    def kept_inline(self) -> bytes:
        """What ``inline`` is kept as: itself, or sealed anew."""
        data = self.inline
        if self.key is None or self.size > INLINE_SIZE:
            return data
        return seal_part(self.key, "content", 0, len(data), data, self._sink.random(NONCE))

    @property
    def seals(self) -> bytes:
        """The seals of all chunks that are durable, and of the tail where it is; 28 bytes each."""
        return bytes(self._seals) + self._tail_seal

    @property
    def kept_seals(self) -> bytes:
        """``seals`` as they are kept while the upload has not ended: sealed themselves."""
        if self.key is None or not self.number:
            return b""
        return seal_part(self.key, "upload", 0, self.settled, self.seals, self._sink.random(NONCE))

    async def fill(self, receive_into: ReceiveInto, expected: int | None) -> None:
        """Take what comes, to its end.

        Args:
            receive_into: the source. When it raises or is cancelled, what came in full chunks is kept and durable.
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
        self._require_sound()
        broken: list[Exception] = []  # Apart from failures: what came before the client went away is still written.
        receiving = trio.CancelScope()
        try:
            async with trio.open_nursery() as watching:
                watching.start_soon(_cancel_along, receiving)
                with trio.CancelScope(shield=True):
                    await self._receive_and_write(receive_into, expected, receiving, broken)
                watching.cancel_scope.cancel()
        finally:
            while self._places:
                self._give_place_back()
        self._require_sound()
        for failure in broken:  # Raised out here: inside, the nursery would cancel what is on its way.
            raise failure

    async def settle(self) -> None:
        """Make the tail durable as well, unless it is ``inline``; ``tail`` and ``spent`` are the caller's to store."""
        self._require_sound()
        if self.size > INLINE_SIZE and self._filled and self._tail_written != self._filled:
            self._number_it()
            if self.key is None:
                await self._put_tail(self.number, self._whole)
            else:
                self._spend_tail()
                self.tail = self._sink.next_number()
                await self._put_tail(self.tail, 0)
            self._tail_written = self._filled
        self.settled = self.size

    async def _put_tail(self, number: int, index: int) -> None:
        kept, self._tail_seal = self._sealed(self._whole, bytes(self._filling.buffer[: self._filled]))
        await self._sink.writer.write(lambda txn: self._sink.chunks.put(txn, number, index, kept))

    def _spend_tail(self) -> None:
        if self.tail:
            self.spent.append(self.tail)
            self.tail = 0

    async def finish(self, algorithm: Algorithm) -> tuple[Digest, ChunkMap]:
        """Return the digest and the chunk map of all that came; it is durable then, or ``inline``.

        ``PeerFault`` where the last chunk is not the expected one.
        """
        self._require_sound()
        if self.key is None:
            await self.settle()
        await self._unpark()
        if self.key is not None:
            if self.size > INLINE_SIZE and self._filled and not self._is_ended:
                self._number_it()
                await self._put_tail(self.number, self._whole)
            self._spend_tail()
            self.settled = self.size
        if self._filled and not self._is_ended:
            self._is_ended = True  # Who asks for two algorithms asks twice.
            with memoryview(self._filling.buffer)[: self._filled] as tail:
                is_right = await trio.to_thread.run_sync(self._hash, tail) if len(tail) > SMALL else self._hash(tail)
            if not is_right:
                raise PeerFault("the last chunk is not what the chunk map says")
        chunk_map = ChunkMap(self.size, tuple(_split(self._hashes)))
        if algorithm != self.algorithm:
            return await trio.to_thread.run_sync(self._rehash, algorithm), chunk_map
        return Digest(f"{algorithm}:{self._hasher.hexdigest()}"), chunk_map

    async def resume(self, number: int, size: int, inline: bytes, *, tail: int = 0, seals: bytes = b"") -> None:
        """Take up, in a new ``Ingest``, what another one had settled before a restart.

        Args:
            number: of its chunks.
            size: that was settled.
            inline: as ``kept_inline`` was.
            tail: as it was.
            seals: as ``kept_seals`` was.

        Raises:
            Damaged: what is here is not what was settled.
        """
        self.number, self.tail = number, tail
        if number:
            known = b"" if self.key is None else open_part(self.key, "upload", 0, size, seals)
            await trio.to_thread.run_sync(self._reread, size, known)
        else:
            data = inline if self.key is None else open_part(self.key, "content", 0, size, inline)
            self._filling.buffer, self._filled = bytearray(data), len(data)
        self.settled = size

    def park(self) -> None:
        """Give the buffer back until the next part comes: what lies in ``chunks`` of the tail is read again then."""
        if self.number and self._tail_written == self._filled:
            self._filling.give_up()

    def rewind(self) -> None:
        """Forget what came of a chunk that is not whole: its source will send it again from its start."""
        self._filled = 0

    def close(self) -> None:
        """Give the buffer back; nothing may be asked afterwards."""
        self._filling.give_up()
        self._filled = 0

    async def _receive_and_write(
        self,
        receive_into: ReceiveInto,
        expected: int | None,
        receiving: trio.CancelScope,
        broken: list[Exception],
    ) -> None:
        into, full = trio.open_memory_channel[bytearray](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drain, full, nursery, self._failures)
            async with into:
                try:
                    with receiving:
                        await self._receive(receive_into, expected, into)
                except Exception as error:  # noqa: BLE001 - from the client, or from here: the drain has ended.
                    broken.append(error)

    def _require_sound(self) -> None:
        for failure in self._failures:
            raise failure

    async def _unpark(self) -> None:
        if len(self._filling.buffer) < self._filled:
            self._filling.take(bytearray(await trio.to_thread.run_sync(self._loaded_tail)))

    async def _receive(
        self, receive_into: ReceiveInto, expected: int | None, into: trio.MemorySendChannel[bytearray] | None
    ) -> None:
        left = expected
        while left is None or left > 0:
            await self._make_room(left)
            room = len(self._filling.buffer) - self._filled
            wanted = room if left is None else min(room, left)
            with (
                memoryview(self._filling.buffer)[self._filled : self._filled + wanted] as view,
                self._filling.receiving(),
            ):
                came = await receive_into(view)
            self._filled += came
            left = None if left is None else left - came
            if self._filled == CHUNK_SIZE:
                assert into is not None  # ``fill`` leaves it out only where no chunk can be filled.
                # Here, so that what waits for the disk is one full buffer of each upload, and no second one.
                await self._sink.in_flight.acquire()
                self._places += 1
                await into.send(self._filling.buffer)
                self._filling.take(bytearray())
                self._filled, self._tail_written, self._tail_seal = 0, 0, b""
                self._spend_tail()
                self._whole += 1
            if came < wanted:
                return

    async def _make_room(self, left: int | None) -> None:
        """Grow the buffer in steps: a thousand small uploads must not take a thousand chunks of memory.

        Nor do a thousand that announce much and send little: the first chunk takes steps whatever was announced.
        """
        step = max(SMALL, self._filled * 3)
        if left is not None and self._whole:
            wanted = self._filled + left
            enough = min(wanted, CHUNK_SIZE)
        else:
            wanted = self._filled + (step if left is None else min(left, step))
            enough = self._filled + 1
        if len(self._filling.buffer) >= enough:
            return
        if wanted > SMALL:
            await self._filling.wait_for(min(wanted, CHUNK_SIZE) - len(self._filling.buffer))
        grown = self._sink.buffers.chunk() if wanted >= CHUNK_SIZE else bytearray(wanted)
        grown[: self._filled] = self._filling.buffer[: self._filled]
        self._filling.take(grown)

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

        def hashed(buffer: bytearray, kept: Bytes, index: int, *, is_right: bool) -> None:
            lane.room.release()
            if is_right:
                nursery.start_soon(self._write, index, buffer, kept, failures)
            else:
                failures.append(PeerFault(f"chunk {index} is not what the chunk map says"))

        def hash_waiting() -> None:
            while lane.waiting:
                buffer, index = lane.waiting.popleft(), len(self._hashes) // 32
                is_right = self._hash(memoryview(buffer))
                kept, seal = self._sealed(index, buffer) if is_right else (buffer, b"")
                self._seals += seal
                token.run_sync_soon(partial(hashed, buffer, kept, index, is_right=is_right))
                if not is_right:
                    lane.is_wrong = True
                    return

        while lane.waiting and not lane.is_wrong:
            await trio.to_thread.run_sync(hash_waiting)
        lane.is_running = False

    async def _write(self, index: int, buffer: bytearray, kept: Bytes, failures: list[Exception]) -> None:
        try:
            self._sink.space.require(CHUNK_SIZE)
            await self._sink.writer.write(lambda txn: self._sink.chunks.put(txn, self.number, index, kept))
        except Refusal as refusal:
            failures.append(refusal)
            return
        finally:
            self._give_place_back()
        self._sink.buffers.recycle(buffer)
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

    def _sealed(self, index: int, data: bytes | bytearray) -> tuple[Bytes, bytes]:
        """Return a chunk as it is kept, and its seal."""
        return (data, b"") if self.key is None else seal_chunk(self.key, index, data, self._sink.random(NONCE))

    def _loaded(self, index: int, length: int, seal: bytes) -> bytes:
        """Return the *length* bytes of a chunk."""
        data = self._sink.chunks.load(self.number, index, length)
        return data if self.key is None else open_chunk(self.key, index, data, seal)

    def _loaded_tail(self) -> bytes:
        """Return what does not fill a chunk, from where it lies for now."""
        if not self.tail:
            return self._loaded(self._whole, self._filled, self._tail_seal)
        assert self.key is not None  # Only a sealed tail lies by itself.
        data = self._sink.chunks.load(self.tail, 0, self._filled)
        return open_chunk(self.key, self._whole, data, self._tail_seal)

    def _reread(self, size: int, seals: bytes) -> None:
        whole, filled = divmod(size, CHUNK_SIZE)
        for data in self._stored(whole * CHUNK_SIZE, seals):
            self._hash(memoryview(data))
        self._whole, self._filled = whole, filled
        self._seals += seals[: whole * SEAL]
        if filled:
            self._tail_seal = seals[whole * SEAL :]
            self._filling.buffer, self._tail_written = bytearray(self._loaded_tail()), filled

    def _rehash(self, algorithm: Algorithm) -> Digest:
        state = hasher(algorithm)
        if self.size <= INLINE_SIZE:
            state.update(self.inline)
        else:
            for data in self._stored(self.size, self.seals):
                state.update(data)
        return Digest(f"{algorithm}:{state.hexdigest()}")

    def _stored(self, size: int, seals: bytes) -> Iterator[bytes]:
        for index in range(chunk_count(size)):
            length = min(CHUNK_SIZE, size - index * CHUNK_SIZE)
            yield self._loaded(index, length, seals[index * SEAL : (index + 1) * SEAL])


async def _cancel_along(scope: trio.CancelScope) -> None:
    """Cancel *scope*, which is shielded, when this is."""
    try:
        await trio.sleep_forever()
    finally:
        scope.cancel()


def _nobody() -> None:
    """Nobody waits for chunks."""


def _split(hashes: bytearray) -> list[bytes]:
    return [bytes(hashes[at : at + 32]) for at in range(0, len(hashes), 32)]
