"""Nodes find one another and stay together; they ask one another, whoever dialled."""

import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from itertools import permutations
from pathlib import Path

import pytest
import trio
import trio.testing

from node.http.message import Extent, Pieces
from node.peers.calls import Peer, Reply
from node.peers.identity import load_identity
from node.peers.nodes import Nodes
from node.peers.session import Session
from node.peers.trust import add_trust, remove_trust
from protocol.auth.names import Account, Region, RegistryName
from protocol.errors import Denied, PeerFault
from tests.node.peers.cluster import Cluster, Node, until


def linked(*nodes: Node) -> bool:
    return all(one.mesh.find(other.identity.name) for one, other in permutations(nodes, 2))


async def ask(node: Node, other: Node, method: str = "hello", body: bytes = b"", *, bulk: bool = False) -> bytes:
    async with node.session(other).call(method, body, bulk=bulk) as reply:
        assert reply.status == 200
        return await reply.read(2**20 + 100)


async def test_either_side_asks_the_other(cluster: Cluster) -> None:
    a = await cluster.init("a")
    b = await cluster.join("b", a.invite())
    await until(lambda: linked(a, b), a, b)
    assert a.session(b).standing.dialled_by_us != b.session(a).standing.dialled_by_us
    large = b"x" * 2**20
    for one, other in permutations([a, b]):
        assert await ask(one, other, "hello", b"there") == b"hello:there"
        assert await ask(one, other, "large", large, bulk=True) == b"large:" + large
        assert one.session(other).round_trip
        assert one.session(other).peer.name == other.identity.name
        async with trio.open_nursery() as nursery:
            for _ in range(200):  # More than are let through at once.
                nursery.start_soon(ask, one, other)


async def test_three_find_one_another(cluster: Cluster) -> None:
    a = await cluster.init("a")
    b = await cluster.join("b", a.invite())
    c = await cluster.join("c", a.invite("us-east-1"))
    await until(lambda: linked(a, b, c), a, b, c)
    assert [one.peer.name for one in a.mesh.sessions_to(c.identity.registry)] == [c.identity.name]
    assert not a.mesh.sessions_to(RegistryName(Account("222222222222"), Region("eu-west-1")))


async def test_a_node_that_nobody_can_dial_is_a_full_peer(cluster: Cluster) -> None:
    a = await cluster.init("a")
    b = await cluster.join("b", a.invite(), hidden=True)
    await until(lambda: linked(a, b), a, b)
    assert b.session(a).standing.dialled_by_us
    assert await ask(a, b, "hello", b"there", bulk=True) == b"hello:there"


async def test_who_starts_anew_is_found_again(cluster: Cluster) -> None:
    a = await cluster.init("a")
    b = await cluster.join("b", a.invite())
    await until(lambda: linked(a, b), a, b)
    old, port = a.session(b), int(b.address.rpartition(":")[2])
    await b.stop()
    await until(lambda: old.ended, a)
    b = await cluster.start(load_identity(b.identity.folder.parent), port=port)
    await until(lambda: linked(a, b), a, b)
    assert await ask(a, b) == b"hello:"


async def test_a_session_that_is_cut_is_dialled_again(cluster: Cluster) -> None:
    a = await cluster.init("a")
    b = await cluster.join("b", a.invite(), hidden=True)
    await until(lambda: linked(a, b), a, b)
    old = a.session(b)
    old.close("cut by the test")
    await until(lambda: linked(a, b) and a.session(b) is not old, a, b)
    assert await ask(a, b) == b"hello:"
    with pytest.raises(trio.BrokenResourceError, match="cut by the test"):
        async with old.call("hello", b""):
            pass


async def test_accounts_that_trust_one_another_meet_and_no_others_do(cluster: Cluster) -> None:
    a = await cluster.init("a")
    b = await cluster.join("b", a.invite())
    x = await cluster.init("x", account="222222222222")
    y = await cluster.join("y", x.invite())
    for node in (a, b):
        add_trust(node.identity.folder, Account("111111111111"), Account("222222222222"), x.identity.authority.pem, ())
        node.mesh.reload()
    add_trust(
        x.identity.folder, Account("222222222222"), Account("111111111111"), a.identity.authority.pem, (a.address,)
    )
    x.mesh.reload()
    await until(lambda: linked(a, b, x), a, b, x)
    assert await ask(a, x) == b"hello:"
    # y does not trust them, so it meets neither; they know of it, as one of the nodes of x's account.
    await until(lambda: a.mesh.nodes.find(y.identity.name) and b.mesh.nodes.find(y.identity.name), a, b)
    await until(lambda: linked(x, y), x, y)
    assert {one.descriptor.name for one in y.mesh.nodes.others()} == {x.identity.name}
    session = a.session(x)
    remove_trust(a.identity.folder, Account("222222222222"))
    a.mesh.reload()
    assert session.ended
    await until(lambda: not a.mesh.find(x.identity.name) and not x.mesh.find(a.identity.name), a, x)
    assert not a.mesh.nodes.find(x.identity.name)


async def test_what_is_known_outlives_the_process(cluster: Cluster) -> None:
    a = await cluster.init("a")
    b = await cluster.join("b", a.invite())
    await until(lambda: linked(a, b), a, b)

    def kept() -> int:
        nodes = Nodes(load_identity(a.identity.folder.parent), {})
        nodes.read(now=time.time())
        return len(nodes.others())

    await until(lambda: kept() == 1)


async def refuse(_peer: Peer, method: str, _body: bytes) -> Reply:
    match method:
        case "secret":
            raise Denied("not for you")
        case "fault":
            raise PeerFault("what was that")
        case _:
            raise ZeroDivisionError


async def test_a_refusal_is_a_reply_and_a_fault_is_the_end(cluster: Cluster) -> None:
    a = await cluster.init("a", refuse)
    b = await cluster.join("b", a.invite(), refuse, hidden=True)
    for one, other in permutations([a, b]):
        await until(lambda: linked(a, b), a, b)
        session = one.session(other)
        async with session.call("secret", b"") as reply:
            assert (reply.status, await reply.read(100)) == (403, b"not for you")
        await provoke(session)
        await until(partial(getattr, session, "ended"), a, b)
        assert session.ended == "the peer says that we broke the protocol: what was that"


async def provoke(session: Session) -> None:
    """The side that is asked ends the session; a reply may come before that, or not."""
    with suppress(trio.BrokenResourceError):
        async with session.call("fault", b"") as reply:
            assert reply.status == 400


async def test_large_replies_come_whole_from_files_and_hold_up_the_sender(cluster: Cluster, tmp_path: Path) -> None:
    chunk, count = 1_048_560, 48
    path = tmp_path / "blob"
    content = random.Random(5).randbytes(chunk) * count
    path.write_bytes(content)
    read = released = 0

    async def blob(_peer: Peer, _method: str, _body: bytes) -> Reply:
        fd = os.open(path, os.O_RDONLY)

        async def extents() -> AsyncIterator[Extent]:
            nonlocal read
            for index in range(count):
                read = index
                yield Extent(fd, index * chunk, chunk)

        def release() -> None:
            nonlocal released
            released += 1
            os.close(fd)

        return Reply(200, Pieces(extents(), len(content), release))

    a = await cluster.init("a", blob)
    b = await cluster.join("b", a.invite(), blob)
    await until(lambda: linked(a, b), a, b)
    for one, other in permutations([a, b]):
        async with one.session(other).call("blob", b"", bulk=True) as reply:
            received = await reply.receive()
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert read < count - 10  # Windows of 16 MiB, and what sockets hold: not the whole.
            buffer = memoryview(bytearray(len(content)))
            size = await reply.receive_into(buffer)
        assert received + buffer[:size] == content
    await until(lambda: released == 2)
