"""What peers are given of the registry, and the registry of peers.

The two need each other: calls of peers end in use cases, and a use case that misses an image asks peers. So the parts
are built from the outside in, and only a call that comes later goes round.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import SystemRandom

import trio

from node import __version__
from node.config.settings import Config
from node.peers.announcer import announce_forever
from node.peers.calls import Peer, Reply
from node.peers.exchange import Exchange
from node.peers.fetch import Fetcher
from node.peers.healing import Healing
from node.peers.identity import Identity
from node.peers.mesh import Mesh, World, open_mesh
from node.peers.pullthrough import PullThrough
from node.peers.session import Session
from node.registry.elsewhere import Elsewhere
from node.registry.registry import Registry
from node.registry.transit import Transits
from node.telemetry.tracing import Tracer
from protocol.sync.entries import KINDS


class Peering:
    """The peers' side of this node; made by ``open_peering``, complete after ``serve``."""

    def __init__(self, mesh: Mesh, transits: Transits, nursery: trio.Nursery, calls: "_Calls") -> None:
        self.mesh = mesh
        self._fetcher = Fetcher(transits, mesh.sessions_to, nursery)
        self._calls = calls
        pull_through = PullThrough(self._fetcher, nursery)
        healing = Healing(mesh)
        self.elsewhere = Elsewhere(
            pull_through.manifest,
            pull_through.blob,
            pull_through.refresh,
            healing.chunk,
            healing.chunk_map,
            healing.manifest_bytes,
            lambda registry: bool(mesh.sessions_to(registry)),
        )

    def serve(self, registry: Registry) -> None:
        """Answer peers out of *registry* from now on."""
        self._calls.exchange = Exchange(registry, self._fetcher)

    def clocks(self) -> list[float]:
        """Return by how many seconds the clock of each peer is ahead of ours."""
        return [session.agreement.ahead_ms / 1000 for session in self.mesh.sessions()]

    async def announce(self, registry: Registry) -> None:
        """Tell destinations what they should have, for ever."""
        await announce_forever(registry, self.mesh, SystemRandom())

    async def heal(self, registry: Registry) -> None:
        """Have all that is damaged tried again each time that a session comes up: the peer may have it; for ever."""
        known: set[Session] = set()
        while True:
            sessions = set(self.mesh.sessions())
            if sessions - known:
                registry.repairs.retry_all()
            known = sessions
            await self.mesh.wait_for_change()


@dataclass(slots=True)
class _Calls:
    exchange: Exchange | None = None

    async def answer(self, peer: Peer, method: str, body: bytes) -> Reply:
        if self.exchange is None:
            return Reply(503, b"the node is starting")
        return await self.exchange.answer(peer, method, body)


@asynccontextmanager
async def open_peering(
    identity: Identity, transits: Transits, advertised: tuple[str, ...], tracer: Tracer
) -> AsyncIterator[Peering]:
    """Keep sessions with all nodes that are known for as long as the block."""
    calls = _Calls()
    world = World(
        answer=calls.answer,
        now=transits.now,
        random=SystemRandom(),
        addresses=advertised,
        kinds=tuple(sorted(KINDS)),
        software=f"entrepot {__version__}",
        tracer=tracer,
    )
    async with open_mesh(identity, world) as mesh, trio.open_nursery() as nursery:
        yield Peering(mesh, transits, nursery, calls)
        nursery.cancel_scope.cancel()


def advertised_addresses(config: Config, bound: str | None) -> tuple[str, ...]:
    """Return where others reach the peer port, whose socket is bound to *bound*; nothing where there is none."""
    if bound is None:
        return ()
    return (config.listen.advertise or bound,)
