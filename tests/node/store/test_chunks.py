"""Chunks lie where their offsets say, padded to few sizes, and go in small batches."""

import os

import pytest

from node.store.chunks import DELETE_BATCH, chunk_count
from node.store.store import Store
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import Damaged


async def put(store: Store, number: int, index: int, data: bytes) -> None:
    await store.chunk_writer.write(lambda txn: store.chunks.put(txn, number, index, data))


@pytest.mark.parametrize(
    ("length", "stored"),
    [
        (1, 4_080),
        (4_080, 4_080),
        (4_081, 16_368),
        (16_368, 16_368),
        (16_369, 65_520),
        (65_521, 262_128),
        (262_129, CHUNK_SIZE),
        (CHUNK_SIZE, CHUNK_SIZE),
    ],
)
async def test_a_tail_is_padded_to_whole_pages_of_few_sizes(store: Store, length: int, stored: int) -> None:
    data = os.urandom(length)
    await put(store, 1, 0, data)
    with store.chunks.read() as txn:
        value = txn.get(bytes(7) + b"\1" + bytes(4), db=store.chunks._db)
        assert value is not None
        assert (len(value), bytes(value)) == (stored, data.ljust(stored, b"\0"))
    assert (stored + 16) % 4096 == 0  # With the header of its first page.


async def test_offsets_are_where_the_bytes_lie_in_the_file(store: Store) -> None:
    parts = [os.urandom(size) for size in (CHUNK_SIZE, CHUNK_SIZE, 5)]
    for index, part in enumerate(parts):
        await put(store, 7, index, part)
    with store.chunks.read() as txn:
        offsets = store.chunks.offsets(txn, 7, 0, 3)
        assert [os.pread(store.chunks.fd, len(part), at) for part, at in zip(parts, offsets, strict=True)] == parts
        assert store.chunks.offsets(txn, 7, 1, 1) == offsets[1:2]
        with pytest.raises(LookupError):
            store.chunks.offsets(txn, 7, 2, 2)
    assert [store.chunks.load(7, index, len(part)) for index, part in enumerate(parts)] == parts


async def test_what_is_not_there_or_beyond_the_file_is_damaged(store: Store) -> None:
    with pytest.raises(Damaged):
        store.chunks.load(7, 0, 1)
    with pytest.raises(Damaged, match="early"):
        store.chunks.load_at(os.fstat(store.chunks.fd).st_size - 5, 6)


async def test_a_blob_is_deleted_in_batches_and_its_neighbours_stay(store: Store) -> None:
    for number, count in ((1, 1), (2, DELETE_BATCH + 1), (3, 1)):
        for index in range(count):
            await put(store, number, index, b"x")
    done = await store.chunk_writer.write(lambda txn: store.chunks.delete_some(txn, [2]))
    with store.chunks.read() as txn:
        assert (done, store.chunks.count(txn)) == (0, 3)
    await store.delete_chunks(2)
    with store.chunks.read() as txn:
        assert store.chunks.numbers(txn, above=0, below=99, limit=99) == [1, 3]


async def test_small_blobs_are_deleted_many_at_once(store: Store) -> None:
    for number in range(1, DELETE_BATCH + 3):
        await put(store, number, 0, b"x")
    before = store.chunk_writer.commits
    await store.delete_chunks(*range(1, DELETE_BATCH + 3), 99)
    with store.chunks.read() as txn:
        assert store.chunks.count(txn) == 0
    assert store.chunk_writer.commits - before == 2


async def test_nothing_has_number_nought(store: Store) -> None:
    await put(store, 0, 0, b"x")
    await store.delete_chunks(0)
    with store.chunks.read() as txn:
        assert store.chunks.count(txn) == 1


async def test_numbers_are_listed_between_two_of_them(store: Store) -> None:
    for number in (1, 2, 5, 300, 2**40):
        for index in range(2):
            await put(store, number, index, b"x")
    with store.chunks.read() as txn:
        assert store.chunks.numbers(txn, above=0, below=2**63, limit=9) == [1, 2, 5, 300, 2**40]
        assert store.chunks.numbers(txn, above=1, below=300, limit=9) == [2, 5]
        assert store.chunks.numbers(txn, above=1, below=301, limit=2) == [2, 5]
        assert store.chunks.last_number(txn) == 2**40


@pytest.mark.parametrize(("size", "count"), [(0, 0), (1, 1), (CHUNK_SIZE, 1), (CHUNK_SIZE + 1, 2)])
def test_chunk_count(size: int, count: int) -> None:
    assert chunk_count(size) == count
