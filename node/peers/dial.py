"""A session that we opened: its control connection, bulk connections beside it, and calls over both.

Bulk connections are opened when they are wanted, up to ``MAX_BULK``, so that one congestion window and one lost
packet hold up nothing else; each goes to the address that the control connection reached, and has to end at the
same node. Those that are idle for ``BULK_IDLE`` seconds are closed.
"""

import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
import trio

from node.peers.calls import MAX_CALLS, MAX_REQUEST, Peer, Received, is_method, reply_to, send_reply
from node.peers.certificates import Certified
from node.peers.connection import Connection
from node.peers.home import Home
from node.peers.session import HELLO_PATIENCE, Control, Session
from node.peers.stream import Stream
from node.peers.tls import dial
from node.telemetry.tracing import outgoing
from protocol.auth.names import NodeName
from protocol.errors import PeerFault
from protocol.wire.descriptor import parse_address
from protocol.wire.frames import frame
from protocol.wire.messages import Bye, Open
from protocol.wire.sessions import Standing, agree

DIAL_PATIENCE = 15.0  # Seconds for TCP and TLS together.
MAX_BULK = 3  # Connections.
BULK_IDLE = 60.0  # Seconds.
PARTING = 1.0  # Seconds for the last frames to leave.
_MAX_REASON = 1024  # Bytes of a refusal.
_LENGTH = re.compile("[0-9]{1,10}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Dialling:
    """One attempt to reach a peer."""

    home: Home
    context: ssl.SSLContext
    address: str
    expected: Callable[[NodeName], bool]
    """Whether the node that answers is the one that is wanted."""
    begun: Callable[[], None]
    """Called when there is a session."""

    async def connect(self) -> tuple[Connection, Certified]:
        """Return a connection, and who is at its other end. Raises as ``hold_session`` does."""
        with trio.move_on_after(DIAL_PATIENCE):
            tls, certificate = await dial(*parse_address(self.address), self.context)
            with ExitStack() as unless_good:
                unless_good.callback(tls.close)
                certified = self.home.check(certificate)
                if not self.expected(certified.name):
                    raise PeerFault(f"{certified.name} answers there, which is not whom we look for")
                unless_good.pop_all()
            return Connection(tls), certified
        raise trio.BrokenResourceError("no answer")


async def hold_session(dialling: Dialling) -> Session:
    """Dial, and hold the session with whoever answers until it ends; return it then.

    Raises:
        trio.BrokenResourceError: nobody is there, or the connection broke before there was a session.
        PeerFault: who answers is not one of those we talk to, or refuses us.
    """
    connection, certified = await dialling.connect()
    outcome: Session | Exception
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        try:
            outcome = await _hold(dialling, connection, certified, nursery)
        except (trio.BrokenResourceError, PeerFault) as error:
            outcome = error  # Raised below: in the nursery it would be wrapped in a group.
        nursery.cancel_scope.cancel()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _hold(dialling: Dialling, connection: Connection, certified: Certified, nursery: trio.Nursery) -> Session:
    home = dialling.home
    stream = await connection.request("/control", body=None)
    hello = home.hello()
    await stream.send(frame(hello))
    control = await _accepted(stream)
    theirs = await control.hello()
    try:
        agreement = agree(hello, theirs, certified=certified.name)
    except PeerFault as fault:
        await stream.send(frame(Bye(str(fault)[:200], fault=True)))
        raise
    link = _DialledLink(dialling, connection, nursery)
    standing = Standing(dialled_by_us=True, boot=theirs.boot)
    session = Session(Peer(certified.name, certified.der), agreement, standing, link, deliver=home.deliver)
    link.session = session
    session.expires = home.until(certified.expires)
    if not home.register(session):
        session.close("another session with this peer stays")
        return session
    try:
        dialling.begun()
        async with trio.open_nursery() as sending:
            sending.start_soon(_send_forever, session, stream)
            await session.run(control)
            sending.cancel_scope.deadline = trio.current_time() + PARTING
    finally:
        session.close("the node is stopping")
        home.unregister(session)
    return session


async def _accepted(stream: Stream) -> Control:
    with trio.move_on_after(HELLO_PATIENCE):
        status = await stream.response()
        if status == 200:
            return Control(stream.receive)
        reason = (await stream.receive())[:_MAX_REASON]
        raise PeerFault(f"it refused us: {reason.decode(errors='replace')}")
    raise trio.BrokenResourceError("no answer to our hello")


async def _send_forever(session: Session, stream: Stream) -> None:
    with suppress(trio.BrokenResourceError):  # The connection ended: the receiving side says so.
        while (frames := await session.outgoing()) is not None:
            await stream.send(frames)
        await stream.send_end()
        while await stream.receive():  # Ends when the peer has read all; hanging up before could cost it our reason.
            pass


class _DialledLink:
    """Calls of the side that opens streams."""

    session: Session

    def __init__(self, dialling: Dialling, control: Connection, nursery: trio.Nursery) -> None:
        self._dialling = dialling
        self._control = control
        self._nursery = nursery
        self._bulk: list[Connection] = []
        self._opening = trio.Lock()
        self._serving = 0

    @asynccontextmanager
    async def call(self, method: str, body: bytes, *, bulk: bool) -> AsyncIterator[Received]:
        connection = await self._connection(bulk=bulk)
        stream = await connection.request(f"/ask/{method}", outgoing(), body=body)
        try:
            yield Received(await stream.response(), stream)
        finally:
            stream.close()

    def on_open(self, message: Open) -> None:
        if self._serving >= MAX_CALLS:
            raise PeerFault(f"more than {MAX_CALLS} calls at once")
        self._serving += 1
        self._nursery.start_soon(self._serve, message)

    def close(self, reason: str) -> None:
        for connection in self._bulk:
            connection.close(reason)

    async def _connection(self, *, bulk: bool) -> Connection:
        if not bulk:
            return self._control
        async with self._opening:  # Or many callers at once would open one each.
            self._bulk = [one for one in self._bulk if one.is_usable]
            best = min(self._bulk, key=lambda one: one.busy, default=None)
            if best is not None and (not best.busy or len(self._bulk) == MAX_BULK):
                return best
            try:
                connection, certified = await self._dialling.connect()
            except PeerFault as fault:
                raise trio.BrokenResourceError(str(fault)) from fault
            if certified.name != self.session.peer.name:
                connection.close("another node answers at this address")
                raise trio.BrokenResourceError(f"{self._dialling.address} is {certified.name} now")
            self._bulk.append(connection)
            self._nursery.start_soon(connection.run)
            self._nursery.start_soon(_close_when_idle, connection)
            return connection

    async def _serve(self, message: Open) -> None:
        """Fetch and answer one call of the listener. What fails, fails this call; a fault ends the session."""
        peer = self.session.peer
        try:
            with self.session.counted():
                connection = await self._connection(bulk=message.bulk)
                stream = await connection.request(f"/call/{message.id.hex()}", body=None)
                try:
                    await self._answer(stream, peer)
                finally:
                    stream.close()
        except PeerFault as fault:
            self.session.close(str(fault), fault=True)
        except trio.BrokenResourceError as error:
            log.debug("a call of a peer broke off", peer=str(peer.name), reason=str(error))
        except Exception:
            log.exception("a call of a peer failed", peer=str(peer.name))
        finally:
            self._serving -= 1

    async def _answer(self, stream: Stream, peer: Peer) -> None:
        if await stream.response() != 200:
            return  # The listener has given it up.
        method, length = stream.headers.get("entrepot-method", ""), stream.headers.get("entrepot-length", "")
        if not is_method(method) or not _LENGTH.fullmatch(length) or int(length) > MAX_REQUEST:
            raise PeerFault("a call without a method or with no proper length")
        body = bytearray(int(length))
        if await stream.receive_into(memoryview(body)) != len(body):
            raise PeerFault("a call that is shorter than it says")
        told = stream.headers.get("traceparent", "")
        with self._dialling.home.tracer.part("answer", told, method=method, peer=str(peer.name)):
            reply = await reply_to(self._dialling.home.answer, peer, method, bytes(body))
            await send_reply(reply, stream.send)
        await stream.send_end()
        while await stream.receive():  # Ends when the listener has read all.
            pass


async def _close_when_idle(connection: Connection) -> None:
    idle = 0.0
    while connection.is_usable and idle < BULK_IDLE:
        await trio.sleep(BULK_IDLE / 4)
        idle = 0.0 if connection.busy else idle + BULK_IDLE / 4
    connection.close("idle")
