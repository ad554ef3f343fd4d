"""Collection goes on past what is damaged, and says so; what is mended since is collected a day later."""

import msgspec
import pytest

from node.registry import replication
from node.registry.collection import collect_now, collect_step
from node.registry.registry import Registry
from node.registry.replication import put_replication, replication_status
from node.store.blobs import DUE_AFTER
from protocol.oci.digest import packed
from tests.node.registry.recount import check
from tests.node.registry.world import ALICE, World, push_blob, push_image

LARGE = bytes(range(256)) * 100


async def collect(registry: Registry, world: World) -> None:
    world.now += DUE_AFTER + 1
    while await collect_step(registry):
        pass


async def test_a_damaged_row_is_set_aside_and_its_part_undone(registry: Registry, world: World) -> None:
    bad, good = await push_blob(registry, LARGE), await push_blob(registry, LARGE + b"good")
    meta = registry.store.meta
    rows = meta.blobs.rows.bytes
    with meta.read() as txn:
        sound = txn.get(packed(bad), db=rows.db)
        before = meta.blobs.link(txn, 1, bad)
    assert sound is not None
    assert before is not None
    await registry.store.writer.write(lambda txn: txn.put(packed(bad), b"damaged", db=rows.db))
    await collect(registry, world)
    await collect(registry, world)
    assert registry.counts.set_aside >= 1
    with meta.read() as txn:
        link = meta.blobs.link(txn, 1, bad)
        assert link is not None
        assert link.due > world.now
        assert meta.blobs.get(txn, good) is None
        assert [digest for _, _, digest in meta.blobs.due_before(txn, world.now + 2 * DUE_AFTER, limit=9)] == [bad]
    await registry.store.writer.write(lambda txn: txn.put(packed(bad), sound, db=rows.db))
    with meta.read() as txn:
        check(meta, txn)
    for _ in range(3):
        await collect(registry, world)
    with meta.read() as txn:
        assert rows.count(txn) == meta.blobs.due.count(txn) == 0


async def test_a_command_that_collects_does_not_go_round_what_is_damaged(registry: Registry) -> None:
    bad = await push_blob(registry, LARGE)
    rows = registry.store.meta.blobs.rows.bytes
    await registry.store.writer.write(lambda txn: txn.put(packed(bad), b"damaged", db=rows.db))
    done = await collect_now(registry, ALICE, grace=0)
    assert (done.links, done.more) == (0, False)


async def test_a_new_configuration_passes_a_backlog_in_steps(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "_BATCH", 3)
    rules = {"rules": [{"destinations": [{"region": "us-east-1", "registryId": "111111111111"}]}]}
    await put_replication(registry, ALICE, msgspec.json.encode(rules))
    for number in range(25):
        await push_image(registry, b"%d" % number)
    before = registry.store.writer.commits
    await put_replication(registry, ALICE, msgspec.json.encode({"rules": []}))
    assert registry.store.writer.commits - before >= 2
    assert len(replication_status(registry, ALICE, None, after=None, limit=99).images) == 25
    await push_image(registry, b"after")
    await put_replication(registry, ALICE, msgspec.json.encode(rules))
    assert len(replication_status(registry, ALICE, None, after=None, limit=99).images) == 25
