"""A tag that a repository holds where it is stays there, whoever puts it, by whichever way."""

import msgspec
import pytest

from node.registry.deletes import delete_tag_of_image
from node.registry.freshness import is_stale
from node.registry.images import prepare_manifest, put_image
from node.registry.manifests import open_manifest
from node.registry.receiving import keep_manifest, take_image
from node.registry.registry import Quotas, Registry
from node.registry.repositories import delete_repository
from node.registry.settings import create_repository, mutability_fields, mutability_of, put_mutability
from node.registry.tags import delete_tag, list_tags
from node.store.rows import RepositoryRow
from protocol.errors import (
    ImageExists,
    LimitExceeded,
    ManifestChildUnknown,
    ManifestDigestInvalid,
    ManifestUnknown,
    NameUnknown,
    TagElsewhere,
    TagImmutable,
)
from protocol.events.event import Arrival
from protocol.oci.digest import Digest, digest_of
from protocol.oci.names import TagName
from protocol.rules.mutability import Exclusion, Mode, Mutability, stored_mutability
from protocol.wire.transfer import Announcement, TagSent
from tests.node.registry.world import ALICE, APP, OTHER, TAG, World, image, index, push_blob, push_image, put

ONE, TWO = image(b"{}"), image(b"{}", b"2")
DEV, V1 = TagName("dev-1"), TagName("v1")


async def with_mode(registry: Registry, mode: Mode, *patterns: str) -> RepositoryRow:
    setting = Mutability(mode, tuple(Exclusion(one, "WILDCARD") for one in patterns))
    row = await create_repository(registry, ALICE, APP, mutability_fields(setting))
    for blob in (b"{}", b"2"):
        await push_blob(registry, blob)
    return row


async def at(registry: Registry, tag: TagName) -> Digest:
    return (await open_manifest(registry, ALICE, APP, tag)).digest


@pytest.mark.parametrize(
    ("mode", "patterns", "frozen", "free"),
    [
        ("IMMUTABLE", (), (DEV, V1), ()),
        ("IMMUTABLE_WITH_EXCLUSION", ("dev-*",), (V1,), (DEV,)),
        ("MUTABLE_WITH_EXCLUSION", ("dev-*", "x"), (DEV,), (V1,)),
        ("MUTABLE", (), (), (DEV, V1)),
    ],
)
async def test_a_mode_and_its_exclusions_hold_tags_or_let_them_go(
    registry: Registry, mode: Mode, patterns: tuple[str, ...], frozen: tuple[TagName, ...], free: tuple[TagName, ...]
) -> None:
    await with_mode(registry, mode, *patterns)
    await put(registry, ONE, DEV, V1)
    await put(registry, ONE, DEV, V1)  # The same again is no move.
    for tag in frozen:
        with pytest.raises(TagImmutable, match=f"^The image tag '{tag}' already exists in the '{APP}' repository and "):
            await put(registry, TWO, tag)
        assert await at(registry, tag) == digest_of(ONE)
    for tag in free:
        await put(registry, TWO, tag)
        assert await at(registry, tag) == digest_of(TWO)


async def test_of_several_tags_all_may_move_or_none_does(registry: Registry) -> None:
    await with_mode(registry, "IMMUTABLE")
    await put(registry, ONE, "v1")
    with pytest.raises(TagImmutable):
        await put(registry, TWO, "new", "v1")
    assert list_tags(registry, ALICE, APP, after="", limit=9) == ["v1"]
    with pytest.raises(ManifestUnknown):
        await open_manifest(registry, ALICE, APP, digest_of(TWO))


async def test_a_tag_that_was_deleted_may_be_put_anew(registry: Registry) -> None:
    await with_mode(registry, "IMMUTABLE")
    await put(registry, ONE, V1)
    await delete_tag(registry, ALICE, APP, V1)
    await put(registry, TWO, V1)
    assert await at(registry, V1) == digest_of(TWO)


async def test_the_mode_of_now_counts_for_tags_of_before(registry: Registry) -> None:
    await with_mode(registry, "MUTABLE")
    await put(registry, ONE, V1)
    await put_mutability(registry, ALICE, APP, Mutability("IMMUTABLE"))
    with pytest.raises(TagImmutable):
        await put(registry, TWO, V1)
    await put(registry, ONE, "other")
    await put_mutability(registry, ALICE, APP, Mutability("MUTABLE"))
    for tag in (V1, TagName("other")):
        await put(registry, TWO, tag)
        assert await at(registry, tag) == digest_of(TWO)


async def test_a_tag_put_again_where_it_has_to_stay_keeps_its_first_value(registry: Registry, world: World) -> None:
    """A later value of the same would outrank the first of another registry, and the first has to win."""
    await with_mode(registry, "IMMUTABLE")
    await put(registry, ONE, V1)
    with registry.store.meta.read() as txn:
        first = registry.store.meta.tags.get(txn, 1, V1)
    world.now += 5
    await put(registry, ONE, V1)
    with registry.store.meta.read() as txn:
        assert registry.store.meta.tags.get(txn, 1, V1) == first
    assert first is not None
    assert first.current is not None
    assert first.current.value.frozen


async def test_what_is_replicated_comes_without_a_tag_that_has_to_stay(registry: Registry) -> None:
    await with_mode(registry, "IMMUTABLE")
    await put(registry, ONE, V1)
    far = 2**60  # Later than whatever was written here.
    sent = tuple(TagSent(TagName(one), far, "source", 0, frozen=False, by="them") for one in ("v1", "new"))
    there = "111111111111/us-east-1"
    said = Announcement(there, APP, digest_of(TWO), far, "", sent, (there,), TWO)
    await take_image(
        registry, ALICE, said, [await prepare_manifest(TWO, None, None, reading=registry.incoming.reading)]
    )
    assert await at(registry, V1) == digest_of(ONE)
    assert await at(registry, TagName("new")) == digest_of(TWO)
    assert (await open_manifest(registry, ALICE, APP, digest_of(TWO))).digest == digest_of(TWO)


async def test_what_is_pulled_through_moves_no_tag_that_has_to_stay(registry: Registry, world: World) -> None:
    await with_mode(registry, "IMMUTABLE")

    async def pulled(manifest: bytes) -> None:
        prepared = await prepare_manifest(manifest, None, None, reading=registry.incoming.reading)
        await keep_manifest(registry, ALICE, APP, prepared, blobs=(), tag=V1, arrival=Arrival("pull-through"))

    await pulled(ONE)
    world.now += 1000
    assert not is_stale(registry, APP, V1, window=60)  # Nobody asks whether it has moved.
    await pulled(TWO)
    assert await at(registry, V1) == digest_of(ONE)


async def test_the_api_takes_what_is_new_and_refuses_what_is_there(registry: Registry) -> None:
    with pytest.raises(NameUnknown):
        await put_image(registry, ALICE, APP, ONE, None, digest=None, tag=V1)
    await with_mode(registry, "MUTABLE")
    await put_image(registry, ALICE, APP, ONE, None, digest=digest_of(ONE), tag=V1)
    for tag in (V1, None):
        told = f"Image with digest '{digest_of(ONE)}' and tag '{tag or 'null'}' already exists in the repository"
        with pytest.raises(ImageExists, match=told):
            await put_image(registry, ALICE, APP, ONE, None, digest=None, tag=tag)
    await put_image(registry, ALICE, APP, ONE, None, digest=None, tag=DEV)
    with pytest.raises(ManifestDigestInvalid):
        await put_image(registry, ALICE, APP, TWO, None, digest=digest_of(ONE), tag=V1)
    with pytest.raises(ManifestChildUnknown, match=digest_of(TWO)):
        await put_image(registry, ALICE, APP, index(ONE, TWO), None, digest=None, tag=V1)


async def test_there_are_as_many_images_and_tags_as_there_may_be(registry: Registry) -> None:
    registry.settings = msgspec.structs.replace(registry.settings, quotas=Quotas(images=2, tags_per_image=3))
    await with_mode(registry, "MUTABLE")
    await put(registry, ONE, "a", "b")
    await put(registry, ONE, "b", "c")
    with pytest.raises(LimitExceeded):
        await put(registry, ONE, "d")
    await put(registry, TWO, "d")
    with pytest.raises(LimitExceeded):
        await put(registry, index(ONE), "e")
    await put(registry, TWO, "f")  # It is there.
    assert list_tags(registry, ALICE, APP, after="", limit=9) == ["a", "b", "c", "d", "f"]
    await delete_tag_of_image(registry, ALICE, APP, TagName("d"), None)
    await delete_tag_of_image(registry, ALICE, APP, TagName("f"), None)
    await put(registry, index(ONE), "e")


async def test_there_are_as_many_repositories_as_there_may_be(registry: Registry) -> None:
    registry.settings = msgspec.structs.replace(registry.settings, quotas=Quotas(repositories=1))
    await with_mode(registry, "MUTABLE")
    with pytest.raises(LimitExceeded):
        await create_repository(registry, ALICE, OTHER, {})
    with pytest.raises(LimitExceeded):
        await push_blob(registry, b"{}", OTHER)
    await delete_repository(registry, ALICE, APP, force=True)
    await create_repository(registry, ALICE, OTHER, {})


async def test_an_image_goes_with_its_last_tag_unless_an_index_names_it(registry: Registry) -> None:
    first = await push_image(registry, b"{}", tags=("1.27", "v1"))
    with pytest.raises(TagElsewhere):
        await delete_tag_of_image(registry, ALICE, APP, TAG, digest_of(TWO))
    assert await delete_tag_of_image(registry, ALICE, APP, TAG, first) == first
    assert await at(registry, V1) == first
    await put(registry, index(ONE), "list")
    assert await delete_tag_of_image(registry, ALICE, APP, V1, None) == first
    assert (await open_manifest(registry, ALICE, APP, first)).digest == first
    await delete_tag_of_image(registry, ALICE, APP, TagName("list"), None)
    with pytest.raises(ManifestUnknown):
        await open_manifest(registry, ALICE, APP, digest_of(index(ONE)))
    with pytest.raises(ManifestUnknown):
        await delete_tag_of_image(registry, ALICE, APP, V1, None)


def test_fields_that_two_writers_set_apart_make_a_setting() -> None:
    assert stored_mutability("IMMUTABLE", '["a"]') == Mutability("IMMUTABLE")
    assert stored_mutability("IMMUTABLE_WITH_EXCLUSION", None) == Mutability("IMMUTABLE_WITH_EXCLUSION")
    assert stored_mutability("IMMUTABLE_WITH_EXCLUSION", '["a b"]') == Mutability("IMMUTABLE_WITH_EXCLUSION")
    assert stored_mutability(None, None) == Mutability()
    assert stored_mutability(True, 7) == Mutability()
    assert mutability_fields(Mutability()) == {"tag-mutability": "MUTABLE", "tag-mutability-exclusions": None}


async def test_a_setting_is_read_as_it_was_put(registry: Registry) -> None:
    row = await with_mode(registry, "IMMUTABLE_WITH_EXCLUSION", "dev-*", "latest")
    assert [one.filter for one in mutability_of(row).exclusions] == ["dev-*", "latest"]
