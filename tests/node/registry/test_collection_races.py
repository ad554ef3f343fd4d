"""Collection beside everything that may need what it collects, in seeded interleavings.

Whoever was told that a blob is here can count on it; whoever reads it reads it to its end; nothing dangles and nothing
leaks. Rows H1 to H10 of the fault list in docs/design/reliability.md. What a run does is drawn from its seed; threads
make each run a little different, so what fails tells its seed and may have to be run again.
"""

import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeAlias

import pytest
import trio

from node.registry import burial, collection
from node.registry.blobs import open_blob, stat_blob
from node.registry.burial import bury_step
from node.registry.collection import collect_step
from node.registry.deletes import delete_image
from node.registry.mounts import mount_blob
from node.registry.orphans import delete_abandoned, delete_orphans
from node.registry.receiving import show_blob
from node.registry.referrers import list_referrers
from node.registry.registry import Registry
from node.registry.repositories import delete_repository
from node.store.blobs import DUE_AFTER
from node.store.extents import Span
from protocol.errors import BlobUnknown, ImageInUse, ManifestBlobUnknown, ManifestUnknown, NameUnknown
from protocol.oci.digest import Digest, digest_of
from protocol.oci.names import RepositoryName
from tests.node.registry.recount import check
from tests.node.registry.world import (
    ALICE,
    APP,
    OTHER,
    World,
    content,
    descriptor,
    fetchable,
    image,
    index,
    opened,
    push_blob,
    push_image,
    put,
    receiver,
)

FEW, MANY = 25, 1000  # Runs of each race, in make test and in make soak.
SMALL, LARGE = 900, 40_000  # Bytes: in ``meta``, and in chunks.

Act: TypeAlias = Callable[[], Awaitable[object]]
Race: TypeAlias = Callable[[Registry, World, Random, bytes], Awaitable[None]]


async def together(random: Random, *acts: Act) -> None:
    """Do all of it at the same time, each begun a little later or earlier than the others."""

    async def begin(act: Act, after: int) -> None:
        for _ in range(after):
            await trio.lowlevel.checkpoint()
        await act()

    async with trio.open_nursery() as nursery:
        for act in acts:
            nursery.start_soon(begin, act, random.choice((0, 0, 1, 3, 10, 40)))


async def collect(registry: Registry) -> None:
    while await bury_step(registry) or await collect_step(registry):
        pass
    await delete_abandoned(registry)
    await registry.transits.delete_leftovers()


def pass_the_grace(world: World) -> None:
    world.now += DUE_AFTER + 1


async def head_then_put(registry: Registry, world: World, random: Random, data: bytes) -> None:
    """H1: docker asks whether a layer is here, and does not upload what is."""
    digest = await push_blob(registry, data)
    pass_the_grace(world)

    async def push() -> None:
        try:
            await stat_blob(registry, ALICE, APP, digest)
        except (BlobUnknown, NameUnknown):
            await push_blob(registry, data)
        await put(registry, image(data), f"t{random.randrange(3)}")
        assert await content(registry, APP, digest) == data

    await together(random, push, partial(collect, registry))
    assert await content(registry, APP, digest) == data


async def mount(registry: Registry, world: World, random: Random, data: bytes) -> None:
    """H2."""
    digest = await push_blob(registry, data)
    pass_the_grace(world)

    async def push() -> None:
        if not await mount_blob(registry, ALICE, OTHER, digest, random.choice((APP, None))):
            await push_blob(registry, data, OTHER)
        await put(registry, image(data), name=OTHER)

    await together(random, push, partial(collect, registry))
    assert await content(registry, OTHER, digest) == data


async def upload(registry: Registry, world: World, random: Random, data: bytes) -> None:
    """H3: the same digest is being uploaded again, by two."""
    digest = await push_blob(registry, data)
    pass_the_grace(world)

    async def push(name: RepositoryName) -> None:
        await push_blob(registry, data, name)
        await put(registry, image(data), name=name)

    await together(random, partial(push, APP), partial(collect, registry), partial(push, OTHER))
    for name in (APP, OTHER):
        assert await content(registry, name, digest) == data


async def pull(registry: Registry, world: World, random: Random, data: bytes) -> None:
    """H4 and H8: the last image that names a layer goes while it is read."""
    digest = await push_image(registry, data)
    await delete_image(registry, ALICE, APP, digest)
    pass_the_grace(world)
    collected = trio.Event()

    async def collect_twice() -> None:
        await collect(registry)  # The link.
        pass_the_grace(world)
        await collect(registry)  # The blob.
        collected.set()

    async def read() -> None:
        try:
            blob = await open_blob(registry, ALICE, APP, digest_of(data))
        except (BlobUnknown, NameUnknown):
            return
        try:
            found = bytearray()
            if random.random() < 0.5:
                await collected.wait()  # It is gone for everyone else when the first byte goes.
            async for part in blob.read(0, blob.size):
                for _ in range(random.randrange(30)):
                    await trio.lowlevel.checkpoint()
                found += registry.store.chunks.load_at(part.offset, part.length) if isinstance(part, Span) else part
            assert found == data
        finally:
            blob.release()

    await together(random, read, collect_twice, read)


async def index_of_deleted(registry: Registry, _world: World, random: Random, data: bytes) -> None:
    """H5: an index is refused, or its child is kept."""
    child = await push_image(registry, data)
    ends: list[str] = []

    async def delete() -> None:
        try:
            await delete_image(registry, ALICE, APP, child)
            ends.append("deleted")
        except ImageInUse:
            ends.append("in use")

    async def push() -> None:
        try:
            await put(registry, index(image(data)))
            ends.append("pushed")
        except ManifestBlobUnknown:
            ends.append("refused")

    await together(random, delete, push, partial(collect, registry))
    assert sorted(ends) in (["deleted", "refused"], ["in use", "pushed"])


async def referrer_of_deleted(registry: Registry, _world: World, random: Random, data: bytes) -> None:
    """H6: what refers to an image may come before it and stay after it."""
    subject = await push_image(registry, data)
    named = descriptor(subject, len(image(data)), "application/vnd.oci.image.manifest.v1+json")

    async def refer() -> None:
        await push_blob(registry, data)
        await put(registry, image(data, subject=named))

    await together(random, refer, partial(delete_image, registry, ALICE, APP, subject), partial(collect, registry))
    found, _ = await list_referrers(registry, ALICE, APP, subject, artifact_types=set(), after=Digest(""), limit=9)
    assert [one.digest for one in found] == [digest_of(image(data, subject=named))]


async def fetch(registry: Registry, world: World, random: Random, data: bytes) -> None:
    """H7: a blob comes from another node while an older copy of it goes."""
    digest = await push_blob(registry, data)
    pass_the_grace(world)
    blob, chunk_map = fetchable(data)

    async def take() -> None:
        while registry.transits.is_here(digest):
            await show_blob(registry, APP, digest)
            try:
                await stat_blob(registry, ALICE, APP, digest)
            except BlobUnknown:
                await trio.lowlevel.checkpoint()
            else:
                return
        transit = registry.transits.begin(blob, chunk_map)
        await transit.fill(receiver(data))
        await transit.complete()
        await show_blob(registry, APP, digest)

    await together(random, take, partial(collect, registry))
    assert await content(registry, APP, digest) == data


async def again_and_again(registry: Registry, world: World, random: Random, data: bytes) -> None:
    """H9."""
    for _ in range(4):
        await together(random, partial(push_image, registry, data, tags=("same",)), partial(collect, registry))
        assert await content(registry, APP, digest_of(data)) == data
        if random.random() < 0.5:
            await delete_image(registry, ALICE, APP, digest_of(image(data)))
        else:
            await delete_repository(registry, ALICE, APP, force=True)
        if random.random() < 0.7:
            pass_the_grace(world)


RACES: list[Race] = [
    head_then_put,
    mount,
    upload,
    pull,
    index_of_deleted,
    referrer_of_deleted,
    fetch,
    again_and_again,
]


async def run(path: Path, race: Race, runs: int, seed: int) -> None:
    world, random = World(), Random(seed)
    async with opened(path, world) as registry:
        for number in range(runs):
            size = random.choice((SMALL, LARGE))
            data = random.randbytes(size)
            try:
                await race(registry, world, random, data)
                with registry.store.meta.read() as txn:
                    check(registry.store.meta, txn)
                await delete_all(registry, world)
            except BaseException as error:
                error.add_note(f"{race.__name__}, seed {seed}, run {number}")
                raise


async def delete_all(registry: Registry, world: World) -> None:
    """Nothing is left of what nothing needs: no row of a blob, no chunk, no lease."""
    for name in (APP, OTHER):
        try:
            await delete_repository(registry, ALICE, name, force=True)
        except NameUnknown:
            continue
    for _ in range(3):
        await collect(registry)
        pass_the_grace(world)
    meta, chunks = registry.store.meta, registry.store.chunks
    with meta.read() as txn, chunks.read() as chunk_txn:
        counts = [table.count(txn) for table in (meta.blobs.rows.bytes, meta.blobs.contents, meta.blobs.due)]
        assert (counts, chunks.count(chunk_txn), registry.store.leases.counts) == ([0, 0, 0], 0, {})


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
async def test_a_race_is_lost_by_nobody(tmp_path: Path, race: Race) -> None:
    await run(tmp_path / "data", race, FEW, Random().getrandbits(32))


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
async def test_a_race_is_lost_by_nobody_a_thousand_times(tmp_path: Path, race: Race) -> None:
    await run(tmp_path / "data", race, MANY, Random().getrandbits(32))


async def test_a_kill_after_any_step_of_a_collection_loses_and_leaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H10: what lies on the disk after each commit is opened as a node finds it that was killed there."""
    monkeypatch.setattr(burial, "STEP", 5)
    monkeypatch.setattr(collection, "STEP", 3)
    world = World()
    kept = b"kept" * 9000
    async with opened(tmp_path / "data", world) as registry:
        await push_image(registry, kept, name=OTHER)
        for number in range(6):
            await push_image(registry, b"%d" % number * LARGE, b"small %d" % number, tags=(f"t{number}",))
        await push_blob(registry, bytes(LARGE))
        await delete_repository(registry, ALICE, APP, force=True)
        copies: list[Path] = []
        more = True
        while more:
            pass_the_grace(world)
            copies.append(shutil.copytree(tmp_path / "data", tmp_path / str(len(copies))))
            more = await bury_step(registry) or bool(await collect_step(registry))
    assert len(copies) > 10
    for copy in copies:
        async with opened(copy, world) as registry:
            await delete_orphans(registry)
            assert await content(registry, OTHER, digest_of(kept)) == kept
            with registry.store.meta.read() as txn:
                check(registry.store.meta, txn)
            with pytest.raises((NameUnknown, ManifestUnknown)):
                await delete_image(registry, ALICE, APP, digest_of(image(b"0" * LARGE, b"small 0")))
            await delete_all(registry, world)
