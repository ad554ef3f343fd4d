"""What is sent is what was compared with the chunk map since it was last read from the disk."""

import os
import shutil
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.store.extents import COLD, MAX_SEEN, Leases, Span, Verified
from node.store.store import Store, open_store
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import Damaged

SIZE = 2 * CHUNK_SIZE + 1000
DATA = Random(1).randbytes(SIZE)
PARTS = [DATA[at : at + CHUNK_SIZE] for at in range(0, SIZE, CHUNK_SIZE)]
HASHES = b"".join(blake3(part).digest() for part in PARTS)
BORDERS = st.sampled_from([0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE, SIZE - 1])
PLACES = BORDERS | st.integers(0, SIZE - 1)


async def write(store: Store, number: int = 1) -> None:
    for index, part in enumerate(PARTS):
        await store.chunk_writer.write(lambda txn, index=index, part=part: store.chunks.put(txn, number, index, part))  # type: ignore[misc]


async def read(
    store: Store, start: int, length: int, *, verified: Verified | None = None, hashes: bytes = HASHES
) -> bytes:
    spans = (verified or store.verified).spans(1, SIZE, hashes, start, length)
    return b"".join([os.pread(store.chunks.fd, span.length, span.offset) async for span in spans])


async def collect(store: Store, came: list[Span]) -> None:
    async for span in store.verified.spans(1, SIZE, HASHES, 0, SIZE):
        came.append(span)  # noqa: PERF401 - what came before an exception counts.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped store with the blob in it."""
    folder = tmp_path_factory.mktemp("store")

    async def fill() -> None:
        async with open_store(folder, map_size=2**26, reserve=0) as store:
            await write(store)

    trio.run(fill)
    return folder


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=10))
def test_any_range_is_exactly_that_range(folder: Path, wanted: list[tuple[int, int]]) -> None:
    async def check() -> None:
        async with open_store(folder, map_size=2**26, reserve=0) as store:
            for one, other in wanted:
                start, end = min(one, other), max(one, other) + 1
                assert await read(store, start, end - start) == DATA[start:end]

    trio.run(check)


@pytest.mark.parametrize("index", range(3))
async def test_a_byte_that_changed_on_disk_is_found_before_it_is_sent(folder: Path, tmp_path: Path, index: int) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    data = bytearray((copy / "chunks" / "data.mdb").read_bytes())
    data[data.index(PARTS[index][:64]) + len(PARTS[index]) // 2] ^= 1
    (copy / "chunks" / "data.mdb").write_bytes(data)
    async with open_store(copy, map_size=2**26, reserve=0) as store:
        came: list[Span] = []
        with pytest.raises(Damaged, match=f"chunk {index} "):
            await collect(store, came)
        assert [span.length for span in came] == [CHUNK_SIZE] * index
        with pytest.raises(Damaged):  # Nor is it the next time.
            await read(store, index * CHUNK_SIZE, 1)


async def test_a_chunk_is_compared_once_and_again_only_when_forgotten(store: Store) -> None:
    await write(store)
    wrong = bytes(len(HASHES))
    store.verified.note(1, range(1, 3))
    assert await read(store, CHUNK_SIZE, CHUNK_SIZE, hashes=wrong) == PARTS[1]
    with pytest.raises(Damaged):  # Nobody said that of the first one.
        await read(store, 0, 1, hashes=wrong)
    store.verified.forget(1)
    with pytest.raises(Damaged):
        await read(store, CHUNK_SIZE, 1, hashes=wrong)


async def test_a_chunk_that_was_compared_says_nothing_of_those_before_it(store: Store) -> None:
    await write(store)
    assert await read(store, CHUNK_SIZE, 5) == PARTS[1][:5]
    with pytest.raises(Damaged):
        await read(store, 0, 1, hashes=bytes(len(HASHES)))


async def test_a_chunk_that_is_gone_is_damaged(store: Store) -> None:
    await write(store)
    await store.delete_chunks(1)
    with pytest.raises(Damaged):
        await read(store, 0, 1)


def test_a_lease_ends_with_the_last_of_its_readers() -> None:
    leases = Leases()
    leases.take(7)
    leases.take(7)
    leases.release(7)
    assert (leases.held(7), leases.held(8)) == (True, False)
    leases.release(7)
    assert not leases.held(7)
    assert not leases.counts  # Nothing is kept of those that ended.


async def test_what_is_remembered_of_blobs_has_a_bound(store: Store) -> None:
    verified = Verified(store.chunks, store.meta.noticed)
    for number in range(MAX_SEEN + 1):
        verified.note(number, range(1))
    assert len(verified._seen) == MAX_SEEN
    assert not verified._was_seen(0, 0)
    assert verified._was_seen(1, 0)


async def test_a_span_says_whether_the_next_one_is_ready(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    async with open_store(tmp_path / "copy", map_size=2**26, reserve=0) as store:
        came: list[Span] = []
        await collect(store, came)  # Compares each when it is asked for.
        assert [span.is_followed for span in came] == [False, False, False]
        came.clear()
        await collect(store, came)
        assert [span.is_followed for span in came] == [True, True, False]


async def test_readers_of_a_disk_that_hangs_leave_the_threads_of_others_free(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store)
    disk, real = threading.Event(), os.pread

    def hang(fd: int, length: int, offset: int) -> bytes:
        if length == CHUNK_SIZE:
            disk.wait(30)
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", hang)
    others = trio.to_thread.current_default_thread_limiter()
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(int(others.total_tokens) + COLD):
                nursery.start_soon(read, store, 0, 10)
            await trio.testing.wait_all_tasks_blocked()
            assert others.available_tokens == others.total_tokens
            with trio.fail_after(20):
                assert await trio.to_thread.run_sync(lambda: 1) == 1
            disk.set()
    finally:
        disk.set()


async def test_a_reader_that_waits_for_its_client_has_no_slot_of_lmdb(store: Store) -> None:
    """A transaction keeps its slot while anything names it: with 256 slots the 257th slow reader got an error."""
    await write(store)
    suspended = [store.verified.spans(1, SIZE, HASHES, 0, SIZE) for _ in range(50)]
    async with AsyncExitStack() as stack:
        for one in suspended:
            stack.push_async_callback(one.aclose)  # type: ignore[attr-defined] # It is a generator.
            assert (await anext(one)).length == CHUNK_SIZE
        assert len(store.chunks.env.readers().splitlines()) < 10
