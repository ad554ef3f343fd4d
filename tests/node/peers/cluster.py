"""Real nodes on loopback: each a mesh behind the server engine, with an answer that the test gives."""

import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import trio

from node.http.listen import Listener, listen_tcp
from node.http.serve import serve
from node.peers.calls import Answer, Peer, Reply
from node.peers.connection import Connection
from node.peers.identity import Identity, create_identity
from node.peers.invitations import invite
from node.peers.joining import join
from node.peers.listen import PEER_LIMITS
from node.peers.mesh import Mesh, World, open_mesh
from node.peers.session import Session
from node.peers.tls import dial
from protocol.auth.names import Account, Region
from protocol.wire.descriptor import parse_address

ACCOUNT, REGION = Account("111111111111"), Region("eu-west-1")
PATIENCE = 20.0  # Seconds for anything that a test waits for.


async def echo(_peer: Peer, method: str, body: bytes) -> Reply:
    return Reply(200, method.encode() + b":" + body)


@dataclass
class Node:
    """One running node, and what it heard."""

    identity: Identity
    address: str
    mesh: Mesh
    scope: trio.CancelScope
    stopped: trio.Event

    def invite(self, region: str | None = None, *, now: float | None = None) -> str:
        made = time.time() if now is None else now
        return invite(self.identity, Region(region) if region else None, (self.address,), now=made, lifetime=60)

    def session(self, other: "Node") -> Session:
        return self.mesh.find(other.identity.name)[0]

    async def stop(self) -> None:
        self.scope.cancel()
        await self.stopped.wait()


class Cluster:
    """Starts nodes, which end with the test."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.bugs: list[Exception] = []
        self._nursery = nursery
        self._nodes: list[Node] = []

    async def init(
        self, name: str, answer: Answer = echo, *, account: str = ACCOUNT, region: str = REGION, hidden: bool = False
    ) -> Node:
        identity = create_identity(self.folder / name, Account(account), Region(region), now=time.time())
        return await self.start(identity, answer, hidden=hidden)

    async def join(self, name: str, token: str, answer: Answer = echo, *, hidden: bool = False) -> Node:
        return await self.start(await join(token, self.folder / name, now=time.time()), answer, hidden=hidden)

    async def start(self, identity: Identity, answer: Answer = echo, *, port: int = 0, hidden: bool = False) -> Node:
        """*hidden*: it says of no address where it can be dialled, as behind NAT."""
        node: Node = await self._nursery.start(self._run, identity, answer, port, hidden)
        self._nodes.append(node)
        return node

    async def stop(self) -> None:
        for node in self._nodes:
            await node.stop()

    async def _run(
        self, identity: Identity, answer: Answer, port: int, hidden: bool, *, task_status: trio.TaskStatus[Node]
    ) -> None:
        sock = listen_tcp("127.0.0.1", port)
        address = f"127.0.0.1:{sock.getsockname()[1]}"

        def ignore(_: object) -> None:
            pass

        world = World(answer, time.time, Random(1), () if hidden else (address,))
        server = partial(
            serve,
            limits=lambda: PEER_LIMITS,
            stopping=trio.Event(),
            grace=lambda: 1.0,
            observe=ignore,
            hit=ignore,
            report=self.bugs.append,
        )
        stopped = trio.Event()
        with trio.CancelScope() as scope:
            async with open_mesh(identity, world) as mesh, trio.open_nursery() as serving:
                serving.start_soon(server, [Listener(sock, mesh.server_context)], mesh.application)
                task_status.started(Node(identity, address, mesh, scope, stopped))
                await trio.sleep_forever()
        stopped.set()


async def until(condition: Callable[[], object], *nodes: Node) -> None:
    """Wait until *condition* holds, looking again when something changes at one of *nodes*, and now and then."""
    with trio.fail_after(PATIENCE):
        while not condition():
            with trio.move_on_after(0.1):
                async with trio.open_nursery() as waiting:
                    for node in nodes:
                        waiting.start_soon(_one_change, node, waiting.cancel_scope)
                    await trio.sleep_forever()


async def _one_change(node: Node, scope: trio.CancelScope) -> None:
    await node.mesh.wait_for_change()
    scope.cancel()


@asynccontextmanager
async def connect(address: str, context: ssl.SSLContext) -> AsyncIterator[Connection]:
    """A bare connection to the peer port, for what no node of ours does."""
    with trio.fail_after(PATIENCE):
        tls, _ = await dial(*parse_address(address), context)
        connection = Connection(tls)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.run)
            yield connection
            nursery.cancel_scope.cancel()


async def post(connection: Connection, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Return status and body of the answer, which is small."""
    stream = await connection.request(path, body=body)
    with contextlib.closing(stream):
        return await stream.response(), await stream.receive()
