"""The body of an HTTP/2 request: what the reader of the connection got, until the handler takes it.

A byte is acknowledged when the handler has it. So the client sends no more than the windows, and what nobody reads
costs no more memory than these.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from node.http.failures import ClientGone
from node.http.transport import Pace

SMALL = 4096  # Bytes of pieces that are joined.


class Http2Body:
    """Implements ``message.Body``; ``arrived``, ``finish`` and ``lose`` are for the connection."""

    __slots__ = ("_acknowledge", "_chunks", "_ended", "_lost", "_pace", "_wake", "awaited", "length", "received")

    def __init__(self, length: int | None, pace: Pace, acknowledge: Callable[[int], Awaitable[None]]) -> None:
        """*acknowledge* is awaited with the flow-controlled size of each piece that was taken."""
        self.length = length
        self.awaited: Callable[[], Awaitable[None]] | None = None
        """Sends ``100 Continue``, if the client waits for it."""
        self.received = 0  # Bytes so far, whether they were taken or not.
        self._chunks: deque[tuple[memoryview, int]] = deque()
        self._pace: Pace | None = pace
        self._acknowledge = acknowledge
        self._ended = self._lost = False
        self._wake = trio.Event()

    @property
    def ended(self) -> bool:
        """Whether the client has sent the last byte."""
        return self._ended

    def arrived(self, data: memoryview, flow: int) -> None:
        """Take what came in DATA frames, of size *flow* with its padding."""
        self.received += len(data)
        if self._chunks and len(data) < SMALL and len(self._chunks[-1][0]) < SMALL:
            # A byte in a frame of its own costs a hundred bytes here, and a window is a million of them.
            last, cost = self._chunks.pop()
            gathered = last.obj if isinstance(last.obj, bytearray) and len(last.obj) == len(last) else bytearray(last)
            last.release()
            gathered += data
            data, flow = memoryview(gathered), flow + cost
        self._chunks.append((data, flow))
        self._wake.set()

    def finish(self) -> None:
        """Note the end of the body."""
        self._ended = True
        self._wake.set()

    def lose(self) -> None:
        """Note that nothing more can come."""
        self._lost = True
        self._wake.set()

    def converse(self) -> None:
        """From now on silence is no sign of a stalled client: the response has begun, and may be a conversation."""
        self._pace = None

    def abandon(self) -> int:
        """Throw away what nobody took, for its stream is over; return its size, to be credited to the connection.

        A body outlives its stream where a task that is not the stream's reads it: that one must neither wait for ever
        nor take a part for the whole.
        """
        flow = sum(flow for _, flow in self._chunks)
        if self._chunks or not self._ended:
            self._ended = False
            self.lose()
        self._chunks.clear()
        return flow

    async def receive(self) -> bytes:
        """See ``message.Body``."""
        while await self._some_left():
            view, flow = self._chunks.popleft()
            await self._acknowledge(flow)
            if view:
                return bytes(view)
        return b""

    async def receive_into(self, buffer: memoryview) -> int:
        """See ``message.Body``."""
        filled = 0
        while filled < len(buffer) and await self._some_left():
            view, flow = self._chunks[0]
            size = min(len(view), len(buffer) - filled)
            buffer[filled : filled + size] = view[:size]
            filled += size
            if size < len(view):
                self._chunks[0] = view[size:], flow
            else:
                self._chunks.popleft()
                await self._acknowledge(flow)
        return filled

    async def _some_left(self) -> bool:
        while not self._chunks:
            if self._ended:
                return False
            if self._lost:
                raise ClientGone("the client went away within a body")
            if self.awaited is not None:
                ask, self.awaited = self.awaited, None
                await ask()
            self._wake = trio.Event()
            if self._pace is None:
                await self._wake.wait()
            else:
                await self._pace.wait(self._woken)
            if self._pace is not None:
                self._pace.moved(sum(len(view) for view, _ in self._chunks))
        return True

    def _woken(self, _: int) -> Awaitable[None]:
        return self._wake.wait()
