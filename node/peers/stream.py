"""One request of the dialling side, and its response: bodies in both directions, each within its window."""

import re
from collections import deque
from typing import Protocol

import trio

from protocol.errors import PeerFault

STREAM_WINDOW = 16 * 1024 * 1024  # Bytes in flight to us in one stream: 1 Gbit/s at 130 ms.
_MAX_WINDOW = 2**31 - 1
_STATUS = re.compile("[1-5][0-9]{2}")
_SMALL = 1024  # Bytes of a piece that the next one is put behind.


class Carrier(Protocol):
    """What a stream needs of its connection."""

    async def send_data(self, stream: "Stream", data: memoryview) -> None: ...  # noqa: D102 - see connection.

    def end(self, stream: "Stream") -> None: ...  # noqa: D102

    def forget(self, stream: "Stream") -> None: ...  # noqa: D102

    def consumed(self, count: int) -> None: ...  # noqa: D102

    def open_window(self, number: int, count: int) -> None: ...  # noqa: D102


class Stream:
    """One request and its response.

    One task may receive while another sends. What fails the stream comes out as ``trio.BrokenResourceError``.
    """

    def __init__(self, carrier: Carrier, number: int, slot: object, *, send_window: int) -> None:
        self.headers: dict[str, str] = {}
        """Of the response; ``:status`` among them."""
        self.number = number
        self.slot = slot
        self.send_window = send_window
        self.has_sent_all = False
        self._carrier = carrier
        self._pieces: deque[bytes | memoryview] = deque()
        self._allowed = STREAM_WINDOW
        self._delivered = 0  # Bytes in all.
        self._consumed = 0  # Bytes read that the window was not opened for.
        self._ended = False
        self._failure: str | None = None
        self._changed = trio.Event()

    @property
    def is_answered(self) -> bool:
        """Whether the whole response has arrived."""
        return self._ended

    @property
    def is_over(self) -> bool:
        """Whether the response has ended or failed."""
        return self._ended or self._failure is not None

    async def response(self) -> int:
        """Wait for the head of the response and return its status."""
        while not self.headers:
            await self._wait()
        return int(self.headers[":status"])

    async def receive(self) -> bytes:
        """Return the next bytes of the body, ``b""`` at its end."""
        while not self._pieces:
            if self._ended:
                return b""
            await self._wait()
        piece = self._pieces.popleft()
        self._read(len(piece))
        return bytes(piece)

    async def receive_into(self, buffer: memoryview) -> int:
        """Fill *buffer*; return how much was there, less than its size at the end only."""
        filled = 0
        while filled < len(buffer):
            while not self._pieces:
                if self._ended:
                    return filled
                await self._wait()
            piece = memoryview(self._pieces.popleft())
            room = len(buffer) - filled
            if len(piece) > room:
                self._pieces.appendleft(piece[room:])
                piece = piece[:room]
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._read(len(piece))
        return filled

    async def send(self, data: bytes | memoryview) -> None:
        """Send the next bytes of the request's body, as the windows of the other side allow.

        Once the response has ended nobody wants the rest, and nothing is sent (RFC 9113, section 8.1).
        """
        await self._carrier.send_data(self, memoryview(data))

    async def send_end(self) -> None:
        """End the request's body."""
        await trio.lowlevel.checkpoint()
        self.check_to_send()
        self.has_sent_all = True
        self._carrier.end(self)

    async def wait_to_send(self) -> None:
        """Wait until a window may have opened."""
        self.check_to_send()
        await self._changed.wait()
        self.check_to_send()

    def check_to_send(self) -> None:
        """Raise ``trio.BrokenResourceError`` where the other side takes no more."""
        if self._failure is not None:
            raise trio.BrokenResourceError(self._failure)

    def close(self) -> None:
        """Give up what has not ended, and tell the other side so. What was received and not read is thrown away."""
        self._failure = self._failure or "given up"
        self._carrier.forget(self)
        self._carrier.consumed(sum(map(len, self._pieces)))
        self._pieces.clear()
        self.notify()

    def begin(self, headers: dict[str, str]) -> None:
        """Take the head of the response; ``PeerFault`` where its status is none."""
        if not _STATUS.fullmatch(headers.get(":status", "")):
            raise PeerFault("an answer whose status is none")
        self.headers = headers
        self.notify()

    def deliver(self, piece: bytes) -> None:
        """Take what arrived; ``PeerFault`` where it is more than the window allows."""
        self._allowed -= len(piece)
        if self._allowed < 0:
            raise PeerFault("more than the window of a stream allows")
        if not piece:
            return
        self._delivered += len(piece)
        if self._pieces and len(self._pieces[-1]) < _SMALL:  # Or a byte in each frame would cost us fifty.
            piece = bytes(self._pieces.pop()) + piece
        self._pieces.append(piece)
        self.notify()

    def end(self, failure: str | None = None) -> None:
        """The other side will send nothing more; *failure* where that is not how it should end."""
        length = self.headers.get("content-length")
        if failure is None and length is not None and length != str(self._delivered):
            failure = f"a body of {length} bytes ended after {self._delivered}"
        if failure is None:
            self._ended = True
        elif not self._ended:
            self._failure = self._failure or failure
        self.notify()

    def reset(self, failure: str) -> None:
        """The other side neither sends nor takes anything more. A response that has ended stays good."""
        if not self._ended:
            self._failure = self._failure or failure
        self.notify()

    def open_send_window(self, count: int) -> None:
        """The other side takes *count* bytes more."""
        self.send_window += count
        if self.send_window > _MAX_WINDOW:
            raise PeerFault("a window of 2 GiB or more")
        self.notify()

    def notify(self) -> None:
        """Wake whoever waits."""
        self._changed.set()
        self._changed = trio.Event()

    async def _wait(self) -> None:
        if self._failure is not None or self._ended:
            raise trio.BrokenResourceError(self._failure or "the response ended early")
        await self._changed.wait()

    def _read(self, count: int) -> None:
        self._consumed += count
        if self._consumed >= STREAM_WINDOW // 4 and not self.is_over:
            self._allowed += self._consumed
            self._carrier.open_window(self.number, self._consumed)
            self._consumed = 0
        self._carrier.consumed(count)
