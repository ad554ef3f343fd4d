"""Room is what the disk and the map have left and what lies free in the files: deletes make some, and always work.

Here the map is small and the disk is not; ``tests/e2e/test_full_disk.py`` has real disks that are full. Row B7 of the
fault list.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node.registry.collection import collect_now
from node.registry.deletes import delete_image
from node.registry.disk import look_at_disk
from node.registry.orphans import delete_abandoned
from node.registry.registry import Registry, Settings
from node.registry.repositories import delete_repository
from node.store.space import map_size_for
from node.store.store import open_store
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import StoreFull
from protocol.oci.digest import Digest, digest_of
from tests.node.registry.world import ALICE, APP, World, content, push_image, registry_on

MAP = 48 * 2**20
LAYER = 3 * CHUNK_SIZE + 7
RESERVE = 4 * 2**20


@asynccontextmanager
async def small(path: Path) -> AsyncIterator[Registry]:
    await trio.Path(path).mkdir()
    async with open_store(path, map_size=MAP, reserve=RESERVE) as store:
        yield registry_on(store, World(), Settings())


def layer(number: int) -> bytes:
    return number.to_bytes(4, "big") * (LAYER // 4)


async def push_until_full(registry: Registry) -> list[Digest]:
    pushed: list[Digest] = []
    while True:
        try:
            pushed.append(await push_image(registry, layer(len(pushed)), tags=(f"t{len(pushed)}",)))
        except StoreFull:
            return pushed


def alarms(registry: Registry) -> list[str]:
    return [alarm.name for alarm in registry.alarms.raised()]


async def test_a_full_map_refuses_pushes_before_it_is_and_takes_every_delete(tmp_path: Path) -> None:
    async with small(tmp_path / "data") as registry:
        pushed = await push_until_full(registry)
        assert len(pushed) > 5
        await look_at_disk(registry)
        assert alarms(registry) == ["disk-full"]
        for number in range(len(pushed)):
            assert await content(registry, APP, digest_of(layer(number))) == layer(number)
        for digest in pushed[: len(pushed) // 2 + 2]:
            await delete_image(registry, ALICE, APP, digest)
        await collect_now(registry, ALICE, grace=0)
        await push_image(registry, layer(1000))
        await look_at_disk(registry)
        assert alarms(registry) == []


async def test_free_pages_are_room_and_the_file_does_not_grow_for_what_fits_in_them(tmp_path: Path) -> None:
    async with small(tmp_path / "data") as registry:
        space = registry.store.space
        for _ in range(6):
            await push_until_full(registry)
            await delete_repository(registry, ALICE, APP, force=True)
            await collect_now(registry, ALICE, grace=0)
            await delete_abandoned(registry)  # What came of the push that was refused.
            assert not space.is_full()
            count = space.chunks.count()
            assert count.size < MAP - RESERVE // 4
            assert count.used < 2**16
            assert count.free > count.size * 0.97


async def test_the_pages_of_a_file_are_counted(tmp_path: Path) -> None:
    async with small(tmp_path / "data") as registry:
        pages = registry.store.space.chunks
        before = pages.count()
        await push_image(registry, layer(1))
        after = pages.count()
        assert 3 * CHUNK_SIZE < after.used - before.used < 3 * CHUNK_SIZE + 2**16
        assert after.size >= after.used + after.free


def test_the_map_is_four_times_a_large_disk(tmp_path: Path) -> None:
    assert map_size_for(tmp_path) >= 2**40
    assert map_size_for(tmp_path) % 4096 == 0


async def test_the_ballast_lies_behind_the_end_of_the_files(tmp_path: Path) -> None:
    async with small(tmp_path / "data") as registry:
        assert registry.store.space.hold_ballast()
        for name, pages in (("meta", registry.store.space.meta), ("chunks", registry.store.space.chunks)):
            status = (tmp_path / "data" / name / "data.mdb").stat()
            assert pages.ballast > 0
            assert status.st_blocks * 512 >= status.st_size + pages.ballast // 4
