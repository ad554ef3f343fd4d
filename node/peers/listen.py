"""What the peer port answers: control streams, calls, and joiners.

An ``Application`` for the server engine, whose limits guard the port. The engine asks each client for a certificate
and lets one without pass; here it may open ``/join`` and nothing else. A certificate is checked for each request,
against those who are trusted now, and calls are answered only within a session.

A control stream is one request whose body and response both last as long as the session: frames come in by the
body and go out by the response.
"""

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import msgspec
import structlog
import trio

from node.http.limits import Limits
from node.http.message import Body, Pieces, Request, Response
from node.peers.calls import MAX_CALLS, MAX_REQUEST, Peer, Received, is_method, read_all, reply_to
from node.peers.certificates import Certified
from node.peers.home import Home
from node.peers.invitations import redeem
from node.peers.session import Control, Session
from node.telemetry.tracing import outgoing
from protocol.errors import PeerFault, Refusal
from protocol.wire.joining import MAX_JOIN, MAX_NODES, Join, Welcome
from protocol.wire.messages import CALL_ID_SIZE, Open
from protocol.wire.sessions import Standing, agree

OPEN_PATIENCE = 30.0  # Seconds for the dialler to come for a call.
_CALL = re.compile(f"[0-9a-f]{{{2 * CALL_ID_SIZE}}}")
MAX_JOINING = 4  # Requests to join that are looked at at once; strangers all.

PEER_LIMITS = Limits(
    connections=1024,
    connections_each=256,  # Many nodes may sit behind one address, each with a control and some bulk connections.
    streams_unknown=100,  # Who has no certificate may ask for one thing, and it is cheap.
    stream_window=16 * 1024 * 1024,  # Chunks come to us in bodies, over long ways.
    connection_window=32 * 1024 * 1024,
    resets=1000,  # A reply that is given up is a reset.
    resets_per_second=100,
)
"""What the server engine has to be given for the peer port."""


def has_certificate(request: Request, status: int) -> bool:
    """See ``node.http.message.Trusts``: an answer to who showed a certificate that is trusted."""
    return request.certificate is not None and status < 400


log = structlog.get_logger()


class PeerPort:
    """The application of the peer port. ``run`` of the mesh owns the sessions that begin here."""

    def __init__(self, home: Home, nursery: trio.Nursery) -> None:
        """*nursery* holds the sessions."""
        self._home = home
        self._nursery = nursery
        self._links: dict[bytes, _ListeningLink] = {}  # Call id -> who waits for it.
        self._joining = 0

    async def application(self, request: Request) -> Response:
        """Answer one request."""
        where = request.path.split("/")[1:]
        if where[0] == "join":
            return await self._on_join(request, where[1:])
        if request.certificate is None:
            return _refused(403, "come with a certificate, or with a token to /join")
        try:
            return await self._on_peer(request, self._home.check(request.certificate), where)
        except PeerFault as fault:
            log.warning("peer refused", client=request.client, reason=str(fault))
            return _refused(403, str(fault))

    async def _on_peer(self, request: Request, certified: Certified, where: list[str]) -> Response:
        match where:
            case ["control"]:
                return await self._on_control(request, certified)
            case ["ask", method] if is_method(method):
                return await self._on_ask(request, certified, method)
            case ["call", number]:
                return self._on_call(request, certified, number)
            case _:
                return _refused(404, "no such door")

    async def _on_control(self, request: Request, certified: Certified) -> Response:
        control = Control(request.body.receive)
        theirs = await control.hello()
        hello = self._home.hello()
        agreement = agree(hello, theirs, certified=certified.name)
        link = _ListeningLink(self._links, certified)
        standing = Standing(dialled_by_us=False, boot=theirs.boot)
        session = Session(Peer(certified.name, certified.der), agreement, standing, link, deliver=self._home.deliver)
        link.session = session
        session.expires = self._home.until(certified.expires)
        session.greet(hello)
        if not self._home.register(session):
            session.close("another session with this peer stays")
            return _refused(409, session.ended)
        self._nursery.start_soon(self._run, session, control)
        return Response(200, body=Pieces(_Frames(session), length=None))

    async def _run(self, session: Session, control: Control) -> None:
        try:
            await session.run(control)
        except Exception:
            log.exception("a session failed", peer=str(session.peer.name))
        finally:
            session.close("the node is stopping")
            self._home.unregister(session)

    async def _on_ask(self, request: Request, certified: Certified, method: str) -> Response:
        sessions = self._home.find(certified.name)
        if not sessions:
            return _refused(421, "there is no session")
        try:
            body = await read_all(request.body, MAX_REQUEST)
            reply = await reply_to(self._home.answer, sessions[0].peer, method, body)
        except PeerFault as fault:
            sessions[0].close(str(fault), fault=True)
            return _refused(400, str(fault))
        return Response(reply.status, body=reply.body)

    def _on_call(self, request: Request, certified: Certified, number: str) -> Response:
        key = bytes.fromhex(number) if _CALL.fullmatch(number) else b""
        link = self._links.get(key)
        if link is None or link.certified.name != certified.name:
            return _refused(404, "no such call")
        return link.arrived(key, request.body)

    async def _on_join(self, request: Request, where: list[str]) -> Response:
        identity = self._home.identity
        if identity.is_local:
            return _refused(503, "no one can join here")
        if where == ["authority"]:
            return Response(200, body=identity.authority.pem)
        try:
            # Before one of the few places is taken: a stranger may send it as slowly as bodies may come.
            join = msgspec.msgpack.decode(await read_all(request.body, MAX_JOIN), type=Join)
        except (msgspec.MsgspecError, RecursionError, PeerFault):
            return _refused(400, "not a request to join")
        return await self._admit(request, join)

    async def _admit(self, request: Request, join: Join) -> Response:
        identity = self._home.identity
        if self._joining >= MAX_JOINING:
            return _refused(503, "no one can join here now")
        self._joining += 1
        try:
            regions, now = self._home.known_regions(), self._home.now()
            joined = await trio.to_thread.run_sync(lambda: redeem(identity, join, regions, now=now))
        except Refusal as refusal:
            log.warning("join refused", client=request.client, reason=str(refusal))
            return _refused(refusal.status, str(refusal))
        except PeerFault:
            return _refused(400, "not a request to join")
        finally:
            self._joining -= 1
        log.info("node joined", peer=str(joined.name), client=request.client)
        is_replica = joined.name.registry == identity.registry
        welcome = Welcome(
            joined.name.registry.region,
            joined.name.node,
            joined.certificate,
            identity.registry_key if is_replica else b"",
            self._home.introductions()[:MAX_NODES],
        )
        return Response(200, body=msgspec.msgpack.encode(welcome))


class _Frames:
    """The frames of a session as the body of a response."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        frames = await self._session.outgoing()
        if frames is None:
            raise StopAsyncIteration
        return frames


class _Pending:
    """One call of ours that the dialler has to come for."""

    def __init__(self, method: str, body: bytes) -> None:
        self.method = method
        self.body = body
        self.traced = outgoing()
        self.source: Body | None = None
        self.came = trio.Event()
        self.over = trio.Event()


class _ListeningLink:
    """Calls of the side that cannot open streams."""

    session: Session

    def __init__(self, links: dict[bytes, "_ListeningLink"], certified: Certified) -> None:
        self.certified = certified
        self._links = links
        self._pending: dict[bytes, _Pending] = {}
        self._slots = trio.CapacityLimiter(MAX_CALLS)

    @asynccontextmanager
    async def call(self, method: str, body: bytes, *, bulk: bool) -> AsyncIterator[Received]:
        key, pending = secrets.token_bytes(CALL_ID_SIZE), _Pending(method, body)
        slot = object()
        await self._slots.acquire_on_behalf_of(slot)
        self._pending[key], self._links[key] = pending, self
        try:
            await self.session.send(Open(key, bulk))
            with trio.move_on_after(OPEN_PATIENCE):
                await pending.came.wait()
            if pending.source is None:
                raise trio.BrokenResourceError("the peer did not come for a call")
            status = bytearray(2)
            if await pending.source.receive_into(memoryview(status)) != 2:
                raise trio.BrokenResourceError("the reply has no status")
            yield Received(int.from_bytes(status, "big"), pending.source)
        finally:
            del self._pending[key]
            self._links.pop(key, None)
            pending.over.set()
            self._slots.release_on_behalf_of(slot)

    def on_open(self, message: Open) -> None:
        raise PeerFault(f"it dialled, and says open({message.id.hex()})")

    def close(self, reason: str) -> None:  # noqa: ARG002 - calls end with the scopes of the session.
        for key in self._pending:
            self._links.pop(key, None)

    def arrived(self, key: bytes, body: Body) -> Response:
        """The dialler came for call *key*, whose reply will be in *body*."""
        pending = self._pending[key]
        del self._links[key]  # Once only.
        pending.source = body
        pending.came.set()
        headers = (("entrepot-method", pending.method), ("entrepot-length", str(len(pending.body))), *pending.traced)
        return Response(200, headers, Pieces(_Asking(pending), length=None))


class _Asking:
    """Our request as the body of a response, which ends when the reply to it was read."""

    def __init__(self, pending: _Pending) -> None:
        self._pending = pending
        self._sent = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._sent and self._pending.body:
            self._sent = True
            return self._pending.body
        await self._pending.over.wait()
        raise StopAsyncIteration  # What was not read of the reply, the engine refuses with NO_ERROR.


def _refused(status: int, reason: str) -> Response:
    return Response(status, body=reason[:1000].encode())
