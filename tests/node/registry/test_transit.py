"""A blob on its way: read while it comes, never past what was compared, and broken off where it does not come."""

import os
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from node.registry.elsewhere import OpenBlob
from node.registry.registry import Registry
from node.registry.transit import Transit
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import NoSource, PeerFault
from protocol.oci.digest import digest_of
from protocol.sync.entries import Blob
from tests.node.registry.world import fetchable, push_blob, receiver

DATA = os.urandom(2 * CHUNK_SIZE + 1000)


def begin(registry: Registry, data: bytes = DATA) -> Transit:
    return registry.transits.begin(*fetchable(data))


async def read(blob: OpenBlob, into: bytearray, start: int = 0) -> None:
    """Read to the end into *into*, which has what came so far, and give the blob back."""
    try:
        async for one in blob.read(start, blob.size - start):
            into += one if isinstance(one, bytes) else os.pread(blob.fd, one.length, one.offset)
    finally:
        blob.release()


def gated(data: bytes, gate: trio.Event, after: int) -> Callable[[memoryview], Awaitable[int]]:
    """A source that waits for *gate* once it has sent *after* bytes."""
    receive, sent = receiver(data), 0

    async def receive_into(view: memoryview) -> int:
        nonlocal sent
        if sent >= after:
            await gate.wait()
        came = await receive(view)
        sent += came
        return came

    return receive_into


async def until_durable(transit: Transit, count: int) -> None:
    while transit._ingest.durable < count:
        await transit._progress.wait()


async def test_a_reader_gets_what_is_there_and_the_last_chunk_only_after_the_digest(registry: Registry) -> None:
    transit, gate, got = begin(registry), trio.Event(), bytearray()
    assert registry.transits.get(digest_of(DATA)) is transit
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, transit.open(), got)
        nursery.start_soon(transit.fill, gated(DATA, gate, CHUNK_SIZE))
        await until_durable(transit, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert got == DATA[:CHUNK_SIZE]
        gate.set()
        await until_durable(transit, 2)
        while len(got) < 2 * CHUNK_SIZE:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert got == DATA[: 2 * CHUNK_SIZE]
        await transit.complete()
    assert got == DATA
    assert (transit.failure, registry.transits.get(digest_of(DATA))) == ("", None)
    assert registry.transits.is_here(digest_of(DATA))


async def test_a_last_chunk_that_is_full_waits_for_the_digest_as_well(registry: Registry) -> None:
    data = DATA[: 2 * CHUNK_SIZE]
    transit, got = begin(registry, data), bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, transit.open(), got)
        await transit.fill(receiver(data))
        while len(got) < CHUNK_SIZE:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert got == data[:CHUNK_SIZE]
        await transit.complete()
    assert got == data


@pytest.mark.parametrize("start", [0, 1, CHUNK_SIZE, 2 * CHUNK_SIZE, len(DATA) - 1])
async def test_a_range_waits_for_its_own_chunks(registry: Registry, start: int) -> None:
    transit, got = begin(registry), bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, transit.open(), got, start)
        await transit.fill(receiver(DATA))
        await transit.complete()
    assert got == DATA[start:]


@pytest.mark.parametrize("size", [0, 1, 16_320, 16_321, CHUNK_SIZE, 2 * CHUNK_SIZE])
async def test_a_blob_of_any_size_comes_whole(registry: Registry, size: int) -> None:
    transit, got = begin(registry, DATA[:size]), bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, transit.open(), got)
        await transit.fill(receiver(DATA[:size]))
        await transit.complete()
    assert got == DATA[:size]
    with registry.store.meta.read() as txn:
        row = registry.store.meta.blobs.get(txn, digest_of(DATA[:size]))
    assert row is not None
    assert (row.size, row.holds) == (size, 0)


async def test_another_source_goes_on_at_the_chunk_where_one_was_lost(registry: Registry) -> None:
    transit = begin(registry)
    with pytest.raises(trio.BrokenResourceError):
        await transit.fill(receiver(DATA[: CHUNK_SIZE + 500], gone=True))
    assert transit.next_chunk == 1
    with pytest.raises(trio.BrokenResourceError):
        await transit.fill(receiver(DATA[CHUNK_SIZE : 2 * CHUNK_SIZE + 5]))  # It ended too early.
    assert transit.next_chunk == 2
    await transit.fill(receiver(DATA[2 * CHUNK_SIZE :]))
    await transit.complete()
    assert registry.transits.is_here(digest_of(DATA))


async def test_a_failure_breaks_readers_and_its_chunks_go_when_they_have_gone(registry: Registry) -> None:
    transit, got = begin(registry), bytearray()
    with pytest.raises(trio.BrokenResourceError):
        await transit.fill(receiver(DATA[: 2 * CHUNK_SIZE], gone=True))
    blob = transit.open()
    transit.fail("nobody has it")
    await registry.transits.delete_leftovers()
    with registry.store.chunks.read() as txn:
        assert registry.store.chunks.count(txn) == 2  # Somebody holds it.
    with pytest.raises(NoSource, match="nobody has it"):
        await read(blob, got)
    await registry.transits.delete_leftovers()
    with registry.store.chunks.read() as txn:
        assert registry.store.chunks.count(txn) == 0
    assert not registry.transits.is_here(digest_of(DATA))


async def test_a_reader_that_waits_is_told_of_a_failure(registry: Registry) -> None:
    transit, got, broken = begin(registry), bytearray(), []

    async def reader() -> None:
        try:
            await read(transit.open(), got)
        except NoSource:
            broken.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await trio.testing.wait_all_tasks_blocked()
        transit.fail("gone")
    assert broken == [True]
    assert (bytes(got), len(registry.store.leases.counts)) == (b"", 0)


async def test_a_map_that_leads_to_another_digest_is_its_signers_fault(registry: Registry) -> None:
    """Each chunk verifies, and the whole is not what was asked for: nobody gets the last chunk."""
    _, chunk_map = fetchable(DATA)
    asked = Blob(digest_of(b"asked"), len(DATA), chunk_map.root)
    transit, got = registry.transits.begin(asked, chunk_map), bytearray()
    blob = transit.open()
    await transit.fill(receiver(DATA))
    with pytest.raises(PeerFault, match="signed"):
        await transit.complete()
    transit.fail("a lie")
    with pytest.raises(NoSource):
        await read(blob, got)
    assert len(got) <= 2 * CHUNK_SIZE
    assert not registry.transits.is_here(asked.digest)


async def test_a_map_that_is_not_the_entrys_is_refused(registry: Registry) -> None:
    blob, chunk_map = fetchable(DATA)
    with pytest.raises(PeerFault):
        registry.transits.begin(Blob(blob.digest, blob.size, bytes(32)), chunk_map)
    assert registry.transits.get(blob.digest) is None


async def test_a_blob_that_was_pushed_meanwhile_is_kept_once(registry: Registry) -> None:
    transit = begin(registry)
    await transit.fill(receiver(DATA))
    await push_blob(registry, DATA)
    await transit.complete()
    await registry.transits.delete_leftovers()
    with registry.store.chunks.read() as txn:
        assert registry.store.chunks.count(txn) == 3
