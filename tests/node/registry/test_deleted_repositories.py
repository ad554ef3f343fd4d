"""A repository is gone when its delete is answered, whatever lay in it; its rows go after that, a few at a time."""

from pathlib import Path
from unittest.mock import ANY

import msgspec
import pytest

from node.registry import burial
from node.registry.blobs import stat_blob
from node.registry.burial import bury_step
from node.registry.catalog import list_repositories, usage
from node.registry.collection import collect_now, collect_step
from node.registry.deletes import delete_image
from node.registry.manifests import open_manifest
from node.registry.mounts import mount_blob
from node.registry.registry import Registry
from node.registry.replication import put_replication, replication_status
from node.registry.repositories import delete_repository
from node.registry.tags import delete_tag, list_tags
from node.store.blobs import DUE_AFTER
from protocol.errors import BlobUnknown, Denied, NameUnknown, RepositoryNotEmpty
from protocol.oci.digest import digest_of
from protocol.oci.names import RepositoryName, TagName
from tests.node.registry.recount import check
from tests.node.registry.world import (
    ALICE,
    APP,
    EVE,
    OTHER,
    World,
    content,
    image,
    manifest_bytes,
    opened,
    push_blob,
    push_image,
)

LARGE = bytes(range(256)) * 100
SMALL = b"{}"


async def fill(registry: Registry, images: int = 5) -> None:
    for number in range(images):
        await push_image(registry, SMALL, LARGE, b"%d" % number, tags=(f"v{number}", "latest"))
    await delete_tag(registry, ALICE, APP, TagName("v0"))
    await delete_image(registry, ALICE, APP, digest_of(image(SMALL, LARGE, b"1")))


async def bury(registry: Registry) -> int:
    steps = 0
    while await bury_step(registry):
        steps += 1
    return steps


async def test_it_is_gone_at_once_and_its_rows_in_small_steps(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(burial, "STEP", 4)
    await fill(registry)
    await push_image(registry, SMALL, LARGE, name=OTHER)
    await delete_repository(registry, ALICE, APP, force=True)
    assert await list_repositories(registry, ALICE, after=None, limit=9) == [OTHER]
    for buried in (False, True):
        with pytest.raises(NameUnknown):
            list_tags(registry, ALICE, APP, after="", limit=9)
        with pytest.raises(NameUnknown):
            await open_manifest(registry, ALICE, APP, TagName("latest"))
        with pytest.raises(NameUnknown):
            await stat_blob(registry, ALICE, APP, digest_of(LARGE))
        with registry.store.meta.read() as txn:
            check(registry.store.meta, txn)
        if not buried:
            assert await bury(registry) > 5
    assert usage(registry, ALICE).repositories == 1
    with registry.store.meta.read() as txn:
        tables = {table.name: table for table in registry.store.meta.tables()}
        for name in ("tags", "tags-deleted", "tag-history", "tags-of-image", "images-deleted", "repository-burials"):
            assert tables[name].count(txn) == 0, name
        assert registry.store.meta.images.alive.bytes.count(txn) == 1
        assert registry.store.meta.blobs.links.bytes.count(txn) == 2
    assert await content(registry, OTHER, digest_of(LARGE)) == LARGE


async def test_what_is_pushed_again_before_the_burial_stays(registry: Registry) -> None:
    for _ in range(3):
        await fill(registry, 2)
        await delete_repository(registry, ALICE, APP, force=True)
        await push_image(registry, SMALL, b"new", tags=("v0", "new"))
        assert await bury(registry)
        assert list_tags(registry, ALICE, APP, after="", limit=9) == ["new", "v0"]
        assert await manifest_bytes(registry, TagName("v0")) == image(SMALL, b"new")
        with pytest.raises(BlobUnknown):
            await stat_blob(registry, ALICE, APP, digest_of(LARGE))
        with registry.store.meta.read() as txn:
            check(registry.store.meta, txn)
        await delete_repository(registry, ALICE, APP, force=True)


async def test_nothing_of_it_is_mounted_or_seen_by_who_has_the_name_next(registry: Registry) -> None:
    await fill(registry, 2)
    await delete_repository(registry, ALICE, APP, force=True)
    assert not await mount_blob(registry, ALICE, OTHER, digest_of(LARGE), APP)
    assert not await mount_blob(registry, ALICE, OTHER, digest_of(LARGE), None)
    await push_blob(registry, SMALL)
    with pytest.raises(BlobUnknown):
        await stat_blob(registry, ALICE, APP, digest_of(LARGE))


async def test_with_images_it_takes_force_and_nobody_else_is_told(registry: Registry) -> None:
    with pytest.raises(NameUnknown):
        await delete_repository(registry, ALICE, APP, force=True)
    await push_blob(registry, SMALL)
    await delete_repository(registry, ALICE, APP, force=False)
    await push_image(registry, SMALL)
    with pytest.raises(RepositoryNotEmpty):
        await delete_repository(registry, ALICE, APP, force=False)
    with pytest.raises(Denied):
        await delete_repository(registry, EVE, APP, force=True)
    await delete_repository(registry, ALICE, APP, force=True)


async def test_it_comes_to_its_end_after_a_restart(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path / "other", world) as registry:
        await fill(registry)
        await delete_repository(registry, ALICE, APP, force=True)
    async with opened(tmp_path / "other", world) as registry:
        assert await bury(registry)
        for _ in range(3):
            world.now += DUE_AFTER + 1
            while await collect_step(registry):
                pass
        with registry.store.meta.read() as txn:
            assert registry.store.meta.blobs.rows.bytes.count(txn) == 0
        with registry.store.chunks.read() as chunks:
            assert registry.store.chunks.count(chunks) == 0


async def test_a_damaged_row_does_not_hold_up_the_burial(registry: Registry) -> None:
    await fill(registry)
    meta = registry.store.meta
    key = (1).to_bytes(8, "big")
    with meta.read() as txn:
        image_key = meta.images.alive.bytes.keys(txn, key, limit=1)[0]
    await registry.store.writer.write(lambda txn: txn.put(image_key, b"damaged", db=meta.images.alive.bytes.db))
    await delete_repository(registry, ALICE, APP, force=True)
    await bury(registry)
    with meta.read() as txn:
        assert meta.images.alive.bytes.count(txn) == meta.blobs.links.bytes.count(txn) == 0
        assert meta.images.parents.count(txn) == meta.blobs.holders.count(txn) == 0


async def test_nothing_is_wanted_of_it_any_more_at_destinations(registry: Registry) -> None:
    rules = {"rules": [{"destinations": [{"region": "us-east-1", "registryId": "111111111111"}]}]}
    await put_replication(registry, ALICE, msgspec.json.encode(rules))
    await fill(registry, 2)
    await put_replication(registry, ALICE, msgspec.json.encode(rules))  # The follower passes all before.
    assert replication_status(registry, ALICE, None, after=None, limit=9).images
    await delete_repository(registry, ALICE, APP, force=True)
    await bury(registry)
    assert not replication_status(registry, ALICE, None, after=None, limit=9).images


async def test_a_listing_does_not_walk_over_deleted_names(registry: Registry) -> None:
    for number in range(30):
        name = RepositoryName(f"r{number}")
        await push_blob(registry, SMALL, name)
        if number % 3:
            await delete_repository(registry, ALICE, name, force=False)
    with registry.store.meta.read() as txn:
        assert len(registry.store.meta.repositories.page(txn, after="", limit=99)) == 10
    await push_blob(registry, SMALL, RepositoryName("r1"))
    assert "r1" in await list_repositories(registry, ALICE, after=None, limit=99)


async def test_an_image_with_many_tags_is_deleted_in_small_transactions(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.registry.deletes._TAGS", 7)
    digest = await push_image(registry, SMALL, tags=tuple(f"t{number}" for number in range(30)))
    before = registry.store.writer.commits
    await delete_image(registry, ALICE, APP, digest)
    assert registry.store.writer.commits - before == 5
    assert list_tags(registry, ALICE, APP, after="", limit=9) == []
    with pytest.raises(NameUnknown):
        await delete_image(registry, ALICE, OTHER, digest)


async def test_collecting_now_frees_what_nobody_was_told_of_in_the_last_hours(registry: Registry, world: World) -> None:
    await fill(registry)
    await delete_repository(registry, ALICE, APP, force=True)
    kept = await collect_now(registry, ALICE, grace=86_400)
    assert (kept.blobs, kept.more) == (0, False)
    done = await collect_now(registry, ALICE, grace=0)
    assert (done.blobs, done.bytes, done.more) == (2 + 5 + 5, ANY, False)
    with registry.store.chunks.read() as txn:
        assert registry.store.chunks.count(txn) == 0
    assert registry.counts.blobs == 12
    with pytest.raises(Denied):
        await collect_now(registry, EVE, grace=0)
