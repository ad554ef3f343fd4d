"""Buffers that fill with bytes that arrive, and how much memory all of them may take.

Where that is used up, whoever needs more waits, and the upload whose chunk has been coming for longest has to go, if
it took more than ``STALLED``. So clients that send a part of a chunk and stop hold nobody up for longer than that.
Buffers of at most ``SMALL`` are not counted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf

import trio

from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import TooSlow

ROOM = 128 * 2**20  # Bytes of buffers that fill, over all uploads.
STALLED = 5.0  # Seconds in which a chunk has to come where others wait for a buffer: 200 KiB/s.
SMALL = 64 * 1024  # Bytes: the first buffer where the length is not known.
_SPARE = 24  # Buffers kept for the next chunk: a fresh one costs 256 page faults.
_LONGEST = 30.0  # Seconds that an upload waits for a buffer.
_AGAIN = 0.1  # Seconds until it is looked again whether an upload that was cut has gone.


@dataclass(slots=True)
class Buffers:
    """What all uploads share."""

    room: int = ROOM
    """Bytes of buffers that may fill."""
    spare: list[bytearray] = field(default_factory=list)
    filling: set["Filling"] = field(default_factory=set)
    """Those of more than ``SMALL``."""
    held: int = 0  # Bytes of all of them.
    freed: trio.Event = field(default_factory=trio.Event)
    """Set when ``held`` becomes less; another one takes its place."""

    def chunk(self) -> bytearray:
        """Return a buffer of one chunk, with anything in it."""
        return self.spare.pop() if self.spare else bytearray(CHUNK_SIZE)

    def recycle(self, buffer: bytearray) -> None:
        """Take back a buffer of one chunk that nobody looks at any more."""
        if len(self.spare) < _SPARE and len(buffer) == CHUNK_SIZE:
            self.spare.append(buffer)


class Filling:
    """The buffer that one upload fills."""

    def __init__(self, buffers: Buffers) -> None:
        self._buffers = buffers
        self.buffer = bytearray()
        self._held = 0  # What the others were told of it.
        self._began = 0.0  # When it grew beyond ``SMALL``.
        self._scope = trio.CancelScope()
        self._is_receiving = False

    def take(self, buffer: bytearray) -> None:
        """Fill *buffer* from now on."""
        shared, before = self._buffers, self._held
        self.buffer, self._held = buffer, len(buffer) if len(buffer) > SMALL else 0
        shared.held += self._held - before
        if self._held and not before:
            self._began = trio.current_time()
            shared.filling.add(self)
        elif not self._held:
            shared.filling.discard(self)
        if self._held < before:
            shared.freed.set()
            shared.freed = trio.Event()

    def give_up(self) -> None:
        """Fill nothing until the next ``take``; who looked at the buffer does not any more."""
        self._buffers.recycle(self.buffer)
        self.take(bytearray())

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Wait in the block for the client; ``TooSlow`` where others wait for longer than they have to."""
        with trio.CancelScope() as self._scope:
            self._is_receiving = True
            try:
                yield
            finally:
                self._is_receiving = False
        if self._scope.cancelled_caught:
            raise TooSlow("a chunk of this upload took too long while others wait; go on with what was taken")

    async def wait_for(self, size: int) -> None:
        """Wait until buffers that fill may take *size* more; let the slowest upload go where that takes too long."""
        shared, start = self._buffers, trio.current_time()
        end = start + _LONGEST
        while shared.held + size > shared.room and shared.held > self._held:
            left = min((one.patience for one in shared.filling), default=inf)
            if left <= 0:
                min(shared.filling, key=lambda one: one.patience).cut()
            if trio.current_time() > end:
                raise TooSlow("too many uploads are under way; go on with what was taken")
            with trio.move_on_after(min(max(left, _AGAIN), _LONGEST)):
                await shared.freed.wait()
        self._began += trio.current_time() - start  # The client had nothing to do with that.

    @property
    def patience(self) -> float:
        """Seconds that its chunk may still take where others wait; ``inf`` where it does not wait for its client."""
        return self._began + STALLED - trio.current_time() if self._is_receiving else inf

    def cut(self) -> None:
        """Stop receiving: ``receiving`` raises ``TooSlow``."""
        self._scope.cancel()
