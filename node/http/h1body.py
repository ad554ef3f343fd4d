"""The body of an HTTP/1.1 request, straight from the socket into the hands of the handler."""

from trio.lowlevel import checkpoint

from node.http.failures import ClientGone, Rejected
from node.http.h1guard import ChunkedFraming, Head, find_line
from node.http.limits import Limits
from node.http.transport import Pace, Transport

PIECE = 64 * 1024  # Bytes in what ``receive`` returns, at most.
_TURN = 64  # Lines of the framing that are read before others get their turn.
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Http1Body:
    """Implements ``message.Body``. *buffer* holds what was received after the head and keeps what comes behind."""

    __slots__ = (
        "_buffer", "_framing", "_left", "_limits", "_lines", "_pace", "_transport", "awaited", "failure", "length",
    )  # fmt: skip

    def __init__(self, head: Head, buffer: bytearray, transport: Transport, pace: Pace, limits: Limits) -> None:
        self.length = head.length
        self._buffer = buffer
        self._transport = transport
        self._pace = pace
        self._limits = limits
        self._framing = None if head.length is not None else ChunkedFraming(limits)
        self._lines = 0
        self._left = head.length or 0  # Bytes before the end, or before the next line of the framing.
        self.awaited = head.expects_continue and head.length != 0 and not buffer
        """Whether the client waits for ``100 Continue``. Bytes that came with the head say that it does not."""
        self.failure: Rejected | None = None  # Why the framing was refused.

    @property
    def ended(self) -> bool:
        """Whether the next request begins at the start of the buffer, or of what comes."""
        return not self._left if self._framing is None else self._framing.ended

    @property
    def is_drained_easily(self) -> bool:
        """Whether reading the rest costs less than a new connection."""
        return self._framing is None and not self.awaited and self._left <= self._limits.drain

    async def receive(self) -> bytes:
        """See ``message.Body``."""
        if not await self._some_left():
            return b""
        size = min(PIECE, self._left)
        if self._buffer:
            data = bytes(self._buffer[:size])
            del self._buffer[:size]
        else:
            data = await self._transport.receive(size, self._pace)
        self._take(len(data))
        return data

    async def receive_into(self, buffer: memoryview) -> int:
        """See ``message.Body``."""
        filled = 0
        while filled < len(buffer) and await self._some_left():
            size = min(len(buffer) - filled, self._left)
            if self._buffer:
                size = min(size, len(self._buffer))
                buffer[filled : filled + size] = self._buffer[:size]
                del self._buffer[:size]
            else:
                size = await self._transport.receive_into(buffer[filled : filled + size], self._pace)
            self._take(size)
            filled += size
        return filled

    def _take(self, count: int) -> None:
        if not count:
            raise ClientGone("the client ended within a body")
        self._left -= count
        if self._framing is not None:
            self._framing.remaining -= count

    async def _some_left(self) -> bool:
        """Send 100 Continue where it is waited for, read the framing, and return whether bytes of body follow."""
        if self.awaited:
            self.awaited = False
            await self._transport.send(_CONTINUE, self._pace)
        if self._framing is None or self._left:
            return self._left > 0
        while not self._framing.ended and not self._left:
            await self._read_line(self._framing)
        return self._left > 0

    async def _read_line(self, framing: ChunkedFraming) -> None:
        self._lines += 1
        if not self._lines % _TURN:
            await checkpoint()
        try:
            while (length := find_line(self._buffer, self._limits)) < 0:
                data = await self._transport.receive(PIECE, self._pace)
                self._buffer += data
                if not data:
                    raise ClientGone("the client ended within a body")
            line = bytes(self._buffer[:length])
            del self._buffer[: length + 2]
            framing.line(line)
        except Rejected as rejected:
            self.failure = rejected
            raise ClientGone(rejected.message) from rejected
        self._left = framing.remaining
