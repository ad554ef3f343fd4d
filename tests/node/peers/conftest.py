"""Real nodes on loopback: each a mesh behind the server engine, with an answer that the test gives."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio

from node.http.listen import Listener, listen_tcp
from node.http.serve import serve
from node.peers.calls import Peer, Reply
from node.peers.identity import Identity, create_identity
from node.peers.invitations import invite
from node.peers.joining import join
from node.peers.listen import PEER_LIMITS
from node.peers.mesh import Mesh, World, open_mesh
from node.peers.session import Session
from protocol.auth.names import Account, Region
from protocol.wire.messages import Acknowledge, Announce

ACCOUNT, REGION = Account("111111111111"), Region("eu-west-1")


async def echo(peer: Peer, method: str, body: bytes) -> Reply:
    return Reply(200, method.encode() + b":" + body)


@dataclass
class Node:
    """One running node, and what it heard."""

    identity: Identity
    address: str
    mesh: Mesh
    scope: trio.CancelScope
    heard: list[Announce | Acknowledge] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    def invite(self, region: str | None = None, *, now: float | None = None, lifetime: float = 60) -> str:
        made = time.time() if now is None else now
        return invite(self.identity, Region(region) if region else None, (self.address,), now=made, lifetime=lifetime)

    def stop(self) -> None:
        self.scope.cancel()


class Cluster:
    """Starts nodes in the nursery of the test."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.nursery = nursery
        self.bugs: list[Exception] = []

    async def init(self, name: str, account: Account = ACCOUNT, region: str = REGION, **given: object) -> Node:
        return await self.start(create_identity(self.folder / name, account, Region(region), now=time.time()), **given)

    async def join(self, name: str, token: str, **given: object) -> Node:
        return await self.start(await join(token, self.folder / name, now=time.time()), **given)

    async def start(
        self, identity: Identity, answer: Callable[..., object] = echo, port: int = 0, *, hidden: bool = False
    ) -> Node:
        """*hidden*: it says of no address where it can be dialled, as behind NAT."""
        node: Node = await self.nursery.start(partial(self._run, identity, answer, port, hidden=hidden))
        return node

    async def _run(
        self,
        identity: Identity,
        answer: Callable[..., object],
        port: int,
        *,
        hidden: bool,
        task_status: trio.TaskStatus[Node],
    ) -> None:
        sock = listen_tcp("127.0.0.1", port)
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        heard: list[Announce | Acknowledge] = []
        sessions: list[Session] = []

        async def hear(session: Session, message: Announce | Acknowledge) -> None:
            heard.append(message)

        addresses = () if hidden else (address,)
        world = World(answer, sessions.append, hear, time.time, Random(1), addresses)  # type: ignore[arg-type]
        with trio.CancelScope() as scope:
            async with open_mesh(identity, world) as mesh, trio.open_nursery() as serving:
                serving.start_soon(
                    partial(
                        serve,
                        [Listener(sock, mesh.server_context)],
                        mesh.application,
                        limits=PEER_LIMITS,
                        stopping=trio.Event(),
                        grace=1,
                        observe=lambda _: None,
                        hit=lambda _: None,
                        report=self.bugs.append,
                    )
                )
                task_status.started(Node(identity, address, mesh, scope, heard, sessions))
                await trio.sleep_forever()


@pytest.fixture
def cluster(tmp_path: Path, nursery: trio.Nursery) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, nursery)
    yield cluster
    assert not cluster.bugs, cluster.bugs


async def until(condition: Callable[[], object], *nodes: Node) -> None:
    """Wait until *condition* holds, looking again whenever something changes at one of *nodes*."""
    with trio.fail_after(20):
        while not condition():
            async with trio.open_nursery() as waiting:
                for node in nodes:
                    waiting.start_soon(_one_change, node, waiting.cancel_scope)


async def _one_change(node: Node, scope: trio.CancelScope) -> None:
    with contextlib.suppress(trio.TooSlowError), trio.fail_after(0.2):
        await node.mesh.wait_for_change()
    scope.cancel()


@pytest.fixture
def wait_until() -> Callable[..., object]:
    return until
