"""A node that is in use is checked without a fault being told that is none, and a fault that is there is found."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio
import trio.lowlevel

from node.registry import burial
from node.registry.burial import bury_step
from node.registry.check import reading
from node.registry.check.findings import Checked
from node.registry.check.running import check_node
from node.registry.deletes import delete_image
from node.registry.registry import Registry
from node.registry.repositories import delete_repository
from node.store.table import WriteTxn
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import Busy, Denied
from protocol.oci.digest import digest_of, packed
from tests.node.registry.backup.conftest import LARGE, SMALL, live
from tests.node.registry.world import ALICE, APP, EVE, World, opened, push_blob, push_image


@pytest.fixture
async def lived(tmp_path: Path, world: World) -> AsyncIterator[Registry]:
    async with opened(tmp_path / "data", world, missing_content="allow") as registry:
        await live(registry)
        yield registry


def faults(checked: Checked) -> list[tuple[str, str]]:
    return [(one.kind, one.place) for one in checked.findings if one.severity == "error"]


@pytest.mark.parametrize("deep", [False, True])
async def test_nothing_is_told_of_a_store_that_lived(lived: Registry, deep: bool) -> None:
    checked = await check_node(lived, ALICE, deep=deep)
    assert checked.findings == []
    assert checked.counts["images"] > 0
    assert ("bytes" in checked.counts) == deep or checked.counts["bytes"] < len(LARGE)


async def test_nothing_is_told_of_what_changes_meanwhile(
    lived: Registry, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setattr(reading, "_PACED_PAGE", 3)  # So that much happens between two pages.
    monkeypatch.setattr(reading.PacedReading, "page", 3)
    pushed = 0

    async def push_and_delete() -> None:
        nonlocal pushed
        random = Random(7)
        while True:
            layers = [random.randbytes(30), random.randbytes(random.choice((40, CHUNK_SIZE + 9)))]
            digest = await push_image(lived, b"{}", *layers, tags=(random.choice("abc"), random.choice("defg")))
            await push_blob(lived, random.randbytes(50))
            if random.random() < 0.5:
                await delete_image(lived, ALICE, APP, digest)
            world.now += 3600
            pushed += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(push_and_delete)
        checks = 0
        while checks < 3 or pushed < 20:
            checks += 1
            assert faults(await check_node(lived, ALICE, deep=checks % 2 == 0)) == []
        nursery.cancel_scope.cancel()


async def test_nothing_is_told_of_a_deleted_repository_whose_rows_go(
    lived: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading.PacedReading, "page", 3)
    monkeypatch.setattr(burial, "STEP", 2)  # So that there are rows left at the beginning and none at the end.
    for number in range(30):
        await push_image(lived, b"{}", tags=(f"t{number}",))
    await delete_repository(lived, ALICE, APP, force=True)
    checked: list[Checked] = []

    async def check() -> None:
        checked.append(await check_node(lived, ALICE, deep=False))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(check)
        while not done(lived):
            await trio.lowlevel.checkpoint()
        while await bury_step(lived):
            pass
    assert faults(checked[0]) == []


def spoil(registry: Registry, what: str) -> Callable[[WriteTxn], object]:
    """Return a write that makes one thing wrong."""
    meta = registry.store.meta
    small = packed(digest_of(SMALL))
    link = (1).to_bytes(8, "big") + small

    def count(txn: WriteTxn) -> None:
        row = meta.blobs.links.get(txn, link)
        assert row is not None
        meta.blobs.links.put(txn, link, msgspec.structs.replace(row, names=row.names + 1))

    def holds(txn: WriteTxn) -> None:
        row = meta.blobs.rows.get(txn, small)
        assert row is not None
        meta.blobs.rows.put(txn, small, msgspec.structs.replace(row, holds=row.holds + 1))

    def fingerprint(txn: WriteTxn) -> None:
        [(key, row)] = meta.sums.buckets.items(txn, b"\2", limit=1)
        meta.sums.buckets.put(txn, key, msgspec.structs.replace(row, count=row.count + 1))

    def unheld(txn: WriteTxn) -> None:
        meta.blobs.rows.put(txn, packed(digest_of(b"nobody")), msgspec.structs.replace(_row(txn), holds=0))

    def _row(txn: WriteTxn):  # type: ignore[no-untyped-def]  # noqa: ANN202
        return meta.blobs.rows.get(txn, small)

    def first(table: object) -> Callable[[WriteTxn], object]:
        def run(txn: WriteTxn) -> None:
            [key] = table.keys(txn, b"", limit=1)  # type: ignore[attr-defined]
            table.delete(txn, key)  # type: ignore[attr-defined]

        return run

    return {
        "names": count,
        "holds": holds,
        "fingerprint": fingerprint,
        "unheld": unheld,
        "holders": first(meta.blobs.holders),
        "due": first(meta.blobs.due),
        "parents": first(meta.images.parents),
        "referrers": first(meta.images.referrers),
        "tags-of-image": first(meta.tags.of_image),
        "records": first(meta.journal.places),
        "replication-open": first(meta.replicas.open),
        "repository-names": first(meta.repositories.numbers),
        "heads": first(meta.journal.heads.bytes),
    }[what]


@pytest.mark.parametrize(
    "what",
    [
        *("names", "holds", "fingerprint", "unheld", "holders", "due", "parents", "referrers", "tags-of-image"),
        *("records", "replication-open", "repository-names", "heads"),
    ],
)
async def test_a_fault_is_found(lived: Registry, what: str) -> None:
    await lived.store.writer.write(spoil(lived, what))
    assert faults(await check_node(lived, ALICE, deep=False)), what


async def test_a_damaged_chunk_is_found(lived: Registry) -> None:
    with lived.store.meta.read() as txn:
        row = lived.store.meta.blobs.get(txn, digest_of(LARGE))
    assert row is not None
    number = row.number
    await lived.store.chunk_writer.write(lambda txn: lived.store.chunks.put(txn, number, 1, os.urandom(CHUNK_SIZE)))
    assert faults(await check_node(lived, ALICE, deep=False)) == []
    assert faults(await check_node(lived, ALICE, deep=True)) == [("chunk", digest_of(LARGE))]


async def test_one_check_at_a_time_and_a_cancelled_one_ends(lived: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading.PacedReading, "page", 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: check_node(lived, ALICE, deep=False))
        while not done(lived):
            await trio.lowlevel.checkpoint()
        with pytest.raises(Busy):
            await check_node(lived, ALICE, deep=False)
        nursery.cancel_scope.cancel()
    assert lived.checking.progress is None
    assert not [line for line in lived.store.meta.env.readers().splitlines()[1:] if line.split()[-1] != "-"]


def done(registry: Registry) -> int:
    progress = registry.checking.progress
    return 0 if progress is None else progress.done


async def test_who_may_not_is_told_so(registry: Registry) -> None:
    with pytest.raises(Denied):
        await check_node(registry, EVE, deep=False)
