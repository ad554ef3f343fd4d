"""What is archived is there and given to nobody; what is asked for, or pushed again, comes back."""

import pytest

from node.registry.blobs import open_blob, stat_blob
from node.registry.deletes import delete_image
from node.registry.imageids import image_id
from node.registry.images import prepare_manifest, put_image
from node.registry.manifests import open_manifest
from node.registry.receiving import take_image
from node.registry.referrers import list_referrers
from node.registry.registry import Registry
from node.registry.replication import put_replication
from node.registry.repositories import delete_repository
from node.registry.scans import start_scan
from node.registry.storage import Status, Storage, storage_of, update_storage_class
from node.registry.tags import list_tags
from protocol.errors import (
    Denied,
    ImageArchived,
    ImageInaccessible,
    LayerInaccessible,
    ManifestUnknown,
    StorageClassUnsupported,
)
from protocol.oci.digest import Digest, digest_of
from protocol.oci.names import TagName
from tests.node.registry.test_replication import announced, due, rules
from tests.node.registry.world import ALICE, APP, EVE, World, descriptor, image, index, push_blob, push_image, put


async def archive(registry: Registry, digest: Digest) -> Status:
    return (await update_storage_class(registry, ALICE, APP, image_id(digest, None), "ARCHIVE"))[1]


async def restore(registry: Registry, digest: Digest) -> Status:
    return (await update_storage_class(registry, ALICE, APP, image_id(digest, None), "STANDARD"))[1]


def status(registry: Registry, digest: Digest) -> Status:
    return storage(registry, digest).status


def storage(registry: Registry, digest: Digest) -> Storage:
    with registry.store.meta.read() as txn:
        return storage_of(registry, txn, APP, digest)


async def is_served(registry: Registry, reference: Digest | TagName) -> bool:
    try:
        await open_manifest(registry, ALICE, APP, reference)
    except ImageInaccessible:
        return False
    return True


async def test_an_archived_image_is_given_to_nobody_until_it_is_restored(registry: Registry, world: World) -> None:
    digest = await push_image(registry, b"{}", b"layer", tags=("1.0",))
    assert storage(registry, digest) == Storage("ACTIVE")
    assert await archive(registry, digest) == "ARCHIVED"
    archived = world.now
    for reference in (digest, TagName("1.0")):
        assert not await is_served(registry, reference)
    with pytest.raises(ManifestUnknown, match=r"Requested image not found: .* is archived"):
        await open_manifest(registry, ALICE, APP, digest)
    world.now += 60
    assert await restore(registry, digest) == "ACTIVATING"
    assert storage(registry, digest) == Storage("ACTIVE", archived, world.now)
    for reference in (digest, TagName("1.0")):
        assert await is_served(registry, reference)


async def test_it_is_in_no_list_of_what_can_be_pulled(registry: Registry) -> None:
    digests = [await push_image(registry, b"%d" % n, tags=(f"{n}",)) for n in range(5)]
    subject = digests[0]
    refers = {"subject": {"mediaType": "a/b", "digest": subject, "size": 1}}
    [first, second] = [(await put(registry, image(b"%d" % n, **refers))).digest for n in range(2)]
    for one in (digests[1], digests[3], first):
        await archive(registry, one)
    assert list_tags(registry, ALICE, APP, after="", limit=2) == ["0", "2"]
    assert list_tags(registry, ALICE, APP, after="2", limit=9) == ["4"]
    found, after = await list_referrers(registry, ALICE, APP, subject, artifact_types=frozenset(), after="", limit=1)
    assert ([one.digest for one in found], after) == ([second], None)


async def test_a_layer_is_given_as_long_as_one_image_that_is_not_archived_names_it(registry: Registry) -> None:
    first = await push_image(registry, b"{}", b"shared", b"own")
    second = await push_image(registry, b"{}", b"shared")
    await archive(registry, first)
    (await open_blob(registry, ALICE, APP, digest_of(b"shared"))).release()
    with pytest.raises(LayerInaccessible):
        await open_blob(registry, ALICE, APP, digest_of(b"own"))
    assert await stat_blob(registry, ALICE, APP, digest_of(b"own")) == 3  # Who pushes it again need not send it.
    await archive(registry, second)
    with pytest.raises(LayerInaccessible):
        await open_blob(registry, ALICE, APP, digest_of(b"shared"))
    await restore(registry, second)
    (await open_blob(registry, ALICE, APP, digest_of(b"shared"))).release()


async def test_who_pushes_it_again_has_it_back(registry: Registry) -> None:
    digest = await push_image(registry, b"{}", tags=("1.0",))
    await archive(registry, digest)
    await put(registry, image(b"{}"), "1.0")
    assert status(registry, digest) == "ACTIVE"
    await archive(registry, digest)
    await put_image(registry, ALICE, APP, image(b"{}"), None, digest=None, tag=TagName("1.0"))
    assert status(registry, digest) == "ACTIVE"


async def test_what_was_deleted_and_comes_again_was_never_archived(registry: Registry) -> None:
    digest = await push_image(registry, b"{}")
    for force in (False, True):
        await archive(registry, digest)
        if force:
            await delete_repository(registry, ALICE, APP, force=True)
        else:
            await delete_image(registry, ALICE, APP, digest)
        await push_image(registry, b"{}")
        assert storage(registry, digest) == Storage("ACTIVE")


async def test_an_index_takes_its_images_along_but_not_those_that_another_one_keeps(registry: Registry) -> None:
    one, shared = [await push_image(registry, b"%d" % n) for n in range(2)]
    await push_blob(registry, b"sbom")
    first = (await put(registry, index(image(b"0"), image(b"1")), "first")).digest
    second = (await put(registry, index(image(b"1")), "second")).digest
    subject = {"subject": descriptor(first, len(index(image(b"0"), image(b"1"))))}
    sbom = (await put(registry, image(b"sbom", **subject))).digest
    for child in (one, shared):
        with pytest.raises(StorageClassUnsupported, match="An index of the repository"):
            await archive(registry, child)
    await archive(registry, first)
    states = [status(registry, digest) for digest in (first, one, sbom, shared, second)]
    assert states == ["ARCHIVED", "ARCHIVED", "ARCHIVED", "ACTIVE", "ACTIVE"]
    await archive(registry, second)
    assert status(registry, shared) == "ARCHIVED"
    await restore(registry, first)
    states = [status(registry, digest) for digest in (first, one, sbom, shared, second)]
    assert states == ["ACTIVE", "ACTIVE", "ACTIVE", "ACTIVE", "ARCHIVED"]


async def test_a_restored_image_is_replicated_like_a_pushed_one_and_an_archived_one_is_not(registry: Registry) -> None:
    digest = await push_image(registry, b"{}")
    await put_replication(registry, ALICE, rules())
    await archive(registry, digest)
    assert await due(registry) == []
    await restore(registry, digest)
    assert await due(registry) == [digest]


async def test_what_is_replicated_here_comes_back(registry: Registry) -> None:
    digest = await push_image(registry, b"1")
    await archive(registry, digest)
    said = announced(image(b"1"), 2**62, latest=1000)
    prepared = await prepare_manifest(said.manifest, None, None, reading=registry.incoming.reading)
    await take_image(registry, ALICE, said, [prepared])
    assert status(registry, digest) == "ACTIVE"


async def test_what_makes_no_sense_is_refused(registry: Registry) -> None:
    digest = await push_image(registry, b"{}")
    with pytest.raises(StorageClassUnsupported, match="already"):
        await restore(registry, digest)
    await archive(registry, digest)
    with pytest.raises(StorageClassUnsupported, match="already"):
        await archive(registry, digest)
    with pytest.raises(ImageArchived):
        await start_scan(registry, ALICE, APP, image_id(digest, None))
    with pytest.raises(ManifestUnknown):
        await archive(registry, digest_of(b"other"))
    with pytest.raises(Denied):
        await update_storage_class(registry, EVE, APP, image_id(digest, None), "STANDARD")
