"""A scrub reads everything, finds what is damaged, goes on after a restart, and leaves what it read as it was."""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.registry.damage import PAGES, known_damage, load_bad, tell_damage
from node.registry.elsewhere import Elsewhere
from node.registry.mending.repair import repair_round
from node.registry.registry import Registry
from node.registry.scrub import load_scrub, open_files, put_scrub, scrub_status, scrub_step, start_scrub
from node.registry.scrubbing import ScrubState
from node.store.damage import chunk_place
from node.store.extents import is_resident
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import Damaged, Denied, ParameterInvalid, StoreReadOnly
from protocol.oci.digest import Digest, packed
from protocol.oci.names import RepositoryName
from tests.node.registry.world import ALICE, APP, EVE, World, content, opened, push_blob

LAYER = os.urandom(2 * CHUNK_SIZE + 1000)


async def scrubbed(registry: Registry) -> int:
    """Go through a pass, from where it is; return the bytes that were read."""
    if not registry.scrubbing.state.is_running:
        await start_scrub(registry, ALICE, rate=0)
    with open_files(registry) as files:
        read = 0
        while registry.scrubbing.state.is_running:
            read += await scrub_step(registry, files)
    return read


def damage_chunk(registry: Registry, number: int, index: int) -> None:
    store = registry.store
    with store.chunks.read() as txn:
        [offset] = store.chunks.offsets(txn, number, index, 1)
    with (store.path / "chunks" / "data.mdb").open("r+b") as file:
        file.seek(offset + 1000)
        file.write(b"damage")
        os.fsync(file.fileno())


async def test_a_whole_store_is_read_and_nothing_is_found(registry: Registry) -> None:
    await push_blob(registry, LAYER)
    read = await scrubbed(registry)
    status = scrub_status(registry, ALICE)
    assert read == status.read > len(LAYER)
    assert (status.found, status.damaged, status.state) == (0, 0, "idle")
    assert status.completed is not None


async def test_damage_that_has_no_place_is_told_for_a_while(registry: Registry, world: World) -> None:
    tell_damage(registry, Damaged("a sealed secret that this node's master key does not open"))
    assert await repair_round(registry) == 0
    assert [alarm.what[:15] for alarm in registry.alarms.raised()] == ["a sealed secret"]
    world.now += 3600
    await repair_round(registry)
    assert registry.alarms.raised() == []


async def test_a_bad_chunk_is_found_told_and_known_after_a_restart(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path / "data", world) as registry:
        digest = await push_blob(registry, LAYER)
        assert await content(registry, APP, digest) == LAYER  # It is known to have been right.
        damage_chunk(registry, 1, 1)
        await scrubbed(registry)
        assert await repair_round(registry) == 1
        assert [place for place, _ in known_damage(registry, limit=9)] == [chunk_place(1, 1)]
        assert [alarm.name for alarm in registry.alarms.raised()] == ["damaged-content"]
    async with opened(tmp_path / "data", world) as registry:
        load_bad(registry)
        with pytest.raises(Damaged):
            await content(registry, APP, digest)
        await push_blob(registry, LAYER)
        assert await repair_round(registry) == 0
        assert registry.alarms.raised() == []
        assert await content(registry, APP, digest) == LAYER


async def test_a_bad_chunk_is_mended_alone_by_who_has_it(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path / "data", world) as registry:
        digest = await push_blob(registry, LAYER)
        damage_chunk(registry, 1, 1)
        asked: list[int] = []
        store = registry.store

        async def chunk(
            _registry: Registry, names: Sequence[RepositoryName], which: Digest, _root: bytes, index: int
        ) -> bytes | None:
            assert (list(names), which) == ([APP], digest)
            asked.append(index)
            return LAYER[index * CHUNK_SIZE : (index + 1) * CHUNK_SIZE]

        healed = replace(registry, elsewhere=Elsewhere(chunk=chunk))
        await scrubbed(healed)
        with store.chunks.read() as txn:
            before = store.chunks.offsets(txn, 1, 0, 3)
        store.leases.take(1)  # Somebody is sending it.
        assert await repair_round(healed) == 0
        store.leases.release(1)
        with store.chunks.read() as txn:
            assert store.chunks.offsets(txn, 1, 0, 3) == before
        assert asked == [1]
        assert await content(healed, APP, digest) == LAYER


async def test_wrong_bytes_from_elsewhere_mend_nothing(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path / "data", world) as registry:
        digest = await push_blob(registry, LAYER)
        damage_chunk(registry, 1, 1)

        async def liar(*_: object) -> bytes | None:
            return bytes(CHUNK_SIZE)

        healed = replace(registry, elsewhere=Elsewhere(chunk=liar))
        await scrubbed(healed)
        assert await repair_round(healed) == 1
        with pytest.raises(Damaged):
            await content(healed, APP, digest)


async def test_a_damaged_value_is_found_in_any_table(registry: Registry) -> None:
    digest = await push_blob(registry, b"small")
    contents = registry.store.meta.blobs.contents
    await registry.store.writer.write(lambda txn: txn.put(packed(digest), os.urandom(30), db=contents.db))
    await scrubbed(registry)
    assert scrub_status(registry, ALICE).found == 1
    assert await repair_round(registry) == 1
    await push_blob(registry, b"small")
    assert await repair_round(registry) == 0
    assert await content(registry, APP, digest) == b"small"


async def test_a_pass_goes_on_where_a_restart_ended_it(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path / "data", world) as registry:
        for number in range(3):
            await push_blob(registry, LAYER[number:])
        await start_scrub(registry, ALICE, rate=0)
        with open_files(registry) as files:
            while registry.scrubbing.state.now.phase != "chunks":
                await scrub_step(registry, files)
            await scrub_step(registry, files)
        await put_scrub(registry)
        before = registry.scrubbing.state
    async with opened(tmp_path / "data", world) as registry:
        load_scrub(registry)
        assert registry.scrubbing.state == before
        assert await scrubbed(registry) == len(LAYER) * 2 - 3


async def test_what_pulls_need_stays_in_memory_and_what_they_do_not_stays_out(registry: Registry) -> None:
    await push_blob(registry, os.urandom(12 * CHUNK_SIZE))
    store = registry.store
    with store.chunks.read() as txn:
        cold, _, _, hot = store.chunks.offsets(txn, 1, 8, 4)  # Far from what the map reads ahead of the first pages.
    os.posix_fadvise(store.chunks.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.pread(store.chunks.fd, CHUNK_SIZE, hot)
    if is_resident(store.chunks.fd, cold, CHUNK_SIZE):
        pytest.skip("this file system keeps everything in memory")
    await scrubbed(registry)
    assert is_resident(store.chunks.fd, hot, CHUNK_SIZE)
    assert not is_resident(store.chunks.fd, cold, CHUNK_SIZE)


async def test_a_file_that_ends_early_is_told_and_its_tables_are_not_walked(registry: Registry) -> None:
    """A page beyond the end of the file, read through the map, would end the process."""
    await push_blob(registry, b"small")
    await start_scrub(registry, ALICE, rate=0)
    with open_files(registry) as files:
        real = files.meta

        class Short:
            def read(self, offset: int, length: int) -> bytes:
                return real.read(offset, length) if offset + length <= 8192 else b""

            def close(self) -> None: ...

        phases = set()
        while registry.scrubbing.state.is_running:
            phases.add(registry.scrubbing.state.now.phase)
            await scrub_step(registry, files._replace(meta=Short()))  # type: ignore[arg-type]
    assert phases == {PAGES, "chunks"}
    assert scrub_status(registry, ALICE).found > 0


async def test_only_who_may_starts_and_sees_it(registry: Registry, world: World) -> None:
    with pytest.raises(Denied):
        await start_scrub(registry, EVE, rate=0)
    with pytest.raises(Denied):
        scrub_status(registry, EVE)
    with pytest.raises(ParameterInvalid):
        await start_scrub(registry, ALICE, rate=1)


async def test_a_scrub_beside_pushes_finds_nothing(registry: Registry) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scrubbed, registry)
        for number in range(5):
            await push_blob(registry, LAYER[number:])
    assert scrub_status(registry, ALICE).found == 0


@pytest.fixture(autouse=True)
async def no_lease_is_left(registry: Registry) -> AsyncIterator[None]:
    yield
    assert registry.store.leases.counts == {}


async def test_a_pass_that_was_asked_for_puts_off_the_next_one(registry: Registry) -> None:
    registry.scrubbing.state = ScrubState(next=registry.now() + 60)
    await scrubbed(registry)
    assert scrub_status(registry, ALICE).next is None, "to be drawn anew, an interval after this pass"


async def test_a_blob_that_cannot_be_found_while_the_store_is_opened_anew_is_refused_for_now(
    registry: Registry,
) -> None:
    digest = await push_blob(registry, LAYER)
    registry.store.chunk_writer.lost.set()
    with pytest.raises(StoreReadOnly):
        await content(registry, APP, digest)
