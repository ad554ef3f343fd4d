"""Writes that share a commit: each is durable when it returns, and one that fails undoes only itself."""

import os
import resource
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, get_ident
from typing import Any, cast

import lmdb
import pytest
import trio
import trio.testing

from node.store.meta import Meta, open_meta
from node.store.table import BytesTable, WriteTxn
from node.store.writer import Writer, _commit_flat, _commit_nested, _fail, _Job, open_writer
from protocol.errors import StoreFull, StoreReadOnly

NESTED_OR_FLAT = pytest.mark.parametrize("nested", [True, False])


@asynccontextmanager
async def held(meta: Meta, writer: Writer) -> AsyncIterator[None]:
    """Hold up the writer while the block queues what is to share one commit."""
    go, began = Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def wait(_txn: WriteTxn) -> None:
        token.run_sync_soon(began.set)
        go.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.write, wait)
        await began.wait()
        yield
        await trio.testing.wait_all_tasks_blocked()
        go.set()


@pytest.fixture
def table(meta: Meta) -> BytesTable:
    return BytesTable(meta.env, "test")


def put(table: BytesTable, key: bytes, size: int = 1) -> Callable[[WriteTxn], bytes]:
    def run(txn: WriteTxn) -> bytes:
        table.put(txn, key, bytes(size))
        return key

    return run


def keys(meta: Meta, table: BytesTable) -> list[bytes]:
    with meta.read() as txn:
        return table.keys(txn, b"", limit=1000)


@NESTED_OR_FLAT
async def test_a_write_that_raises_undoes_only_itself(meta: Meta, table: BytesTable, nested: bool) -> None:
    one, other = put(table, b"1"), put(table, b"3")

    def fail(txn: WriteTxn) -> None:
        table.put(txn, b"2", b"")
        raise LookupError

    async def failing() -> None:
        with pytest.raises(LookupError):
            await writer.write(fail)

    async with open_writer(meta.env, nested=nested) as writer, trio.open_nursery() as nursery, held(meta, writer):
        for run in (lambda: writer.write(one), failing, lambda: writer.write(other)):
            nursery.start_soon(run)
    assert keys(meta, table) == [b"1", b"3"]


@NESTED_OR_FLAT
async def test_what_is_queued_together_shares_a_commit(meta: Meta, table: BytesTable, nested: bool) -> None:
    async with open_writer(meta.env, nested=nested) as writer, trio.open_nursery() as nursery:
        before = meta.env.info()["last_txnid"]
        async with held(meta, writer):
            for key in (b"1", b"2", b"3"):
                nursery.start_soon(writer.write, put(table, key))
    assert keys(meta, table) == [b"1", b"2", b"3"]
    assert meta.env.info()["last_txnid"] - before <= 2  # That which held the writer up, and one for all.


@NESTED_OR_FLAT
async def test_a_full_store_refuses_and_goes_on(meta: Meta, table: BytesTable, nested: bool) -> None:
    small, large, last = put(table, b"1"), put(table, b"2", 2**23), put(table, b"3")
    async with open_writer(meta.env, nested=nested) as writer:
        await writer.write(small)
        with pytest.raises(StoreFull):
            await writer.write(large)
        assert not writer.broken
        assert await writer.write(last) == b"3"
    assert keys(meta, table) == [b"1", b"3"]


@NESTED_OR_FLAT
async def test_that_no_room_was_found_is_told_until_a_write_comes_through(
    meta: Meta, table: BytesTable, nested: bool
) -> None:
    async with open_writer(meta.env, nested=nested) as writer:
        assert await writer.probe()
        for end in (writer.probe, partial(writer.write, put(table, b"1"))):
            with pytest.raises(StoreFull):
                await writer.write(put(table, b"2", 2**23))
            assert (writer.is_full, writer.broken) == (True, False)
            assert await end()
            assert not writer.is_full


@NESTED_OR_FLAT
async def test_one_that_finds_the_store_full_does_not_fail_its_neighbours(
    meta: Meta, table: BytesTable, nested: bool
) -> None:
    small, large = put(table, b"1"), put(table, b"2", 2**23)

    async def refused() -> None:
        with pytest.raises(StoreFull):
            await writer.write(large)

    async with open_writer(meta.env, nested=nested) as writer, trio.open_nursery() as nursery, held(meta, writer):
        nursery.start_soon(writer.write, small)
        nursery.start_soon(refused)
    assert keys(meta, table) == [b"1"]


@contextmanager
def no_file_grows() -> Iterator[None]:
    """Have the kernel refuse every write beyond a few pages, as a disk does that fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@NESTED_OR_FLAT
async def test_after_a_commit_that_failed_nothing_is_written_and_reads_go_on(
    meta: Meta, table: BytesTable, nested: bool
) -> None:
    async with open_writer(meta.env, nested=nested) as writer:
        await writer.write(put(table, b"1"))
        with no_file_grows(), pytest.raises(StoreReadOnly):
            await writer.write(put(table, b"2", 2**20))
        assert writer.broken
        with pytest.raises(StoreReadOnly, match="until it works"):
            await writer.write(put(table, b"3"))
        assert keys(meta, table) == [b"1"]


@NESTED_OR_FLAT
async def test_a_disk_that_works_again_is_written_to_again(meta: Meta, table: BytesTable, nested: bool) -> None:
    async with open_writer(meta.env, nested=nested) as writer:
        with no_file_grows(), pytest.raises(StoreReadOnly):
            await writer.write(put(table, b"1", 2**20))
        assert await writer.probe()
        assert await writer.write(put(table, b"2")) == b"2"
        assert keys(meta, table) == [b"2"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB, for as long as the test; only root can have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24M", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:  # noqa: S603 - as above.
        pytest.skip("a file system can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607 - likewise.


@NESTED_OR_FLAT
async def test_after_a_full_disk_has_room_again_writes_go_on(small_disk: Path, nested: bool) -> None:
    folder = small_disk / "meta"
    folder.mkdir()
    with open_meta(folder, map_size=2**30) as meta:
        table = BytesTable(meta.env, "test")
        async with open_writer(meta.env, nested=nested) as writer:
            await writer.write(put(table, b"1"))
            os.posix_fallocate((ballast := os.open(small_disk / "b", os.O_CREAT | os.O_RDWR)), 0, 20 * 2**20)
            for _ in range(2):
                with pytest.raises(StoreFull):
                    await writer.write(put(table, b"2", 2**23))
            assert not writer.broken
            os.close(ballast)
            (small_disk / "b").unlink()
            await writer.write(put(table, b"3", 2**23))
        assert keys(meta, table) == [b"1", b"3"]


async def test_a_cancelled_write_leaves_the_writer_to_the_others(meta: Meta, table: BytesTable) -> None:
    one, other = put(table, b"1"), put(table, b"2")
    async with open_writer(meta.env, nested=True) as writer:
        async with held(meta, writer):
            with trio.move_on_after(0):
                await writer.write(one)
        assert await writer.write(other) == b"2"
    assert b"2" in keys(meta, table)


async def test_what_is_queued_when_the_block_ends_is_still_written(meta: Meta, table: BytesTable) -> None:
    one = put(table, b"1")
    async with trio.open_nursery() as nursery, open_writer(meta.env, nested=True) as writer:
        nursery.start_soon(writer.write, one)
        await trio.testing.wait_all_tasks_blocked()
    assert keys(meta, table) == [b"1"]


async def test_writes_run_on_one_thread_that_is_not_the_loop(meta: Meta) -> None:
    async with open_writer(meta.env, nested=True) as writer:
        assert await writer.write(lambda _: get_ident()) != get_ident()


class Panicked:
    """An environment of which the page that says what is valid could not be written."""

    def begin(self, **_: object) -> None:
        raise lmdb.PanicError("MDB_PANIC: Update of meta page failed or environment had fatal error")

    def path(self) -> str:
        return "/"


@pytest.mark.parametrize("commit", [_commit_flat, _commit_nested])
def test_an_environment_that_gives_no_more_transactions_is_noticed_at_the_next_write(
    commit: Callable[[Any, list[_Job]], bool],
) -> None:
    jobs = [_Job(lambda _: None), _Job(lambda _: None)]
    assert not commit(Panicked(), jobs)
    assert all(isinstance(job.error, StoreReadOnly) for job in jobs)


def test_no_room_for_the_last_page_is_no_full_disk() -> None:
    job = _Job(lambda _: None)
    assert not _fail(cast("lmdb.Environment", Panicked()), [job], lmdb.DiskError("No space left on device"))
    assert isinstance(job.error, StoreReadOnly)
