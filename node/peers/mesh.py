"""Sessions with all nodes that are known, kept up: what the daemon runs.

Who is known comes from the token, from trusted accounts' addresses, and from what peers say about the nodes of their
account; each new descriptor is passed on once, so all learn of all. ``keep`` dials each of them. Of two sessions with
one peer one stays; the other is retired, and ends when nothing is under way on it.

Source: peers.md 2, 3.
"""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from random import Random

import structlog
import trio

from node.http.message import Request, Response
from node.peers.calls import Answer
from node.peers.certificates import Certified
from node.peers.identity import Identity
from node.peers.keep import Keeper
from node.peers.listen import PeerPort
from node.peers.nodes import Nodes
from node.peers.session import Session
from node.peers.tls import client_context, server_context
from node.peers.trust import load_trust
from node.telemetry.tracing import Tracer, no_traces
from protocol.auth.names import Account, NodeName, Region, RegistryName
from protocol.errors import PeerFault
from protocol.wire.descriptor import Descriptor, SignedDescriptor
from protocol.wire.messages import (
    MAX_DESCRIPTORS,
    MAX_VERSION,
    MIN_VERSION,
    Descriptors,
    Hello,
)
from protocol.wire.sessions import newer_stays

WRITE_DELAY = 0.5  # Seconds in which changes of the list of nodes are gathered.

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class World:
    """What the mesh is given by the composition root."""

    answer: Answer
    now: Callable[[], float]  # Wall time, UTC.
    random: Random
    addresses: tuple[str, ...]  # Where others reach our peer port; none where nobody does.
    kinds: tuple[str, ...] = ()  # Entry kinds that we can merge.
    software: str = ""
    tracer: Tracer = field(default_factory=no_traces)


class Mesh:
    """All sessions of this node; made by ``open_mesh``."""

    def __init__(self, identity: Identity, world: World, nursery: trio.Nursery) -> None:
        self.identity = identity
        self.nodes = Nodes(identity, identity.trusted)
        self.server_context = server_context(identity.folder, ())
        """For the peer port; authorities that are trusted later are put into it."""
        self._world = world
        self._nursery = nursery
        self._port = PeerPort(self, nursery)
        self._client_context = client_context(identity.folder, ())
        self._boot = secrets.token_bytes(8)
        self._trusted = identity.trusted
        self._sessions: dict[NodeName, Session] = {}
        self._retired: dict[NodeName, list[Session]] = {}
        self._changed = trio.Event()
        self._dirty = trio.Event()
        self._load_authorities()
        self.nodes.read(now=self.now())
        self.nodes.describe_ourselves(world.addresses, world.software, now=self.now())
        self._changed_nodes()

    # For the daemon and for those who use sessions.

    async def application(self, request: Request) -> Response:
        """Answer a request at the peer port; the engine gets ``listen.PEER_LIMITS`` and ``server_context``."""
        return await self._port.application(request)

    def sessions(self) -> list[Session]:
        """Return all sessions that can be asked, nearest first."""
        return sorted(self._sessions.values(), key=lambda one: inf if one.round_trip is None else one.round_trip)

    def sessions_to(self, registry: RegistryName) -> list[Session]:
        """Return the sessions with nodes of *registry*, nearest first by measured round trip."""
        return [one for one in self.sessions() if one.peer.registry == registry]

    async def wait_for_change(self) -> None:
        """Wait until a session begins or ends, or another node is known."""
        await self._changed.wait()

    def reload(self) -> None:
        """Take over what `trust add` and `trust rm` changed. ``Damaged`` where the file is not readable."""
        self._trusted = load_trust(self.identity.folder)
        self._load_authorities()
        self.nodes.trust(self._trusted)
        ours = self.identity.registry.account
        for session in [*self._sessions.values(), *(one for some in self._retired.values() for one in some)]:
            account = session.peer.registry.account
            if account != ours and account not in self._trusted:
                session.close("the account is not trusted any more")
        self._changed_nodes()

    def leave(self) -> None:
        """End the sessions that others dialled: the node stops, and each of them is a request that lasts for ever."""
        for session in [*self._sessions.values(), *(one for some in self._retired.values() for one in some)]:
            if not session.standing.dialled_by_us:
                session.close("the node is stopping")

    # For sessions: see ``home.Home``.

    @property
    def answer(self) -> Answer:
        """Answers the calls of peers."""
        return self._world.answer

    @property
    def tracer(self) -> Tracer:
        """Goes on with the traces of peers."""
        return self._world.tracer

    def now(self) -> float:
        """Return the wall time, UTC, seconds since 1970."""
        return self._world.now()

    def wall(self, moment: float) -> float:
        """Return in UTC what *moment* is on trio's clock."""
        return self.now() + moment - trio.current_time()

    def until(self, expires: float) -> float:
        """Return on trio's clock what *expires* is in UTC."""
        return trio.current_time() + max(0.0, expires - self.now())

    def hello(self) -> Hello:
        """Return what we say first."""
        return Hello(
            MIN_VERSION,
            MAX_VERSION,
            self.identity.name,
            self.identity.incarnation,
            self._boot,
            int(self.now() * 1000),
            self._world.kinds,
            (),
            self._world.software[:64],
        )

    def check(self, certificate: bytes) -> Certified:
        """Return who *certificate* is of, or raise ``PeerFault``."""
        certified = self.nodes.check(certificate, now=self.now())
        if certified.name == self.identity.name:
            raise PeerFault("it is this very node")
        return certified

    def register(self, session: Session) -> bool:
        """Take up *session* unless another one with this peer stays."""
        name = session.peer.name
        old = self._sessions.get(name)
        if old is not None:
            if not newer_stays(old.standing, session.standing, ours=self.identity.name.node, theirs=name.node):
                return False
            self._retired.setdefault(name, []).append(old)
            if old.standing.boot == session.standing.boot:
                old.retire("a newer session takes its place")
            else:
                old.close("the peer has started anew")
        self._sessions[name] = session
        log.info("session begun", peer=str(name), dialled=session.standing.dialled_by_us)
        self._notify()
        self._nursery.start_soon(self._introduce, session)
        return True

    def unregister(self, session: Session) -> None:
        """Forget *session*, which has ended."""
        name = session.peer.name
        if self._sessions.get(name) is session:
            del self._sessions[name]
        retired = [one for one in self._retired.pop(name, ()) if one is not session]
        if retired:
            self._retired[name] = retired
        log.info("session ended", peer=str(name), reason=session.ended)
        self._notify()

    def find(self, name: NodeName) -> list[Session]:
        """Return the sessions with *name*, the current one first."""
        current = self._sessions.get(name)
        return ([current] if current else []) + self._retired.get(name, [])

    async def deliver(self, session: Session, message: Descriptors) -> None:
        """Take a message of *session*."""
        ours, theirs = self.identity.registry.account, session.peer.registry.account
        news: list[Descriptor] = []
        for signed in message.nodes:
            await trio.lowlevel.checkpoint()  # Each may cost a signature.
            # Trust is not transitive: another account speaks for its own nodes only.
            descriptor = self.nodes.offer(signed, None if theirs == ours else theirs, now=self.now())
            if descriptor is not None:
                news.append(descriptor)
        if news:
            self._changed_nodes()
            self._spread(news, but=session)

    def known_regions(self) -> frozenset[Region]:
        """Return the regions of our account that have a node."""
        return self.nodes.regions()

    def introductions(self) -> tuple[SignedDescriptor, ...]:
        """Return the descriptors that a node which has just joined begins with."""
        return self.nodes.for_peer(self.identity.registry.account)

    def find_account(self, account: Account) -> Session | None:
        """Return the nearest session with a node of *account*."""
        return next((one for one in self.sessions() if one.peer.registry.account == account), None)

    # The tasks.

    async def run(self) -> None:
        """Dial whom we know, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_forever)
            keeper = Keeper(self, self._client_context, self._world.random, nursery)
            while True:
                changed = self._changed
                keeper.adjust(self.nodes.others(), self._trusted)
                await changed.wait()

    async def _write_forever(self) -> None:
        while True:
            await self._dirty.wait()
            await trio.sleep(WRITE_DELAY)
            self._dirty = trio.Event()
            try:
                await trio.to_thread.run_sync(self.nodes.write)
            except OSError as error:  # A full disk: what is known stays in memory, and is written with the next news.
                log.warning("the list of known nodes was not written", reason=str(error))

    async def _introduce(self, session: Session) -> None:
        await self._tell(session, self.nodes.for_peer(session.peer.registry.account))

    async def _tell(self, session: Session, nodes: tuple[SignedDescriptor, ...]) -> None:
        with suppress(trio.BrokenResourceError):  # The session ended meanwhile; the next one begins with all.
            for at in range(0, len(nodes), MAX_DESCRIPTORS):
                await session.send(Descriptors(nodes[at : at + MAX_DESCRIPTORS]))

    def _spread(self, news: list[Descriptor], *, but: Session) -> None:
        """Pass *news* on to all but the session that they came from, each to whom it concerns."""
        ours = self.identity.registry.account
        for session in self._sessions.values():
            theirs = session.peer.registry.account
            known = [self.nodes.find(one.name) for one in news if ours in {theirs, one.name.registry.account}]
            if session is not but and known:
                nodes = tuple(one.signed for one in known if one is not None)
                self._nursery.start_soon(self._tell, session, nodes)

    def _load_authorities(self) -> None:
        for authority in [
            self.identity.authority,
            *(one for some in self._trusted.values() for one in some.authorities),
        ]:
            for context in (self.server_context, self._client_context):
                context.load_verify_locations(cadata=authority.pem.decode())

    def _changed_nodes(self) -> None:
        self._dirty.set()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@asynccontextmanager
async def open_mesh(identity: Identity, world: World) -> AsyncIterator[Mesh]:
    """Run the mesh for as long as the block; all sessions end with it."""
    async with trio.open_nursery() as nursery:
        mesh = Mesh(identity, world, nursery)
        nursery.start_soon(mesh.run)
        try:
            yield mesh
        finally:
            nursery.cancel_scope.cancel()
