"""HTTP/2 on one connection: h2 keeps the protocol, a guard in front of it keeps the limits.

One task reads; each request has a task of its own in the nursery of the connection. Whoever has something to send
takes the lock, and sends what h2 has queued before its own bytes, so that frames keep the order in which h2 made
them. Bodies do not go through h2, whose bookkeeping for a frame costs more than encrypting it. Those of responses are
laid out as DATA frames in one buffer of the connection, filled straight from the file, and h2 is told what left its
windows. Those of requests are taken out by the guard; their windows are kept here, and h2 is told of the end.

Half a frame would end all streams, so a write is shielded from the end of its own stream. What ends the connection
still ends it: a task that does nothing else passes that cancellation on.
"""

from contextlib import suppress
from math import inf
from time import thread_time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import trio
from h2.settings import SettingCodes
from h2.stream import StreamInputs

from node.http.census import Guest
from node.http.engine import Engine
from node.http.failures import ClientGone
from node.http.frameguard import (
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Breach,
    FrameGuard,
    Opened,
    Payload,
    goaway,
    window_update,
)
from node.http.h2admission import Admission
from node.http.h2data import BUFFER, DataFrames
from node.http.h2flow import FlowControl
from node.http.h2stream import Headers, Stream
from node.http.limits import Allowance
from node.http.message import Extent
from node.http.transport import Pace, Transport

RECEIVE = 64 * 1024
ENCODER_TABLE = 4096  # Bytes. h2 obeys a client that asks for 4 GiB, and searches it for each header.

SLICE = 2e-3  # Seconds of processor time.
LOOKED_AT = 8  # Parts of a read between two looks at the processor time that they took.
EARNED = 4e-9  # Seconds of processor time that a byte of body pays for: four times what it takes in large frames.
REQUEST = 5e-3  # The same of a head that is one: ten times what it takes. Those that are reset have their own limit.
MAX_STALLED = 2  # Streams whose client stopped reading, before the connection is ended.


class _H2(h2.connection.H2Connection):
    MAX_CLOSED_STREAMS = 1024  # Enough to tell late frames from wrong ones; 65 536 are 7 MB for each connection.

    @property
    def open_inbound_streams(self) -> int:  # type: ignore[explicit-override]  # 3.12 has it.
        """None, for h2 would end the connection of a client that has not read our settings yet; we count ourselves."""
        super().open_inbound_streams  # noqa: B018 - forgets those that are closed.
        return 0


class Http2Connection:
    """Serves one connection; made for each, used once."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        guest: Guest,
        scope: trio.CancelScope,
        hosts: frozenset[str] | None,
    ) -> None:
        """*scope* is that of the connection's task."""
        limits = engine.limits
        self.engine = engine
        self.transport = transport
        self.hosts = hosts
        self._guest = guest
        self._limits = limits
        self._admission = Admission(limits, engine.census, is_known=guest.is_known)
        self.h2 = _H2(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,  # We make them, and the stream checks the handler's part.
                normalize_outbound_headers=False,
            )
        )
        self.h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: self._admission.allowed,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.head,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )
        self.h2.decoder.max_header_list_size = limits.head
        self.guard = FrameGuard(limits)
        self._scope = scope
        self._reading = trio.CancelScope()
        self._writing = trio.CancelScope()
        self._cut = self._broken = False
        self._farewell = NO_ERROR
        self._lock = trio.Lock()
        self._frames = DataFrames()
        self._streams: dict[int, Stream] = {}
        self._nursery: trio.Nursery | None = None  # Of the tasks that serve them.
        self._last_stream = 0
        self._flow = FlowControl(self.h2, limits)
        self._resets = Allowance(limits.resets, limits.resets_per_second)
        self._work = Allowance(limits.work, limits.work)
        self._stalled = 0
        self._header_memory = 0
        self._draining = False

    async def serve(self, received: bytes) -> bool:
        """Serve until either side ends it; *received* is what was read already.

        Returns whether the transport is at the border of a frame, so that it may be closed gently.
        """
        self.engine.endings[self.transport] = self._drain
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(self.engine.limits.connection_window - 65_535)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._pass_on_cancellation)
            try:
                with self._reading:
                    await self._read_forever(received)
            except ClientGone:
                self._broken = True
            for stream in self._admission.close():
                self.ended(stream, finished=False)
            with trio.CancelScope(shield=True):  # Each in a turn of its own; they are as many as streams may be.
                for stream in list(self._streams.values()):
                    stream.lose()
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        if not self._broken:
            # Behind h2's own, which it queues for errors that it found: they name the same code.
            self.transport.send_nowait(self._take_queued() + goaway(self._last_stream, self._farewell))
        return not self._broken

    def _drain(self) -> None:
        """The server stops: take no more requests, say so, and end when those in flight have ended."""
        self._draining = True
        if not self._streams or self._nursery is None:
            self._reading.cancel()
        else:
            self._flow.updates += goaway(self._last_stream, NO_ERROR)
            self._nursery.start_soon(self._write_if_possible)

    async def _write_if_possible(self) -> None:
        with suppress(ClientGone):  # Whoever reads notices.
            await self.write()

    async def _read_forever(self, data: bytes) -> None:
        await self.write()
        while True:
            if data and not await self._look_at(data):
                return
            await self.write()  # Waits while the client does not take our acknowledgements: so it sends in vain.
            await trio.lowlevel.checkpoint()  # 64 KiB of tiny frames are 30 ms of work.
            self._rearm()
            data = await self.transport.receive(RECEIVE)
            if not data:
                return

    async def _look_at(self, data: bytes) -> bool:
        """Handle what came; return whether the connection goes on. Others get their turn after each ``SLICE``."""
        began, turn = thread_time(), 0.0
        try:
            for number, part in enumerate(self.guard.split(data, now=trio.current_time())):
                if isinstance(part, Payload):
                    self._on_payload(part)
                elif isinstance(part, Opened) and self._flow.opened(part.stream_id, part.size):
                    self._wake(part.stream_id)
                else:
                    for event in self.h2.receive_data(window_update(*part) if isinstance(part, Opened) else part):
                        self._on_event(event)
                if not number % LOOKED_AT:
                    spent = self._spend_work(began)
                    began, turn = began + spent, turn + spent
                    if turn > SLICE:
                        await trio.lowlevel.checkpoint()
                        began, turn = thread_time(), 0.0
            self._spend_work(began)
        except Breach as breach:
            self._fail(breach.code, breach.limit)
            return False
        except h2.exceptions.ProtocolError as error:
            self._fail(int(error.error_code), "protocol")
            return False
        return not self._reading.cancel_called

    def _spend_work(self, began: float) -> float:
        """Take the processor time since *began* from the allowance, and return it."""
        spent = thread_time() - began
        if not self._work.spend(spent, now=trio.current_time()):
            raise Breach(ENHANCE_YOUR_CALM, "work")
        return spent

    def _rearm(self) -> None:
        """Set how long the client may be silent."""
        limits = self._limits
        if self.guard.block_open:
            self._reading.deadline = min(self._reading.deadline, trio.current_time() + limits.receiving_head)
        elif self._streams:
            self._reading.deadline = inf
        else:
            self._reading.deadline = trio.current_time() + self.engine.census.idle(self.transport.client)

    def _on_event(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._on_request(event)
            case h2.events.DataReceived():  # For no open stream: else the guard had it.
                with suppress(h2.exceptions.ProtocolError):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                if stream := self._streams.get(event.stream_id or 0):
                    stream.body.finish()
            case h2.events.StreamReset():
                self._spend_reset()
                if stream := self._streams.get(event.stream_id or 0):
                    self._lose(stream)
            case h2.events.RemoteSettingsChanged():
                size = self.h2.remote_settings.header_table_size
                self.h2.encoder.header_table_size = min(size, ENCODER_TABLE)
                self._wake(0)
            case h2.events.SettingsAcknowledged():
                changed = event.changed_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS)
                self._admission.acknowledged(None if changed is None else changed.new_value)
            case h2.events.WindowUpdated():
                self._wake(event.stream_id or 0)
            case _:
                pass

    def _on_payload(self, part: Payload) -> None:
        stream = self._streams.get(part.stream_id)
        self._flow.received(part.flow, None if stream is None else stream.window)
        self._work.earn(len(part.data) * EARNED)
        if stream is None or stream.lost:  # It ended within this frame.
            self._flow.credit(part.flow)
            return
        body = stream.body
        body.arrived(part.data, part.flow)
        if part.ends:
            self.guard.streams.discard(stream.id)
            if inner := self.h2.streams.get(stream.id):
                inner.state_machine.process_input(StreamInputs.RECV_END_STREAM)
            body.finish()
        if body.length is not None and (body.received > body.length or (part.ends and body.received < body.length)):
            self.reset(stream.id, PROTOCOL_ERROR)
            self._lose(stream)

    def _lose(self, stream: Stream) -> None:
        self.guard.streams.discard(stream.id)
        stream.lose()

    def _wake(self, stream_id: int) -> None:
        """Let those look again who wait for a window: one stream, or all where it is that of the connection."""
        for stream in self._streams.values() if not stream_id else [self._streams.get(stream_id)]:
            if stream is not None:
                stream.window_opened.set()

    def _on_request(self, event: h2.events.RequestReceived) -> None:
        limits, census = self._limits, self.engine.census
        self._last_stream = max(self._last_stream, event.stream_id)
        headers = [(bytes(name), bytes(value)) for name, value in event.headers]
        memory = sum(len(name) + len(value) + 32 for name, value in headers)
        # Counted by our tasks, not by h2's open streams: what was reset may still be at work.
        if self._admission.is_full(len(self._streams)):
            self.engine.hit("streams")
            self.reset(event.stream_id, REFUSED_STREAM)
        elif self._header_memory + memory > limits.header_memory:
            self.engine.hit("header_memory")
            self.reset(event.stream_id, REFUSED_STREAM)
        elif census.heads + memory > self.engine.limits.heads:
            self.engine.hit("heads")
            self.reset(event.stream_id, REFUSED_STREAM)
        elif self._draining:
            self.reset(event.stream_id, REFUSED_STREAM)
        else:
            self._header_memory += memory
            census.heads += memory
            self._guest.asks()
            stream = Stream(self, event.stream_id, headers, memory)
            self._streams[event.stream_id] = stream
            self.guard.streams.add(event.stream_id)
            self._admission.wait(stream)
            self._start_waiting()
            if not stream.is_refused:
                self._work.earn(REQUEST)

    def _start_waiting(self) -> None:
        assert self._nursery is not None  # It was there before the first request was read.
        if (stream := self._admission.next(len(self._streams))) is not None:
            self._nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: Stream) -> None:
        with self._admission.serving():
            self._start_waiting()
            await stream.serve()

    def trust(self) -> bool:
        """Give the client what known ones get: it is one now. Return whether that has to be written to it."""
        self._guest.answered(trusted=True)
        if not self._admission.raise_allowed():
            return False
        try:
            self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: self._admission.allowed})
        except h2.exceptions.ProtocolError as error:  # The client broke the connection after it had asked.
            raise ClientGone from error
        self._start_waiting()
        return True

    def _fail(self, code: int, limit: str) -> None:
        """End the connection with a GOAWAY of *code*, from wherever that is noticed."""
        self.engine.hit(limit)
        self._farewell = code
        self._reading.cancel()

    def _spend_reset(self) -> None:
        if not self._resets.spend(1, now=trio.current_time()):
            self._fail(ENHANCE_YOUR_CALM, "resets")

    def reset(self, stream_id: int, code: int) -> None:
        """Queue a RST_STREAM, if the stream is still there."""
        with suppress(h2.exceptions.ProtocolError):
            self.h2.reset_stream(stream_id, code)
            self._spend_reset()

    def stalled(self) -> None:
        """Count a stream whose client stopped reading or sending; a second one ends the connection."""
        self.engine.hit("patience")
        self._stalled += 1
        if self._stalled >= MAX_STALLED:
            self._reading.cancel()

    def ended(self, stream: Stream, *, finished: bool) -> None:
        """Forget *stream*: its task has ended; *finished*: with an answer to what was asked."""
        del self._streams[stream.id]
        if finished:
            self._work.earn(self._limits.work)
        self._header_memory -= stream.memory
        self.engine.census.heads -= stream.memory
        self.guard.streams.discard(stream.id)
        self._flow.credit(stream.body.abandon())
        self._start_waiting()
        if not self._streams:
            self._guest.rests()
            self._frames.forget()
            if self._draining:
                self._reading.cancel()
            else:
                self._rearm()

    def window(self, stream_id: int, left: int) -> int:
        """See ``FlowControl.usable``."""
        return self._flow.usable(stream_id, left)

    async def send_head(self, stream_id: int, headers: Headers, body: bytes = b"", *, ends: bool) -> None:
        """Send a head and, if the window takes it, a small *body*; *ends*: nothing follows."""
        try:
            self.h2.send_headers(stream_id, headers, end_stream=ends and not body)
            if body:
                self.h2.send_data(stream_id, body, end_stream=ends)
        except h2.exceptions.ProtocolError as error:
            raise ClientGone from error
        await self.write()

    async def end_body(self, stream_id: int) -> None:
        """Say that the body is complete."""
        try:
            self.h2.end_stream(stream_id)
        except h2.exceptions.ProtocolError as error:
            raise ClientGone from error
        await self.write()

    async def acknowledge(self, stream: Stream, size: int) -> None:
        """Let the client send *size* more bytes on *stream*, in steps that are worth a frame."""
        self._flow.credit(size)
        if not stream.body.ended:
            self._flow.credit_stream(stream.id, stream.window, size)
        if self._flow.updates:
            await self.write()

    def _take_queued(self) -> bytes:
        updates, self._flow.updates = self._flow.updates, b""
        return self.h2.data_to_send() + updates

    async def write(self, data: bytes = b"") -> None:
        """Send what h2 has queued, then *data*. Does not wait if the socket takes it."""
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()
        try:
            pending = self._take_queued() + data
            if pending and (sent := self.transport.send_nowait(pending)) < len(pending):
                await self._send(memoryview(pending)[sent:])
        finally:
            self._lock.release()

    async def send_body(self, stream_id: int, piece: bytes | Extent, at: int) -> int:
        """Send DATA frames from *piece* as far as the windows and one write go; return how many bytes.

        *at* is where to begin in *piece*. ``OSError``: the file is too short, or the medium failed.
        """
        async with self._lock:
            left = (piece.length if isinstance(piece, Extent) else len(piece)) - at
            size = min(left, self.window(stream_id, left), BUFFER)
            if not size:
                return 0  # Another stream took the connection's window meanwhile.
            # Reserved before the file is read, for another stream may send meanwhile.
            self._flow.spend(stream_id, size)
            frames, count = await self._frames.fill(stream_id, piece, at, size, self.h2.max_outbound_frame_size)
            self._flow.spend(stream_id, count - size)
            if pending := self._take_queued():
                await self._send(pending, more=True)
            await self._send(frames)
        if isinstance(piece, Extent):
            self.engine.senders.counts.copied_bytes += count
        self.guard.sent(count)
        self._work.earn(count * EARNED)
        return count

    async def _send(self, data: bytes | memoryview, *, more: bool = False) -> None:
        """Send all of *data*; the lock is held. Shielded, for as long as the client makes progress."""
        with trio.CancelScope(shield=True) as self._writing:
            if self._cut:
                self._writing.cancel()
            await self.transport.send(data, Pace(self._writing, self.engine.limits), more=more)
        if self._writing.cancelled_caught:
            self._broken = True
            self._scope.cancel()
            raise ClientGone("the client takes nothing more")

    async def _pass_on_cancellation(self) -> None:
        """When the connection is cancelled, cancel the write that is shielded from the end of its stream."""
        try:
            await trio.sleep_forever()
        finally:
            self._cut = True
            self._writing.cancel()
