"""A session with one peer: its control stream, and calls in both directions.

The two sides differ only in how a call travels (``Link``). All else is the same: hello has been exchanged before a
``Session`` is made, then both send frames when they like. Control frames are few and small; large things travel
in replies.

A session ends by ``close``, when the peer is silent or breaks a rule, when its certificate runs out, or when the
control stream does. ``retire`` ends it softly: nothing new is asked on it, and it is closed when what is under way
has ended.

Source: peers.md 3.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from math import inf
from typing import Protocol, TypeAlias

import trio

from node.peers.calls import Peer, Received, is_method
from node.telemetry.tracing import span
from protocol.errors import PeerFault
from protocol.wire.frames import FrameReader, Pace, frame
from protocol.wire.liveness import Answered, GiveUp, Heard, Liveness, SendPing, Wake
from protocol.wire.messages import (
    MAX_FRAME,
    Bye,
    Descriptors,
    Hello,
    Message,
    Open,
    Ping,
    Pong,
)
from protocol.wire.sessions import Agreement, Standing

HELLO_PATIENCE = 10.0  # Seconds for the peer's hello.
_QUEUE = 64  # Frames that wait to be sent before ``send`` waits.

Deliver: TypeAlias = Callable[["Session", Descriptors], Awaitable[None]]
"""``await deliver(session, message)``: while it waits nothing else is read from this peer, pongs neither: so it must
return within a few seconds."""


class Link(Protocol):
    """How one side's calls travel."""

    def call(self, method: str, body: bytes, *, bulk: bool) -> AbstractAsyncContextManager[Received]:
        """Call *method* of the peer."""

    def on_open(self, message: Open) -> None:
        """The peer has a request for us; ``PeerFault`` where it may not ask so."""

    def close(self, reason: str) -> None:
        """End what belongs to the session beside the control stream."""


class Control:
    """The receiving half of a control stream: messages one at a time."""

    def __init__(self, receive: Callable[[], Awaitable[bytes]]) -> None:
        """*receive* returns the next bytes, ``b""`` at the end."""
        self._receive = receive
        self._reader = FrameReader(now=trio.current_time())
        self._messages: deque[Message] = deque()

    async def next(self) -> Message | None:
        """Return the next message, ``None`` at the end. ``PeerFault`` where a frame is none or one too many."""
        while not self._messages:
            data = await self._receive()
            if not data:
                return None
            self._messages += self._reader.receive(data, now=trio.current_time())
        return self._messages.popleft()

    async def hello(self) -> Hello:
        """Return the peer's hello, which has to be the first message and come soon."""
        with trio.move_on_after(HELLO_PATIENCE):
            match await self.next():
                case Hello() as hello:
                    return hello
                case Bye(reason=reason):
                    raise PeerFault(f"it refused us: {reason}")
                case None:
                    raise trio.BrokenResourceError("the other side hung up before its hello")
                case other:
                    raise PeerFault(f"a {type(other).__name__} before hello")
        raise trio.BrokenResourceError("no hello came")


class Session:
    """One session. ``run`` has to run for as long as it lasts, and ``outgoing`` has to be sent."""

    def __init__(self, peer: Peer, agreement: Agreement, standing: Standing, link: Link, *, deliver: Deliver) -> None:
        """Begin after hellos: *agreement* is what they said, *standing* decides between two sessions."""
        self.peer = peer
        self.agreement = agreement
        self.standing = standing
        self.is_retired = False
        """Whether nothing new is asked here, by us or by the peer."""
        self.ended = ""
        """Why the session ended; empty while it lasts."""
        self.calls = 0
        """How many calls are under way, of both sides."""
        self.began = trio.current_time()
        self.expires = inf
        """When the peer's certificate does, on trio's clock."""
        self._link = link
        self._deliver = deliver
        self._peer_retired = False
        self._queue: deque[tuple[bytes, bool]] = deque()  # Frames, and whether each counts in *waiting*.
        self._queued = trio.Event()
        self._waiting = 0  # Frames in *queue* that hold a place.
        self._sent = trio.Event()
        self._pace = Pace(now=trio.current_time())
        self._liveness = Liveness(now=trio.current_time())
        self._scope = trio.CancelScope()
        self._calls: set[trio.CancelScope] = set()

    @property
    def round_trip(self) -> float | None:
        """Seconds to the peer and back, smoothed; ``None`` before the first answer to a ping."""
        return self._liveness.round_trip

    @asynccontextmanager
    async def call(self, method: str, body: bytes, *, bulk: bool = False) -> AsyncIterator[Received]:
        """Call *method* of the peer; the block reads the reply, and leaving it gives up what was not read.

        Args:
            method: what ``answer`` of the other side knows.
            body: at most ``MAX_REQUEST`` bytes.
            bulk: the reply is large: it travels on a connection of its own kind.

        Raises:
            trio.BrokenResourceError: the session ended, or the reply broke off; also inside the block.
        """
        if not is_method(method):
            raise ValueError(f"not a method: {method}")
        if self.is_retired:
            raise trio.BrokenResourceError(self.ended or "the session is being replaced")
        traced = span("call", "client", method=method, peer=str(self.peer.name))
        with trio.CancelScope() as scope, self.counted(), traced:
            self._calls.add(scope)
            try:
                async with self._link.call(method, body, bulk=bulk) as reply:
                    yield reply
            finally:
                self._calls.discard(scope)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError(self.ended or "the session ended")

    async def send(self, message: Message) -> None:
        """Queue *message*, at the pace that its kind allows.

        ``trio.BrokenResourceError`` when the session has ended.
        """
        packed = frame(message)
        await trio.sleep(self._pace.delay(message, now=trio.current_time()))
        while self._waiting >= _QUEUE and not self.ended:
            await self._sent.wait()
        if self.ended:
            raise trio.BrokenResourceError(self.ended)
        self._waiting += 1
        self._push(packed, holds_place=True)

    async def outgoing(self) -> bytes | None:
        """Return frames to send next, as many as are waiting; ``None`` when the session has ended."""
        while not self._queue:
            if self.ended:
                return None
            await self._queued.wait()
        parts = bytearray()
        while self._queue and len(parts) < MAX_FRAME:
            packed, holds_place = self._queue.popleft()
            parts += packed
            self._waiting -= holds_place
        self._sent.set()
        self._sent = trio.Event()
        return bytes(parts)

    async def run(self, control: Control) -> str:
        """Handle what the peer says until the session ends; return why it did."""
        reason = "the peer ended the session"
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_alive)
                    nursery.start_soon(self._expire)
                    await self._receive_forever(control)
                    nursery.cancel_scope.cancel()
        except* PeerFault as group:
            reason = str(group.exceptions[0])
            self.close(reason, fault=True)
        except* trio.BrokenResourceError as group:
            reason = str(group.exceptions[0])
        finally:
            self.close(reason)
        return self.ended

    def greet(self, hello: Hello) -> None:
        """Put our *hello* before all else, where it was not sent before there was a session."""
        self._queue.appendleft((frame(hello), False))

    def retire(self, reason: str) -> None:
        """Ask nothing new here, and close when what is under way has ended.

        Both sides say ``bye``. The dialler then knows all that is under way, for the listener's calls before its
        bye have come to it as ``open``: so it is the one that closes.
        """
        if not self.is_retired and not self.ended:
            self.is_retired = True
            self._push(frame(Bye(reason)))
            self.close_if_drained()

    def close(self, reason: str, *, fault: bool = False) -> None:
        """End the session now; with *fault* the peer is told that it broke the protocol."""
        if self.ended:
            return
        if fault:
            self._push(frame(Bye(reason[:200], fault=True)))
        self.ended, self.is_retired = reason, True
        self._queued.set()
        self._sent.set()
        self._scope.cancel()
        for scope in self._calls:
            scope.cancel()
        self._link.close(reason)

    def close_if_drained(self) -> None:
        """Close a session that both sides have retired and on which nothing is under way."""
        if self.standing.dialled_by_us and self.is_retired and self._peer_retired and not self.calls:
            self.close("replaced by a newer session")

    def counted(self) -> "_Counted":
        """Count a call for as long as a block takes."""
        return _Counted(self)

    def _push(self, packed: bytes, *, holds_place: bool = False) -> None:
        self._queue.append((packed, holds_place))
        self._queued.set()
        self._queued = trio.Event()

    async def _receive_forever(self, control: Control) -> None:
        while (message := await control.next()) is not None:
            self._liveness.handle(Heard(), now=trio.current_time())
            match message:
                case Hello():
                    raise PeerFault("a second hello")
                case Ping(n):
                    self._push(frame(Pong(n)))  # At most as many wait as the bound on pings lets through.
                case Pong(n):
                    self._liveness.handle(Answered(n), now=trio.current_time())
                case Open():
                    self._link.on_open(message)
                case Bye(reason, fault):
                    if fault:
                        raise trio.BrokenResourceError(f"the peer says that we broke the protocol: {reason}")
                    self._peer_retired = True
                    self.retire("so does the peer")
                    self.close_if_drained()
                case Descriptors():
                    await self._deliver(self, message)

    async def _keep_alive(self) -> None:
        while True:
            await trio.sleep_until(self._liveness.deadline)
            for effect in self._liveness.handle(Wake(), now=trio.current_time()):
                match effect:
                    case SendPing(n):
                        self._push(frame(Ping(n)))
                    case GiveUp(seconds):
                        raise trio.BrokenResourceError(f"the peer has been silent for {seconds:.0f} seconds")

    async def _expire(self) -> None:
        """TLS looks at certificates in the handshake and never again."""
        await trio.sleep_until(self.expires)
        raise trio.BrokenResourceError("the certificate of the peer has run out")


class _Counted:
    """Counts one call of *session* while its block runs."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> None:
        self._session.calls += 1

    def __exit__(self, *_: object) -> None:
        self._session.calls -= 1
        self._session.close_if_drained()
