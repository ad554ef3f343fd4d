"""A peer that has a good certificate and bad manners costs its own session, and nothing else."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
import trio

from node.peers.connection import Connection
from node.peers.session import Control
from node.peers.stream import Stream
from node.peers.tls import client_context
from protocol.auth.names import NodeName
from protocol.wire.frames import frame
from protocol.wire.messages import MAX_FRAME, Bye, Descriptors, Hello, Message, Open, Ping
from tests.node.peers.cluster import PATIENCE, Cluster, Node, connect, post, until


class Peer:
    """One end of a control stream that says what the test wants."""

    def __init__(self, connection: Connection, stream: Stream, name: NodeName) -> None:
        self.connection = connection
        self.stream = stream
        self.name = name
        self.control: Control | None = None

    async def greet(self) -> None:
        hello = Hello(1, 1, self.name, b"i" * 16, b"b" * 8, 0)
        await self.stream.send(frame(hello))
        assert await self.stream.response() == 200
        self.control = Control(self.stream.receive)
        await self.control.hello()

    async def last_words(self) -> Message | None:
        """Return what is said before the end of the stream."""
        last = None
        with trio.fail_after(PATIENCE):
            while self.control is not None and (message := await self.control.next()) is not None:
                last = message
        return last


@asynccontextmanager
async def guest(cluster: Cluster, host: Node) -> AsyncIterator[Peer]:
    """A peer of *host* that has joined, and is driven by hand."""
    node = await cluster.join("guest", host.invite(), hidden=True)
    await node.stop()
    await until(lambda: not host.mesh.find(node.identity.name), host)
    async with connect(host.address, context_of(node)) as connection:
        stream = await connection.request("/control", body=None)
        with closing(stream):
            yield Peer(connection, stream, node.identity.name)


def context_of(node: Node) -> ssl.SSLContext:
    return client_context(node.identity.folder, [node.identity.authority])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\xff\xff\xff", "a frame of 4294967295 bytes"),
        (b"\0\0\0\x01\xc0", "a frame that is none"),
        (frame(Ping(1)) * 60, "too many frames of Ping"),
        (frame(Open(b"o" * 16)), "it dialled, and says open"),
        ((b"\0\0\0\x0e" + b"\x81\xa1k\xa7weather\xc0\xc0\xc0") * 2, "a frame that is none"),
        ((b"\0\0\0\x0b" + b"\x81\xa1k\xa7weather") * 500, "too many frames of unknown kind"),
        ((MAX_FRAME).to_bytes(4, "big") + b"\x82\xa1k\xa5nodes\xa1x" + b"\x91" * (MAX_FRAME - 11), "none"),
    ],
)
async def test_a_frame_that_breaks_a_rule_ends_the_session(cluster: Cluster, data: bytes, says: str) -> None:
    a = await cluster.init("a")
    async with guest(cluster, a) as peer:
        await peer.greet()
        session = a.mesh.find(peer.name)[0]
        await peer.stream.send(data)
        match await peer.last_words():
            case Bye(reason, fault):
                assert says in reason
                assert fault
            case other:
                pytest.fail(f"no reason was given, but {other}")
        await until(lambda: session.ended and not a.mesh.find(peer.name), a)
        assert says in session.ended
        # Without a session nothing is answered, and the node lives on.
        assert (await post(peer.connection, "/ask/hello"))[0] == 421
        assert (await post(peer.connection, "/call/" + "00" * 16))[0] == 404
        assert (await post(peer.connection, "/call/" + "zz" * 16))[0] == 404
        assert (await post(peer.connection, "/ask/../etc"))[0] in {400, 404}


async def test_a_hello_under_another_name_is_refused(cluster: Cluster) -> None:
    a = await cluster.init("a")
    async with guest(cluster, a) as peer:
        await peer.stream.send(frame(Hello(1, 1, a.identity.name, b"i" * 16, b"b" * 8, 0)))
        assert await peer.stream.response() == 403
        assert b"says that it is" in await peer.stream.receive()
    assert not a.mesh.sessions()


async def test_versions_that_have_none_in_common_are_refused(cluster: Cluster) -> None:
    a = await cluster.init("a")
    async with guest(cluster, a) as peer:
        await peer.stream.send(frame(Hello(7, 9, peer.name, b"i" * 16, b"b" * 8, 0)))
        assert await peer.stream.response() == 403
        assert b"none in common" in await peer.stream.receive()
    assert not a.mesh.sessions()


async def test_who_says_something_else_than_hello_is_refused(cluster: Cluster) -> None:
    a = await cluster.init("a")
    async with guest(cluster, a) as peer:
        await peer.stream.send(frame(Ping(1)))
        assert await peer.stream.response() == 403


async def test_descriptors_that_are_forged_are_left_out(cluster: Cluster) -> None:
    a = await cluster.init("a")
    x = await cluster.init("x", account="222222222222")
    async with guest(cluster, a) as peer:
        await peer.greet()
        ours, foreign = a.mesh.nodes.for_peer(a.identity.registry.account), x.mesh.introductions()
        changed = [type(one)(one.body[:-1] + b"\xc3", one.signature, one.certificate) for one in ours]
        known = {one.descriptor.name for one in a.mesh.nodes.others()}
        await peer.stream.send(frame(Descriptors((*changed, *foreign, *ours))))
        await peer.stream.send(frame(Ping(9)))
        await until(lambda: a.mesh.find(peer.name)[0].round_trip is None, a)
        assert {one.descriptor.name for one in a.mesh.nodes.others()} == known
        assert not a.mesh.find(peer.name)[0].ended


async def test_a_call_is_fetched_once_and_by_the_peer_that_it_is_for(cluster: Cluster) -> None:
    a = await cluster.init("a")
    async with guest(cluster, a) as peer:
        await peer.greet()
        other = await cluster.join("other", a.invite(), hidden=True)
        await until(lambda: a.mesh.find(other.identity.name), a)
        async with trio.open_nursery() as nursery:
            answers: list[bytes] = []
            nursery.start_soon(_ask, a, peer.name, answers)
            opened = await _next_open(peer)
            path = f"/call/{opened.id.hex()}"
            async with connect(a.address, context_of(other)) as stranger:
                assert (await post(stranger, path))[0] == 404
            stream = await peer.connection.request(path, body=None)
            with closing(stream):
                assert await stream.response() == 200
                assert (stream.headers["entrepot-method"], stream.headers["entrepot-length"]) == ("hello", "5")
                assert (await post(peer.connection, path))[0] == 404  # Not twice.
                await stream.send(b"\x00\xc8answer")
                await stream.send_end()
                while await stream.receive():
                    pass
        assert answers == [b"answer"]


async def test_a_reply_that_breaks_off_is_never_a_short_body(cluster: Cluster) -> None:
    a = await cluster.init("a")
    async with guest(cluster, a) as peer:
        await peer.greet()
        async with trio.open_nursery() as nursery:
            broken = trio.Event()
            nursery.start_soon(_ask_in_vain, a, peer.name, broken)
            opened = await _next_open(peer)
            stream = await peer.connection.request(f"/call/{opened.id.hex()}", body=None)
            assert await stream.response() == 200
            await stream.send(b"\x00\xc8ans")
            stream.close()
            with trio.fail_after(PATIENCE):
                await broken.wait()


async def _next_open(peer: Peer) -> Open:
    assert peer.control is not None
    with trio.fail_after(PATIENCE):
        while True:
            match await peer.control.next():
                case Open() as opened:
                    return opened
                case None:
                    pytest.fail("the session ended")
                case _:
                    pass


async def _ask(node: Node, name: NodeName, answers: list[bytes]) -> None:
    async with node.mesh.find(name)[0].call("hello", b"there") as reply:
        answers.append(await reply.read(100))


async def _ask_in_vain(node: Node, name: NodeName, broken: trio.Event) -> None:
    try:
        async with node.mesh.find(name)[0].call("hello", b"there") as reply:
            await reply.read(100)
    except trio.BrokenResourceError:
        broken.set()
