"""Manifests and tags: what a push says is there at once, and a delete leaves nothing but what others need."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.registry.blobs import delete_blob, stat_blob
from node.registry.catalog import describe_image, list_repositories
from node.registry.deletes import delete_image
from node.registry.manifests import open_manifest
from node.registry.orphans import delete_abandoned
from node.registry.referrers import list_referrers
from node.registry.registry import Registry
from node.registry.tags import delete_tag, list_tags
from protocol.errors import (
    BlobInUse,
    BlobUnknown,
    DigestInvalid,
    ImageInUse,
    ManifestBlobUnknown,
    ManifestUnknown,
    NameUnknown,
)
from protocol.oci.digest import Digest, digest_of
from protocol.oci.mediatype import OCI_IMAGE
from protocol.oci.names import TagName
from protocol.oci.reference import Reference
from tests.node.registry.recount import check
from tests.node.registry.world import (
    ALICE,
    APP,
    OTHER,
    TAG,
    World,
    content,
    descriptor,
    image,
    index,
    manifest_bytes,
    opened,
    push_blob,
    push_image,
    put,
)

LAYER = bytes(range(256)) * 8_192  # Three chunks.
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


async def is_there(registry: Registry, reference: Reference) -> bool:
    try:
        await open_manifest(registry, ALICE, APP, reference)
    except (ManifestUnknown, NameUnknown):
        return False
    return True


def chunks(registry: Registry) -> int:
    with registry.store.chunks.read() as txn:
        return registry.store.chunks.count(txn)


async def test_a_manifest_is_found_by_its_digest_and_its_tags(registry: Registry) -> None:
    digest = await push_image(registry, b"{}", LAYER, tags=("1.27", "latest"))
    for reference in (digest, TAG, TagName("latest")):
        stored = await open_manifest(registry, ALICE, APP, reference)
        assert (stored.digest, stored.media_type) == (digest, OCI_IMAGE)
        assert await get(registry, reference) == image(b"{}", LAYER)
    assert not await is_there(registry, TagName("other"))
    assert not await is_there(registry, digest_of(b"other"))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "blake3"])
@pytest.mark.parametrize("padding", [0, 20_000, 2_000_000])
async def test_a_manifest_of_any_size_and_algorithm_comes_back_byte_for_byte(
    registry: Registry, algorithm: str, padding: int
) -> None:
    await push_blob(registry, b"{}")
    manifest = image(b"{}", annotations={"a": "x" * padding})
    digest = digest_of(manifest, algorithm)
    assert (await put(registry, manifest, "1.27", digest=digest)).digest == digest
    assert await get(registry, TAG) == await get(registry, digest) == manifest
    with pytest.raises(DigestInvalid):
        await put(registry, manifest, digest=digest_of(b"other", algorithm))


async def test_a_large_manifest_that_is_pushed_again_or_refused_leaves_no_chunks(registry: Registry) -> None:
    await push_blob(registry, b"{}")
    manifest = image(b"{}", annotations={"a": "x" * 20_000})
    for _ in range(3):
        await put(registry, manifest, "1.27")
    with pytest.raises(ManifestBlobUnknown):
        await put(registry, image(b"none", annotations={"a": "x" * 20_000}))
    await delete_abandoned(registry)
    assert chunks(registry) == 1
    assert await get(registry, TAG) == manifest


@pytest.mark.parametrize(
    ("setting", "blob_is_needed", "child_is_needed"),
    [("refuse", True, True), ("sparse-index", True, False), ("allow", False, False)],
)
async def test_what_a_manifest_names_has_to_be_there_by_the_setting(
    tmp_path: Path, world: World, setting: str, blob_is_needed: bool, child_is_needed: bool
) -> None:
    async with opened(tmp_path / "other", world, missing_content=setting) as registry:
        await push_blob(registry, b"{}")
        for manifest, is_needed in ((image(b"{}", b"none"), blob_is_needed), (index(b"none"), child_is_needed)):
            if is_needed:
                with pytest.raises(ManifestBlobUnknown):
                    await put(registry, manifest, "1.27")
            else:
                await put(registry, manifest, "1.27")
            assert await is_there(registry, digest_of(manifest)) != is_needed


async def test_a_blob_that_was_only_named_opens_nothing(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path / "other", world, missing_content="allow") as registry:
        secret = await push_blob(registry, LAYER, OTHER)
        await put(registry, image(b"{}", LAYER), "1.27")
        for name in (APP,):
            with pytest.raises(BlobUnknown):
                await stat_blob(registry, ALICE, name, secret)
            with pytest.raises(BlobUnknown):
                await content(registry, name, secret)
        await push_blob(registry, LAYER)
        assert await content(registry, APP, secret) == LAYER


async def test_a_foreign_layer_need_not_be_there_and_counts_from_when_it_is(registry: Registry) -> None:
    foreign = {**descriptor(digest_of(LAYER), len(LAYER), FOREIGN), "urls": ["https://example.com/layer"]}
    manifest = image(b"{}", layers=[foreign])
    await push_blob(registry, b"{}")
    digest = (await put(registry, manifest)).digest
    await push_blob(registry, LAYER)
    await put(registry, manifest)
    with pytest.raises(BlobInUse):
        await delete_blob(registry, ALICE, APP, digest_of(LAYER))
    await delete_image(registry, ALICE, APP, digest)
    await delete_blob(registry, ALICE, APP, digest_of(LAYER))


async def test_a_deleted_tag_leaves_the_image_and_its_other_tags(registry: Registry) -> None:
    digest = await push_image(registry, b"{}", tags=("1.27", "latest"))
    await delete_tag(registry, ALICE, APP, TAG)
    assert list_tags(registry, ALICE, APP, after="", limit=9) == ["latest"]
    assert await is_there(registry, digest)
    with pytest.raises(ManifestUnknown):
        await delete_tag(registry, ALICE, APP, TAG)


async def test_a_deleted_image_takes_its_tags_with_it_and_comes_back_when_pushed_again(registry: Registry) -> None:
    other = await push_image(registry, b"other", tags=("other",))
    for _ in range(3):
        digest = await push_image(registry, b"{}", LAYER, tags=("1.27", "latest"))
        assert await get(registry, TAG) == image(b"{}", LAYER)
        await delete_image(registry, ALICE, APP, digest)
        assert list_tags(registry, ALICE, APP, after="", limit=9) == ["other"]
        assert not await is_there(registry, digest)
        with pytest.raises(ManifestUnknown):
            await delete_image(registry, ALICE, APP, digest)
    assert await is_there(registry, other)
    assert await content(registry, APP, digest_of(LAYER)) == LAYER  # For a day.


@pytest.mark.parametrize("setting", ["refuse", "sparse-index"])
async def test_a_child_of_an_index_is_kept_where_indexes_have_to_be_whole(
    tmp_path: Path, world: World, setting: str
) -> None:
    async with opened(tmp_path / "other", world, missing_content=setting) as registry:
        child = await push_image(registry, b"{}")
        parent = (await put(registry, index(image(b"{}")), "1.27")).digest
        if setting == "refuse":
            with pytest.raises(ImageInUse):
                await delete_image(registry, ALICE, APP, child)
            await delete_image(registry, ALICE, APP, parent)
        await delete_image(registry, ALICE, APP, child)
        assert not await is_there(registry, child)


async def test_pushing_an_index_puts_all_below_it_anew(registry: Registry) -> None:
    """So that a delete elsewhere that had not seen this push does not take a child away."""
    await push_image(registry, b"{}")
    inner = index(image(b"{}"))
    await put(registry, inner)

    def dots() -> set[int]:
        with registry.store.meta.read() as txn:
            states = [registry.store.meta.images.get(txn, 1, digest_of(one)) for one in (image(b"{}"), inner, outer)]
        return {dot.dot.seq for state in states if state is not None for dot in state.dots}

    outer = index(inner)
    await put(registry, outer, "1.27")
    assert len(dots()) == 1


@pytest.mark.parametrize("padding", [0, 20_000])
async def test_referrers_come_page_by_page_and_by_type(registry: Registry, padding: int) -> None:
    subject = descriptor(digest_of(b"subject"), 7, OCI_IMAGE)  # It need not be there.
    await push_blob(registry, b"{}")
    digests = []
    for n in range(5):
        more = {
            "subject": subject,
            "artifactType": f"application/t{n % 2}",
            "annotations": {"n": str(n), "p": "x" * padding},
        }
        pushed = await put(registry, image(b"{}", **more))
        assert pushed.subject == digest_of(b"subject")
        digests.append(pushed.digest)

    async def page(after: str, limit: int, *artifact_types: str) -> tuple[list[Digest], Digest | None]:
        found, last = await list_referrers(
            registry, ALICE, APP, digest_of(b"subject"), artifact_types=set(artifact_types), after=after, limit=limit
        )
        assert all(one.annotations is not None and one.media_type == OCI_IMAGE for one in found)
        return [one.digest for one in found], last

    seen: list[Digest] = []
    after: Digest | None = Digest("")
    while after is not None:
        found, after = await page(after, 2)
        seen += found
    assert seen == sorted(digests)
    assert (await page("", 9, "application/t1"))[0] == sorted([digests[1], digests[3]])
    assert await page("", 9, "application/none") == ([], None)
    assert await page("", 0) == ([], None)
    await delete_image(registry, ALICE, APP, digests[0])
    assert digests[0] not in (await page("", 9))[0]
    with pytest.raises(DigestInvalid):
        await page("no digest", 9)


async def test_an_image_is_described(registry: Registry, world: World) -> None:
    digest = await push_image(registry, b"{}", b"layer", tags=("1.27",))
    parent = (await put(registry, index(image(b"{}", b"layer")))).digest
    detail = describe_image(registry, ALICE, APP, TAG)
    assert detail == describe_image(registry, ALICE, APP, digest)
    assert (detail.digest, detail.tags, detail.image_size, detail.pushed_at) == (digest, ["1.27"], 7, world.now)
    assert [(one.digest, one.size) for one in detail.blobs] == [(digest_of(b"{}"), 2), (digest_of(b"layer"), 5)]
    assert describe_image(registry, ALICE, APP, parent).children == [digest]
    with pytest.raises(ManifestUnknown):
        describe_image(registry, ALICE, APP, TagName("none"))
    with pytest.raises(NameUnknown):
        describe_image(registry, ALICE, OTHER, TAG)


async def test_a_listing_has_all_names_once_in_order(registry: Registry) -> None:
    names = [f"{n}" for n in range(25)]
    await push_image(registry, b"{}", tags=tuple(names))
    found: list[str] = []
    while page := list_tags(registry, ALICE, APP, after=found[-1] if found else "", limit=10):
        found += page
    assert found == sorted(names)
    await push_blob(registry, b"{}", OTHER)
    assert await list_repositories(registry, ALICE, after=None, limit=9) == [OTHER, APP]
    assert await list_repositories(registry, ALICE, after=OTHER, limit=9) == [APP]
    assert await list_repositories(registry, ALICE, after=None, limit=1) == [OTHER]
