"""Blobs where they are seen: mounted, deleted, collected when due, and mended when they are damaged."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from node.registry.blobs import delete_blob, open_blob, stat_blob
from node.registry.collection import collect_step
from node.registry.deletes import delete_image
from node.registry.elsewhere import OpenBlob
from node.registry.manifests import open_manifest
from node.registry.mounts import mount_blob
from node.registry.orphans import delete_abandoned, delete_orphans
from node.registry.registry import Registry
from node.registry.serving import caller_of, open_chunks, send_map
from node.store.blobs import DUE_AFTER
from protocol.auth.names import NodeId, NodeName, Region, RegistryName
from protocol.errors import (
    BlobInUse,
    BlobUnknown,
    Damaged,
    NameUnknown,
)
from protocol.oci.digest import digest_of, packed
from protocol.oci.reference import Reference
from tests.node.registry.recount import check
from tests.node.registry.world import (
    ALICE,
    APP,
    HERE,
    OTHER,
    TAG,
    World,
    content,
    image,
    manifest_bytes,
    opened,
    push_blob,
    push_image,
    put,
)

LAYER = bytes(range(256)) * 8_192  # Three chunks.
PEER = NodeName(RegistryName(HERE.account, Region("us-east-1")), NodeId("n1"))
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


@pytest.fixture(autouse=True)
async def counts_are_right(registry: Registry) -> AsyncIterator[None]:
    """Whatever a test did, all that is derived is as the rows say."""
    yield
    with registry.store.meta.read() as txn:
        check(registry.store.meta, txn)
    assert registry.store.leases.counts == {}


async def get(registry: Registry, reference: Reference) -> bytes:
    return await manifest_bytes(registry, reference)


def chunks(registry: Registry) -> int:
    with registry.store.chunks.read() as txn:
        return registry.store.chunks.count(txn)


async def test_what_nothing_needs_is_collected_when_it_is_due_and_not_before(registry: Registry, world: World) -> None:
    digest = await push_image(registry, b"{}", LAYER, tags=("1.27",))
    unused = await push_blob(registry, LAYER[1:])
    world.now += DUE_AFTER - 60
    await stat_blob(registry, ALICE, APP, unused)  # Whoever was told of it may count on it for another day.
    world.now += 120
    while await collect_step(registry):
        pass
    assert await content(registry, APP, unused) == LAYER[1:]
    await delete_image(registry, ALICE, APP, digest)
    for _ in range(2):  # The links first, then what they held.
        world.now += DUE_AFTER + 1
        while await collect_step(registry):
            pass
    assert chunks(registry) == 0
    with registry.store.meta.read() as txn:
        assert registry.store.meta.blobs.rows.bytes.count(txn) == 0
        assert registry.store.meta.blobs.due.count(txn) == 0


async def test_a_blob_that_is_being_read_stays_until_it_was(registry: Registry, world: World) -> None:
    digest = await push_blob(registry, LAYER)
    blob = await open_blob(registry, ALICE, APP, digest)
    await delete_blob(registry, ALICE, APP, digest)
    world.now += DUE_AFTER + 1
    while await collect_step(registry):
        pass
    assert chunks(registry) == 3
    spans = [one async for one in blob.read(0, blob.size)]
    assert len(spans) == 3
    blob.release()
    await registry.transits.delete_leftovers()
    assert chunks(registry) == 0


async def test_a_bad_row_does_not_hold_up_the_collection_of_others(registry: Registry, world: World) -> None:
    bad, good = [await push_blob(registry, data) for data in (b"bad", b"good")]
    for digest in (bad, good):
        await delete_blob(registry, ALICE, APP, digest)
    blobs = registry.store.meta.blobs
    await registry.store.writer.write(lambda txn: txn.put(packed(bad), b"nonsense", db=blobs.rows.bytes.db))
    world.now += DUE_AFTER + 1
    while await collect_step(registry):
        pass
    with registry.store.meta.read() as txn:
        assert blobs.get(txn, good) is None
    await registry.store.writer.write(lambda txn: blobs.rows.delete(txn, packed(bad)))


async def test_asking_after_a_blob_that_is_collected_meanwhile_does_not_promise_it(
    registry: Registry, world: World
) -> None:
    digest = await push_blob(registry, b"abc")
    world.now += DUE_AFTER + 1
    told: list[bool] = []

    async def ask() -> None:
        try:
            await stat_blob(registry, ALICE, APP, digest)
            told.append(True)
        except (BlobUnknown, NameUnknown):
            told.append(False)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect_step, registry)
        nursery.start_soon(ask)
    with registry.store.meta.read() as txn:
        row = registry.store.meta.repositories.get(txn, APP)
        assert row is not None
        assert (registry.store.meta.blobs.visible(txn, row.number, digest) is not None) == told[0]


async def test_a_blob_that_a_manifest_names_is_not_deleted(registry: Registry) -> None:
    digest = await push_image(registry, b"{}", LAYER)
    with pytest.raises(BlobInUse):
        await delete_blob(registry, ALICE, APP, digest_of(LAYER))
    await delete_image(registry, ALICE, APP, digest)
    await delete_blob(registry, ALICE, APP, digest_of(LAYER))
    for call in (
        delete_blob(registry, ALICE, APP, digest_of(LAYER)),
        stat_blob(registry, ALICE, APP, digest_of(LAYER)),
    ):
        with pytest.raises(BlobUnknown):
            await call


async def test_a_blob_deleted_in_one_repository_stays_in_the_other(registry: Registry) -> None:
    for name in (APP, OTHER):
        await push_blob(registry, LAYER, name)
    await delete_blob(registry, ALICE, APP, digest_of(LAYER))
    assert await content(registry, OTHER, digest_of(LAYER)) == LAYER
    with pytest.raises(BlobUnknown):
        await content(registry, APP, digest_of(LAYER))


@pytest.mark.parametrize("source", [OTHER, None])
async def test_a_mount_shows_a_blob_without_its_bytes(registry: Registry, source: None) -> None:
    digest = await push_blob(registry, LAYER, OTHER)
    assert await mount_blob(registry, ALICE, APP, digest, source)
    assert await content(registry, APP, digest) == LAYER
    assert chunks(registry) == 3


async def test_a_mount_of_what_the_caller_may_not_pull_is_as_if_there_were_none(
    registry: Registry, world: World
) -> None:
    digest = await push_blob(registry, LAYER, OTHER)
    world.denied.add(("ecr:GetDownloadUrlForLayer", OTHER))
    for source in (OTHER, None):
        assert not await mount_blob(registry, ALICE, APP, digest, source)
        assert not await mount_blob(registry, ALICE, APP, digest_of(b"none"), source)
    with registry.store.meta.read() as txn:
        assert registry.store.meta.repositories.get(txn, APP) is None


async def test_damage_in_a_small_blob_is_mended_by_pushing_it_again(registry: Registry) -> None:
    digest = await push_image(registry, b"{}", tags=("1.27",))
    assert await stat_blob(registry, ALICE, APP, digest_of(b"{}")) == 2
    contents = registry.store.meta.blobs.contents
    for key in (packed(digest), packed(digest_of(b"{}"))):
        await registry.store.writer.write(lambda txn, key=key: txn.put(key, b"nonsense", db=contents.db))  # type: ignore[misc]
    with pytest.raises(Damaged):
        await get(registry, TAG)
    with pytest.raises(BlobUnknown):  # So the client pushes it.
        await stat_blob(registry, ALICE, APP, digest_of(b"{}"))
    assert await push_image(registry, b"{}") == digest
    assert await get(registry, TAG) == image(b"{}")
    assert await content(registry, APP, digest_of(b"{}")) == b"{}"


async def test_damage_in_a_large_blob_is_mended_by_pushing_it_again(registry: Registry) -> None:
    digest = await push_blob(registry, LAYER, OTHER)
    store = registry.store
    with store.chunks.read() as txn:
        [offset] = store.chunks.offsets(txn, 1, 1, 1)
    data = store.path / "chunks" / "data.mdb"
    with data.open("r+b") as file:
        file.seek(offset + 1000)
        file.write(b"damage")
    store.verified.forget(1)  # As after a start.
    with pytest.raises(Damaged):
        await content(registry, OTHER, digest)
    with pytest.raises(BlobUnknown):
        await stat_blob(registry, ALICE, OTHER, digest)
    assert not await mount_blob(registry, ALICE, APP, digest, OTHER)
    await push_blob(registry, LAYER)
    assert await content(registry, OTHER, digest) == LAYER
    assert await stat_blob(registry, ALICE, OTHER, digest) == len(LAYER)
    await delete_abandoned(registry)
    assert chunks(registry) == 3


async def test_damage_in_a_large_manifest_is_mended_by_pushing_it_again(registry: Registry) -> None:
    await push_blob(registry, b"{}")
    data = image(b"{}", annotations={"a": "x" * 100_000})
    digest = (await put(registry, data, "large")).digest
    damage_chunk(registry, 1, 0)
    for _ in range(2):
        with pytest.raises(Damaged):
            await manifest_bytes(registry, digest)
    await put(registry, data, "again")
    assert await manifest_bytes(registry, digest) == data
    await delete_abandoned(registry)
    assert chunks(registry) == 1


def damage_chunk(registry: Registry, number: int, index: int) -> None:
    """Change bytes of a chunk on the disk, as after a start: nothing is known to have been compared."""
    store = registry.store
    with store.chunks.read() as txn:
        [offset] = store.chunks.offsets(txn, number, index, 1)
    with (store.path / "chunks" / "data.mdb").open("r+b") as file:
        file.seek(offset + 1000)
        file.write(b"damage")
    store.verified.forget(number)


async def test_what_another_node_asks_for_stays_as_long_as_after_head(registry: Registry, world: World) -> None:
    digest = await push_blob(registry, LAYER)
    world.allowed.add(caller_of(PEER))
    for ask in (send_map, open_chunks):
        world.now += DUE_AFTER - 60
        asked = await ask(registry, PEER, APP, digest)
        if isinstance(asked, OpenBlob):
            asked.release()
        world.now += 120
        while await collect_step(registry):
            pass
        assert await content(registry, APP, digest) == LAYER


async def test_a_map_that_is_damaged_leaves_no_lease(registry: Registry) -> None:
    digest = await push_blob(registry, LAYER)
    maps = registry.store.meta.blobs.maps
    [key] = await registry.store.writer.write(lambda txn: maps.keys(txn, b"", limit=9))
    await registry.store.writer.write(lambda txn: txn.put(key, b"nonsense", db=maps.db))
    with pytest.raises(Damaged):
        await content(registry, APP, digest)


async def test_a_large_manifest_whose_map_is_damaged_leaves_no_lease(registry: Registry) -> None:
    await push_blob(registry, b"{}")
    digest = (await put(registry, image(b"{}", annotations={"a": "x" * 100_000}))).digest
    maps = registry.store.meta.blobs.maps
    [key] = await registry.store.writer.write(lambda txn: maps.keys(txn, b"", limit=9))
    await registry.store.writer.write(lambda txn: txn.put(key, b"nonsense", db=maps.db))
    with pytest.raises(Damaged):
        await open_manifest(registry, ALICE, APP, digest)
    assert not registry.store.leases.counts


async def test_chunks_that_someone_reads_are_no_orphans(tmp_path: Path, world: World) -> None:
    """The search for orphans is slow, and starts again where it failed: what was collected meanwhile may be read."""
    async with opened(tmp_path / "again", world) as registry:
        digest = await push_blob(registry, LAYER)
    async with opened(tmp_path / "again", world) as registry:
        blob = await open_blob(registry, ALICE, APP, digest)
        for _ in range(2):
            world.now += DUE_AFTER + 1
            while await collect_step(registry):
                pass
        await delete_orphans(registry)
        parts = [os.pread(blob.fd, one.length, one.offset) async for one in blob.read(0, blob.size)]  # type: ignore[union-attr]
        assert b"".join(parts) == LAYER
        blob.release()
        await registry.transits.delete_leftovers()
        assert chunks(registry) == 0
