"""The dialling side of HTTP/2: one connection, many requests.

Theory of operation
===================
h2 keeps headers, settings and the states of streams. DATA and WINDOW_UPDATE frames go round it: they are nearly
all of the bytes, and h2 copies each several times. What they need is little: windows for both directions, kept
here. The end of a body is told to h2 by an empty DATA frame.

Memory is bounded by the connection's window: ``CONNECTION_WINDOW`` bytes in all may lie here unread. A window is
opened again by what was read, not by what was received, so a reader that stops, stops the sender.

Source: RFC 9113, sections 5.2, 6.1 and 6.9.
"""

from collections.abc import Iterable
from contextlib import ExitStack, suppress

import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import trio
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from node.peers.frames import DATA, END_STREAM, MAX_DATA, WINDOW_UPDATE, Data, Other, Splitter, frame_header
from node.peers.stream import STREAM_WINDOW, Stream
from node.peers.tls import READ, TlsStream
from protocol.errors import PeerFault

CONNECTION_WINDOW = 32 * 1024 * 1024  # Bytes in flight to us in one connection.
MAX_STREAMS = 100  # Requests at once, if the other side takes as many.
_SEND = 262_144  # Bytes of DATA handed to TLS at once.
_SEND_PATIENCE = 30.0  # Seconds for that many bytes to reach the kernel.
_DEFAULT_WINDOW, _MAX_WINDOW = 65_535, 2**31 - 1  # RFC 9113, section 6.9.


class Connection:
    """One connection. ``run`` has to run while it is used; when it ends, all streams fail."""

    def __init__(self, tls: TlsStream) -> None:
        """Take over *tls*, whose handshake is done."""
        self._tls = tls
        self._h2 = h2.connection.H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                SettingCodes.MAX_FRAME_SIZE: MAX_DATA,
                SettingCodes.MAX_HEADER_LIST_SIZE: 16_384,
            },
        )
        self._splitter = Splitter()
        self._streams: dict[int, Stream] = {}
        self._send_window = _DEFAULT_WINDOW
        self._allowed = CONNECTION_WINDOW
        self._consumed = 0  # Bytes read that the window was not opened for.
        self._updates = bytearray()  # WINDOW_UPDATE frames to send.
        self._sending = trio.Lock()
        self._to_write = trio.Event()
        self._slots = trio.CapacityLimiter(MAX_STREAMS)
        self._failure: str | None = None
        self._h2.initiate_connection()
        self.open_window(0, CONNECTION_WINDOW - _DEFAULT_WINDOW)

    @property
    def is_usable(self) -> bool:
        """Whether new requests can begin."""
        return self._failure is None

    @property
    def busy(self) -> int:
        """How many requests are under way."""
        return len(self._streams)

    async def run(self) -> None:
        """Receive until the connection ends; raises nothing but cancellation."""
        reason = "the connection was closed"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_forever)
                await self._receive_forever()
        except* (trio.BrokenResourceError, PeerFault, h2.exceptions.ProtocolError) as group:
            reason = first_reason(group)
        finally:
            self.close(reason)

    async def request(self, path: str, headers: Iterable[tuple[str, str]] = (), *, body: bytes | None) -> Stream:
        """Begin a POST of *body*, or with ``None`` one whose body follows by ``Stream.send``.

        Waits while the other side has as many requests as it takes. ``trio.BrokenResourceError`` where the
        connection has ended. The stream has to be closed, whatever becomes of it.
        """
        slot = object()
        await self._slots.acquire_on_behalf_of(slot)
        try:
            self._check()
            number = self._h2.get_next_available_stream_id()
            head = [(":method", "POST"), (":scheme", "https"), (":authority", "peer"), (":path", path), *headers]
            self._h2.send_headers(number, head)
        except (h2.exceptions.ProtocolError, trio.BrokenResourceError) as error:
            self._slots.release_on_behalf_of(slot)
            raise trio.BrokenResourceError(str(error)) from error
        stream = Stream(self, number, slot, send_window=self._h2.remote_settings.initial_window_size)
        self._streams[number] = stream
        self._to_write.set()
        if body is not None:
            with ExitStack() as unless_sent:
                unless_sent.callback(stream.close)
                await stream.send(body)
                await stream.send_end()
                unless_sent.pop_all()
        return stream

    def close(self, reason: str) -> None:
        """End the connection and fail what is under way, with *reason*."""
        if self._failure is None:
            self._failure = reason
            self._tls.close()
        for stream in list(self._streams.values()):
            stream.end(reason)
            self._release(stream)

    async def send_data(self, stream: Stream, data: memoryview) -> None:
        """Send *data* in DATA frames within both windows."""
        while data and not stream.is_answered:
            if stream.send_window <= 0 or self._send_window <= 0:
                await stream.wait_to_send()
                continue
            async with self._sending:
                stream.check_to_send()
                room = min(len(data), stream.send_window, self._send_window, _SEND)
                if room > 0:
                    stream.send_window -= room
                    self._send_window -= room
                    await self._write(self._in_frames(stream.number, data[:room]))
                    data = data[room:]

    def end(self, stream: Stream) -> None:
        """Send the end of a request's body."""
        with suppress(h2.exceptions.ProtocolError):
            self._h2.end_stream(stream.number)
            self._to_write.set()
        if stream.is_over:
            self._release(stream)

    def forget(self, stream: Stream) -> None:
        """Drop *stream*, and reset it where it has not ended on both sides."""
        if self._streams.get(stream.number) is stream:
            with suppress(h2.exceptions.ProtocolError):
                self._h2.reset_stream(stream.number, ErrorCodes.CANCEL)
            self._to_write.set()
            self._release(stream)

    def consumed(self, count: int) -> None:
        """Count *count* bytes as read or thrown away."""
        self._consumed += count
        if self._consumed >= CONNECTION_WINDOW // 4:
            self._allowed += self._consumed
            self.open_window(0, self._consumed)
            self._consumed = 0

    def open_window(self, number: int, count: int) -> None:
        """Let the other side send *count* bytes more in stream *number*, or in all with 0."""
        self._updates += frame_header(4, WINDOW_UPDATE, 0, number) + count.to_bytes(4, "big")
        self._to_write.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise trio.BrokenResourceError(self._failure)

    def _release(self, stream: Stream) -> None:
        if self._streams.pop(stream.number, None) is not None:
            self._slots.release_on_behalf_of(stream.slot)

    def _in_frames(self, number: int, data: memoryview) -> list[bytes | memoryview]:
        largest = self._h2.max_outbound_frame_size
        parts: list[bytes | memoryview] = []
        for at in range(0, len(data), largest):
            piece = data[at : at + largest]
            parts += (frame_header(len(piece), DATA, 0, number), piece)
        return parts

    async def _write_forever(self) -> None:
        while True:
            await self._to_write.wait()
            async with self._sending:
                await self._write(())

    async def _write(self, parts: Iterable[bytes | memoryview]) -> None:
        """Send what waits and *parts*; the caller holds the lock.

        Shielded, because half a TLS record would end the connection for all: it ends within ``_SEND_PATIENCE``.
        """
        self._check()
        if self._to_write.is_set():  # Or the writing task would go on waiting for the old one.
            self._to_write = trio.Event()
        updates, self._updates = self._updates, bytearray()
        data = b"".join((self._h2.data_to_send(), updates, *parts))
        with trio.move_on_after(_SEND_PATIENCE) as scope:
            scope.shield = True
            await self._tls.send_all(data)
        if scope.cancelled_caught:
            self.close("the other side does not read")
            self._check()

    async def _receive_forever(self) -> None:
        buffer = memoryview(bytearray(READ))
        while True:
            count = await self._tls.receive_into(buffer)
            if not count:
                raise trio.BrokenResourceError("the other side hung up")
            for frame in self._splitter.split(buffer[:count]):
                match frame:
                    case Data(number, piece, ends):
                        self._on_data(number, piece, ends=ends)
                    case Other(kind, number, whole):
                        self._on_other(kind, number, whole)

    def _on_data(self, number: int, piece: bytes, *, ends: bool) -> None:
        self._allowed -= len(piece)
        if self._allowed < 0:
            raise PeerFault("more than the window of a connection allows")
        stream = self._streams.get(number)
        if stream is None:
            self.consumed(len(piece))  # Of a stream that we reset.
            return
        stream.deliver(piece)
        if ends:
            self._on_events(self._h2.receive_data(frame_header(0, DATA, END_STREAM, number)))

    def _on_other(self, kind: int, number: int, frame: bytes) -> None:
        if kind != WINDOW_UPDATE:
            self._on_events(self._h2.receive_data(frame))
            return
        opened = int.from_bytes(frame[9:], "big") & _MAX_WINDOW
        if number == 0:
            self._send_window += opened
            if self._send_window > _MAX_WINDOW:
                raise PeerFault("a window of 2 GiB or more")
            for each in self._streams.values():
                each.notify()
        elif (stream := self._streams.get(number)) is not None:
            stream.open_send_window(opened)

    def _on_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            match event:
                case h2.events.RemoteSettingsChanged():
                    self._on_settings(event)
                case h2.events.ConnectionTerminated():
                    raise trio.BrokenResourceError(f"the other side ended the connection ({event.error_code})")
                case h2.events.ResponseReceived() | h2.events.StreamEnded() | h2.events.StreamReset():
                    stream = self._streams.get(event.stream_id or 0)
                    if stream is not None:
                        self._on_stream_event(stream, event)
                case _:
                    pass
        self._to_write.set()  # h2 may have an answer to settings or a ping.

    def _on_stream_event(self, stream: Stream, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(headers=headers):
                stream.begin({_text(name): _text(value) for name, value in headers or ()})
                # It would compare with bodies that it does not see; the stream does it.
                self._h2.streams[stream.number]._expected_content_length = None  # noqa: SLF001 - h2 has no switch.
            case h2.events.StreamEnded():
                stream.end()
                if stream.has_sent_all:
                    self._release(stream)
            case h2.events.StreamReset(error_code=code):
                stream.reset(f"the other side reset the request ({code})")
                self._release(stream)
            case _:
                pass

    def _on_settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        for code, change in event.changed_settings.items():
            if code == SettingCodes.INITIAL_WINDOW_SIZE:
                for stream in self._streams.values():
                    stream.open_send_window(change.new_value - (change.original_value or 0))
            elif code == SettingCodes.MAX_CONCURRENT_STREAMS:
                self._slots.total_tokens = max(1, min(MAX_STREAMS, change.new_value))


def first_reason(group: BaseExceptionGroup[BaseException]) -> str:
    """Return what the first exception of *group* says."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
