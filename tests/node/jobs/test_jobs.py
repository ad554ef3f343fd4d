"""Timed work does its use cases, again and again, with pauses; in time that jumps."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import trio
import trio.lowlevel
import trio.testing
from trio.testing import MockClock

from node.jobs.collection import collect_forever
from node.jobs.expiry import expire_forever
from node.jobs.scrub import Pace, scrub_forever
from node.registry.registry import Registry
from node.registry.scrub import start_scrub
from node.registry.uploads import append_upload, begin_upload
from node.store.blobs import DUE_AFTER
from protocol.blobs.chunkmap import CHUNK_SIZE
from tests.node.registry.world import ALICE, APP, DAY, World, opened, push_blob, source

LARGE = bytes(20_000)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def registry(tmp_path: Path, world: World) -> AsyncIterator[Registry]:
    async with opened(tmp_path / "data", world) as registry:
        yield registry


def rows(registry: Registry) -> int:
    with registry.store.meta.read() as txn:
        return registry.store.meta.blobs.rows.bytes.count(txn) + len(registry.store.meta.uploads.page(txn, limit=9))


def chunks(registry: Registry) -> int:
    with registry.store.chunks.read() as txn:
        return registry.store.chunks.count(txn)


async def test_the_collection_looks_again_and_again(
    registry: Registry, world: World, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    """The link goes when it is due, the blob a day after that."""
    await push_blob(registry, LARGE)
    nursery.start_soon(collect_forever, registry)
    await trio.testing.wait_all_tasks_blocked()
    assert (rows(registry), chunks(registry)) == (1, 1)
    while rows(registry) or chunks(registry):
        world.now += DUE_AFTER + 1
        mock_clock.jump(61)
        await trio.testing.wait_all_tasks_blocked()
    nursery.cancel_scope.cancel()


async def test_what_a_killed_node_left_is_freed_at_the_start(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path / "killed", world) as registry:
        await registry.store.chunk_writer.write(lambda txn: registry.store.chunks.put(txn, 5, 0, LARGE))
        kept = await push_blob(registry, LARGE)
        upload = await begin_upload(registry, ALICE, APP, "sha256")
        await append_upload(registry, ALICE, APP, upload, source(LARGE))
        assert kept
    async with opened(tmp_path / "killed", world) as registry, trio.open_nursery() as nursery:
        assert chunks(registry) == 3
        nursery.start_soon(collect_forever, registry)
        while chunks(registry) > 2:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_uploads_expire_while_the_job_runs(
    registry: Registry, world: World, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    upload = await begin_upload(registry, ALICE, APP, "sha256")
    await append_upload(registry, ALICE, APP, upload, source(LARGE))
    world.now += DAY + 1
    nursery.start_soon(lambda: expire_forever(registry, after=lambda: DAY))
    await trio.testing.wait_all_tasks_blocked()
    assert rows(registry) == 1  # The first look comes after a minute.
    mock_clock.jump(61)
    while rows(registry) or chunks(registry):
        await trio.lowlevel.checkpoint()
    assert not registry.sessions
    nursery.cancel_scope.cancel()


async def test_a_scrub_begins_by_itself_within_the_interval_and_then_each_one(
    registry: Registry, world: World, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A day goes by in each of the looks at the clock, which are a minute apart."""
    nursery.start_soon(scrub_forever, registry, lambda: Pace(True, 30 * DAY, 2**30), Random(1))
    waits: dict[float, float] = {}
    while len(waits) < 5:
        await trio.sleep(61)
        if not registry.scrubbing.state.is_running:  # A pass takes no time, whatever the clock leaps meanwhile.
            world.now += DAY
        state = registry.scrubbing.state
        if state.now.began:
            waits[state.now.began] = state.next - state.now.began
    nursery.cancel_scope.cancel()
    assert all(25 * DAY <= one <= 35 * DAY for one in waits.values())
    assert len(set(waits.values())) == 5


async def test_a_scrub_reads_no_faster_than_it_may(
    registry: Registry, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    await push_blob(registry, bytes(5 * CHUNK_SIZE))
    await start_scrub(registry, ALICE, rate=2**20)
    began = trio.current_time()
    nursery.start_soon(scrub_forever, registry, lambda: Pace(False, 30 * DAY, 2**30), Random(1))
    while registry.scrubbing.state.is_running:  # noqa: ASYNC110 - nobody tells.
        await trio.sleep(0.5)
    nursery.cancel_scope.cancel()
    assert trio.current_time() - began > 0.7 * registry.scrubbing.state.now.read / 2**20
