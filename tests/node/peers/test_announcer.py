"""What is wanted at a destination is announced there until it is done, whatever became of the rest."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio

from node.peers.announcer import AT_ONCE, announce_forever
from node.peers.calls import Peer, Reply
from node.registry.announcing import due_images
from node.registry.registry import Registry
from node.registry.replication import follow_journal, put_replication
from protocol.auth.names import Region, RegistryName
from protocol.oci.names import RepositoryName
from protocol.wire.transfer import Acknowledgement, Announcement, decode, encode
from tests.node.peers.cluster import Cluster, until
from tests.node.registry.world import ACCOUNT, ALICE, World, image, opened, push_blob, put

THERE = RegistryName(ACCOUNT, Region("us-east-1"))
RULES = msgspec.json.encode({"rules": [{"destinations": [{"region": THERE.region, "registryId": THERE.account}]}]})
GOOD, BAD = RepositoryName("good"), RepositoryName("bad")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path / "data", World()) as registry:
        await put_replication(registry, ALICE, RULES)
        for name in (GOOD, BAD):
            await push_blob(registry, b"{}", name)
        yield registry


class Destination:
    """Puts off the first *later* images, refuses what is in BAD, and waits with all answers until *open* is set."""

    def __init__(self) -> None:
        self.heard = Counter[str]()
        self.open = trio.Event()
        self.later = 0

    async def answer(self, _peer: Peer, _method: str, body: bytes) -> Reply:
        announced = decode(body, Announcement)
        self.heard[f"{announced.repository}:{','.join(one.tag for one in announced.tags)}"] += 1
        await self.open.wait()
        if self.later:
            self.later -= 1
            return Reply(200, encode(Acknowledgement("later", reason="busy")))
        if announced.repository == BAD:
            return Reply(200, encode(Acknowledgement("failed", "AccessDenied", "not here")))
        return Reply(200, encode(Acknowledgement("done")))


async def push(registry: Registry, name: RepositoryName, number: int, *tags: str) -> None:
    await put(registry, image(b"{}", annotations={"n": str(number)}), *tags, name=name)


def left(registry: Registry) -> Counter[RepositoryName]:
    return Counter(one.name for one in due_images(registry, THERE, after=b"", limit=1000))


async def announcing(cluster: Cluster, registry: Registry, destination: Destination, nursery: trio.Nursery) -> None:
    a = await cluster.init("a")
    b = await cluster.join("b", a.invite(THERE.region), destination.answer)
    nursery.start_soon(follow_journal, registry)
    nursery.start_soon(announce_forever, registry, a.mesh, Random(1))
    await until(lambda: a.mesh.find(b.identity.name), a, b)


async def test_refused_images_hold_up_nothing(cluster: Cluster, registry: Registry) -> None:
    destination = Destination()
    destination.open.set()
    for number in range(3 * AT_ONCE):
        await push(registry, BAD, number, f"b{number}")
    async with trio.open_nursery() as nursery:
        await announcing(cluster, registry, destination, nursery)
        for number in range(2 * AT_ONCE):
            await push(registry, GOOD, number, f"g{number}")
        await until(lambda: sum(destination.heard.values()) >= 5 * AT_ONCE and not left(registry)[GOOD])
        nursery.cancel_scope.cancel()
    assert left(registry)[BAD] == 3 * AT_ONCE


async def test_what_moves_while_it_is_under_way_is_announced_again(cluster: Cluster, registry: Registry) -> None:
    destination = Destination()
    await push(registry, GOOD, 1, "first")
    async with trio.open_nursery() as nursery:
        await announcing(cluster, registry, destination, nursery)
        await until(lambda: destination.heard["good:first"])
        await push(registry, GOOD, 1, "second")
        await push(registry, GOOD, 2, "other")  # Seen after the row of the one that is under way.
        await until(lambda: destination.heard["good:other"])
        destination.open.set()
        await until(lambda: destination.heard["good:first,second"] and not left(registry))
        nursery.cancel_scope.cancel()


async def test_what_is_put_off_is_announced_again(cluster: Cluster, registry: Registry) -> None:
    destination = Destination()
    destination.open.set()
    destination.later = 3
    for number in range(2 * AT_ONCE):
        await push(registry, GOOD, number, f"g{number}")
    async with trio.open_nursery() as nursery:
        await announcing(cluster, registry, destination, nursery)
        await until(lambda: not left(registry))
        nursery.cancel_scope.cancel()
    assert sum(destination.heard.values()) >= 2 * AT_ONCE + 3
