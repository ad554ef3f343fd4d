"""A store is opened once, in its own format, and never gives a number of before the start again."""

import os
from pathlib import Path

import pytest

from node.store.blobs import BlobRow
from node.store.format import FORMAT, VERSION
from node.store.store import Store, open_store
from node.store.table import MAX_READERS
from protocol.errors import NotReady, StoreFull
from protocol.oci.digest import digest_of


async def test_a_second_node_on_the_directory_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="another node"):
        async with open_store(tmp_path, map_size=2**26):
            pass


async def test_the_lock_goes_with_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        async with open_store(tmp_path, map_size=2**26):
            pass


async def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "FORMAT").write_text(f"entrepot {VERSION + 1}\n")
    with pytest.raises(NotReady, match=f"entrepot {VERSION + 1}"):
        async with open_store(tmp_path, map_size=2**26):
            pass


async def test_a_store_without_its_format_is_refused(tmp_path: Path) -> None:
    async with open_store(tmp_path, map_size=2**26):
        assert (tmp_path / "FORMAT").read_text() == FORMAT
    (tmp_path / "FORMAT").unlink()
    with pytest.raises(NotReady, match="FORMAT"):
        async with open_store(tmp_path, map_size=2**26):
            pass


async def test_numbers_go_on_above_all_that_is_on_disk(tmp_path: Path) -> None:
    async with open_store(tmp_path, map_size=2**26) as store:
        assert (store.first_number, store.sink.next_number(), store.sink.next_number()) == (1, 1, 2)
        await store.chunk_writer.write(lambda txn: store.chunks.put(txn, 5, 0, b"x"))
    async with open_store(tmp_path, map_size=2**26) as store:
        assert (store.first_number, store.sink.next_number()) == (6, 6)
        row = BlobRow(5, 9, bytes(32), 0)
        await store.writer.write(lambda txn: store.meta.blobs.add(txn, digest_of(b"x"), row, None, bytes(32)))
    async with open_store(tmp_path, map_size=2**26) as store:
        assert store.first_number == 10


async def test_the_reserve_is_not_written_into(tmp_path: Path) -> None:
    for reserve in (2**60, 1, 2**30):
        folder = tmp_path / str(reserve)
        folder.mkdir()
        async with open_store(folder, map_size=2**40, reserve=reserve) as store:
            status = os.statvfs(tmp_path)
            total, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
            kept = max(min(reserve, total // 4), total // 50)
            assert abs(store.space.free() - max(0, free - kept)) < 2**28  # Others write to this disk as well.
            with pytest.raises(StoreFull):
                store.space.require(free)


async def test_each_slot_of_a_reader_has_its_block_before_lmdb_maps_it(tmp_path: Path) -> None:
    """On a full disk a page of the map without a block would end the process."""
    async with open_store(tmp_path, map_size=2**26):
        for name in ("meta", "chunks"):
            lock = (tmp_path / name / "lock.mdb").stat()
            assert lock.st_size >= 64 * MAX_READERS
            assert lock.st_blocks * 512 >= lock.st_size
