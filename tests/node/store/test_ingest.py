"""Bytes that arrive, however they are cut up, have one digest and one chunk map, and are where these say."""

import tempfile
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import trio
import trio.lowlevel
import trio.testing
from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.store.blobs import INLINE_SIZE
from node.store.ingest import IN_FLIGHT, Ingest
from node.store.store import Store, open_store
from protocol.blobs.chunkmap import CHUNK_SIZE, ChunkMap
from protocol.errors import PeerFault, StoreFull, TooSlow
from protocol.oci.digest import digest_of

EDGES = [0, 1, INLINE_SIZE, INLINE_SIZE + 1, 65_536, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE]
ALGORITHMS = ["sha256", "sha512", "blake3"]
CONTENT = Random(2).randbytes(3 * CHUNK_SIZE)


def source(data: bytes, *, gone: bool = False) -> Callable[[memoryview], Awaitable[int]]:
    """A client that sends *data*, and then says so or is *gone*."""
    left = memoryview(data)

    async def receive_into(view: memoryview) -> int:
        nonlocal left
        await trio.lowlevel.checkpoint()
        size = min(len(view), len(left))
        view[:size], left = left[:size], left[size:]
        if size < len(view) and gone:
            raise trio.BrokenResourceError
        return size

    return receive_into


def map_of(data: bytes) -> ChunkMap:
    parts = [data[at : at + CHUNK_SIZE] for at in range(0, len(data), CHUNK_SIZE)]
    return ChunkMap(len(data), tuple(blake3(part).digest() for part in parts))


def stored(store: Store, ingest: Ingest) -> bytes:
    """What would be read after a crash."""
    size = ingest.settled
    if not ingest.number:
        return ingest.inline
    sizes = [min(CHUNK_SIZE, size - at) for at in range(0, size, CHUNK_SIZE)]
    return b"".join(store.chunks.load(ingest.number, index, one) for index, one in enumerate(sizes))


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from(EDGES) | st.integers(0, len(CONTENT)),
    cuts=st.lists(st.sampled_from(EDGES) | st.integers(0, len(CONTENT)), max_size=4),
    algorithms=st.tuples(st.sampled_from(ALGORITHMS), st.sampled_from(ALGORITHMS)),
    announced=st.booleans(),
    between=st.sampled_from(["nothing", "park", "restart"]),
)
@example(size=CHUNK_SIZE, cuts=[], algorithms=("sha256", "sha512"), announced=True, between="nothing")
@example(
    size=CHUNK_SIZE + 1, cuts=[INLINE_SIZE, CHUNK_SIZE], algorithms=("sha256",) * 2, announced=True, between="restart"
)
def test_any_parts_make_the_whole(
    size: int, cuts: list[int], algorithms: tuple[str, str], announced: bool, between: str
) -> None:
    data = CONTENT[:size]
    places = sorted({0, size, *(cut for cut in cuts if cut < size)})

    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_store(Path(folder), map_size=2**26, reserve=0) as store:
                ingest = Ingest(store.sink, algorithms[0])
                for start, end in pairwise(places):
                    await ingest.fill(source(data[start:end]), end - start if announced else None)
                    await ingest.settle()
                    assert (ingest.size, ingest.settled, stored(store, ingest)) == (end, end, data[:end])
                    if between == "park":
                        ingest.park()
                    if between == "restart":
                        number, inline = ingest.number, ingest.inline
                        ingest.close()
                        ingest = Ingest(store.sink, algorithms[0])
                        await ingest.resume(number, end, inline)
                assert await ingest.finish(algorithms[1]) == (digest_of(data, algorithms[1]), map_of(data))
                assert stored(store, ingest) == data
                assert bool(ingest.number) == (size > INLINE_SIZE)

    trio.run(check)


async def test_a_client_that_goes_away_leaves_its_whole_chunks(store: Store) -> None:
    ingest = Ingest(store.sink, "sha256")
    with pytest.raises(trio.BrokenResourceError):
        await ingest.fill(source(CONTENT[: 2 * CHUNK_SIZE + 5], gone=True), len(CONTENT))
    await ingest.settle()
    assert (ingest.size, stored(store, ingest)) == (2 * CHUNK_SIZE, CONTENT[: 2 * CHUNK_SIZE])
    await ingest.fill(source(CONTENT[2 * CHUNK_SIZE :]), None)
    assert await ingest.finish("sha256") == (digest_of(CONTENT), map_of(CONTENT))


async def test_durable_counts_chunks_from_the_start_as_they_are_written(store: Store) -> None:
    ingest, seen = Ingest(store.sink, "sha256"), []
    ingest.on_durable = lambda: seen.append((ingest.durable, stored_count(store)))
    await ingest.fill(source(CONTENT), None)
    assert ingest.durable == 3
    assert all(durable <= count for durable, count in seen)
    assert [durable for durable, _ in seen] == sorted(durable for durable, _ in seen)


def stored_count(store: Store) -> int:
    with store.chunks.read() as txn:
        return store.chunks.count(txn)


async def test_a_store_that_fills_up_in_the_middle_refuses_and_frees_what_others_wait_for(tmp_path: Path) -> None:
    async with open_store(tmp_path, map_size=2**21, reserve=0) as store:
        ingest = Ingest(store.sink, "sha256")
        with pytest.raises(StoreFull):
            await ingest.fill(source(CONTENT), len(CONTENT))
        assert store.sink.in_flight.value == IN_FLIGHT
        await store.delete_chunks(ingest.number)
        again = Ingest(store.sink, "sha256")
        await again.fill(source(CONTENT[:100_000]), None)
        assert (await again.finish("sha256"))[0] == digest_of(CONTENT[:100_000])


@pytest.mark.parametrize("bad", [0, 1, 2])
async def test_a_chunk_that_is_not_the_expected_one_is_not_written(store: Store, bad: int) -> None:
    wrong = bytearray(CONTENT)
    wrong[bad * CHUNK_SIZE + 7] ^= 1
    ingest = Ingest(store.sink, "sha256", expected=b"".join(map_of(CONTENT).hashes))
    with pytest.raises(PeerFault, match=f"chunk {bad} "):
        await ingest.fill(source(bytes(wrong)), len(wrong))
    assert ingest.durable <= bad
    with store.chunks.read() as txn, pytest.raises(LookupError):
        store.chunks.offsets(txn, ingest.number, bad, 1)


async def test_a_tail_that_is_not_the_expected_one_ends_in_a_fault(store: Store) -> None:
    data = CONTENT[: CHUNK_SIZE + 100]
    ingest = Ingest(store.sink, "sha256", expected=b"".join(map_of(data).hashes))
    await ingest.fill(source(data[:-1] + b"!"), len(data))
    with pytest.raises(PeerFault, match="last chunk"):
        await ingest.finish("sha256")


async def test_a_rewound_chunk_comes_again_from_its_start(store: Store) -> None:
    data = CONTENT[: CHUNK_SIZE + 100]
    ingest = Ingest(store.sink, "sha256", expected=b"".join(map_of(data).hashes))
    with pytest.raises(trio.BrokenResourceError):
        await ingest.fill(source(data[: CHUNK_SIZE + 50], gone=True), len(data))
    ingest.rewind()
    await ingest.fill(source(data[CHUNK_SIZE:]), 100)
    assert await ingest.finish("sha256") == (digest_of(data), map_of(data))


async def test_an_upload_that_waits_holds_no_buffer(store: Store) -> None:
    ingest = Ingest(store.sink, "sha256")
    await ingest.fill(source(CONTENT[: CHUNK_SIZE - 1]), CHUNK_SIZE - 1)
    ingest.park()
    assert ingest.memory >= CHUNK_SIZE - 1  # Nothing else has these bytes.
    await ingest.settle()
    ingest.park()
    assert ingest.memory == 0
    await ingest.fill(source(CONTENT[CHUNK_SIZE - 1 :]), None)
    assert await ingest.finish("sha256") == (digest_of(CONTENT), map_of(CONTENT))


async def test_an_upload_that_announces_much_and_sends_little_takes_little(store: Store) -> None:
    ingest = Ingest(store.sink, "sha256")
    held: list[int] = []

    async def receive_into(view: memoryview) -> int:
        await trio.lowlevel.checkpoint()
        held.append(ingest.memory)  # Nothing else tells what waits here.
        return len(view) if len(held) < 4 else 0

    await ingest.fill(receive_into, 2**40)
    assert held == [2**16, 2**18, 2**20 - 16, 2**20 - 16]
    assert ingest.size == CHUNK_SIZE


async def test_buffers_go_back_to_those_who_wait(store: Store) -> None:
    for _ in range(3):
        ingest = Ingest(store.sink, "sha256")
        await ingest.fill(source(CONTENT), len(CONTENT))
        await ingest.finish("sha256")
        ingest.close()
    assert 0 < len(store.sink.buffers.spare) <= 4


@pytest.mark.parametrize("bad", range(12))
async def test_what_came_before_a_wrong_chunk_is_durable_and_what_came_after_is_not(store: Store, bad: int) -> None:
    content = Random(3).randbytes(12 * CHUNK_SIZE)
    hashes = bytearray(b"".join(map_of(content).hashes))
    hashes[bad * 32] ^= 1
    ingest = Ingest(store.sink, "sha256", expected=bytes(hashes))
    with pytest.raises(PeerFault, match=f"chunk {bad} "):
        await ingest.fill(source(content), len(content))
    assert ingest.durable == bad
    with store.chunks.read() as txn, pytest.raises(LookupError):
        store.chunks.offsets(txn, ingest.number, bad, 1)


async def test_uploads_that_stop_within_a_chunk_keep_nobody_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.store.filling.STALLED", 1.0)  # More than a loaded machine makes the honest one wait.
    store.sink.buffers.room = 2 * CHUNK_SIZE
    cut: list[int] = []

    async def stall(ingest: Ingest) -> None:
        left = CHUNK_SIZE + 300_000
        sent = source(CONTENT)

        async def receive_into(view: memoryview) -> int:
            nonlocal left
            came = await sent(view[:left])
            left -= came
            if came < len(view):
                await trio.sleep_forever()
            return came

        with pytest.raises(TooSlow):
            await ingest.fill(receive_into, None)
        await ingest.settle()
        cut.append(ingest.settled)
        ingest.close()

    async with trio.open_nursery() as nursery:
        slow = [Ingest(store.sink, "sha256") for _ in range(3)]
        for ingest in slow:
            nursery.start_soon(stall, ingest)
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.fail_after(20):
            ingest = Ingest(store.sink, "sha256")
            await ingest.fill(source(CONTENT), len(CONTENT))
        assert await ingest.finish("sha256") == (digest_of(CONTENT), map_of(CONTENT))
        assert cut
        ingest.close()
        for one in slow:
            one._filling.cut()
    assert all(CHUNK_SIZE <= size < CHUNK_SIZE + 300_000 for size in cut)
    assert (store.sink.buffers.held, len(store.sink.buffers.filling), store.sink.in_flight.value) == (0, 0, IN_FLIGHT)


async def test_an_upload_that_is_cancelled_gives_its_places_back(store: Store) -> None:
    ingest = Ingest(store.sink, "sha256")
    sent = source(CONTENT[: 3 * CHUNK_SIZE])
    with trio.CancelScope() as scope:

        async def receive_into(view: memoryview) -> int:
            if ingest.size >= 2 * CHUNK_SIZE:
                scope.cancel()
            return await sent(view)

        await ingest.fill(receive_into, None)
    assert scope.cancelled_caught
    assert store.sink.in_flight.value == IN_FLIGHT


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_what_was_handed_on_before_a_cancellation_is_written_and_what_follows_goes_on(
    store: Store, steps: int
) -> None:
    """The session of a peer that ends cancels what it was sending; another one goes on after the last whole chunk."""
    hashes = b"".join(map_of(CONTENT).hashes)
    ingest = Ingest(store.sink, "sha256", expected=hashes)
    with trio.CancelScope() as scope:

        async def cancel_soon() -> None:
            for _ in range(steps):  # While chunks are handed on, hashed and written.
                await trio.lowlevel.checkpoint()
            scope.cancel()

        sent = source(CONTENT[: 2 * CHUNK_SIZE + 10])

        async def receive_into(view: memoryview) -> int:
            came = await sent(view)
            if ingest.whole == 2 or (ingest.whole == 1 and not steps % 2):
                nursery.start_soon(cancel_soon)
                await trio.lowlevel.checkpoint()
                return came if ingest.whole == 1 else await trio.sleep_forever()
            return came

        async with trio.open_nursery() as nursery:
            await ingest.fill(receive_into, len(CONTENT))
    assert scope.cancelled_caught
    assert ingest.durable == ingest.whole > 0
    ingest.rewind()
    await ingest.fill(source(CONTENT[ingest.whole * CHUNK_SIZE :]), len(CONTENT) - ingest.size)
    assert await ingest.finish("sha256") == (digest_of(CONTENT), map_of(CONTENT))
    assert stored(store, ingest) == CONTENT
