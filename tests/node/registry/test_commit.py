"""What this node changes is a chain of signed records, each with its effect in one transaction."""

from pathlib import Path

import msgspec
import pytest

from node.registry.deletes import delete_image
from node.registry.registry import Quotas, Registry
from node.registry.tags import delete_tag, list_tags
from node.store.journal import Head
from protocol.errors import ManifestBlobUnknown, ManifestTooLarge, ManifestUnknown
from protocol.oci.digest import digest_of
from protocol.oci.names import TagName
from protocol.sync.entries import ImagePut, RepositoryPut, TagPut
from protocol.sync.record import FIRST, MAX_RECORD, Record, follows, open_record, record_hash
from tests.node.registry.recount import check
from tests.node.registry.world import (
    ALICE,
    APP,
    INCARNATION,
    TAG,
    World,
    descriptor,
    image,
    index,
    opened,
    push_blob,
    push_image,
    put,
    verify,
)


def records(registry: Registry) -> list[Record]:
    """All records in local order; they have to be one chain, signed, with clocks that rise."""
    journal = registry.store.meta.journal
    with registry.store.meta.read() as txn:
        rows = journal.after(txn, 0, limit=9999)
        head = journal.head(txn, "abcdefghijklmnop", INCARNATION)
        assert [number for number, _ in rows] == list(range(1, journal.last(txn) + 1))
    before: Record | None = None
    before_hash, found = FIRST, []
    for _, data in rows:
        assert data is not None
        record = open_record(data, verify)
        assert follows(before, before_hash, record)
        before, before_hash = record, record_hash(data)
        found.append(record)
    assert head == (Head(before.seq, before_hash, before.hlc) if before else Head())
    return found


async def test_each_change_is_the_next_record_of_a_chain(registry: Registry, world: World) -> None:
    digest = await push_image(registry, b"{}", tags=("1.27",))
    world.now += 1
    await delete_tag(registry, ALICE, APP, TAG)
    world.now -= 3600  # The wall clock goes back; the records' does not.
    await delete_image(registry, ALICE, APP, digest)
    assert [[type(entry).__name__ for entry in record.entries] for record in records(registry)] == [
        ["RepositoryPut"],
        ["ImagePut", "TagPut"],
        ["TagPut"],
        ["ImageDelete"],
    ]


async def test_the_chain_and_its_clock_go_on_after_a_restart(tmp_path: Path, world: World) -> None:
    for n in range(3):
        async with opened(tmp_path, world) as registry:
            await push_image(registry, b"%d" % n)
            assert len(records(registry)) == n + 2
        world.now -= 5.0  # Whatever the wall clock says.


async def test_a_stamp_that_was_used_lies_below_the_stored_ceiling(registry: Registry, world: World) -> None:
    for seconds in (0, 5, 20, 3000):
        world.now += seconds
        await push_image(registry, b"{}")
        with registry.store.meta.read() as txn:
            assert records(registry)[-1].hlc <= registry.store.meta.documents.number(txn, "clock-ceiling")


async def test_what_is_refused_leaves_no_record_and_no_repository(registry: Registry) -> None:
    with pytest.raises(ManifestBlobUnknown):
        await put(registry, image(b"never pushed"), "1.27")
    assert records(registry) == []
    with registry.store.meta.read() as txn:
        assert registry.store.meta.repositories.get(txn, APP) is None
    await push_image(registry, b"{}")
    count = len(records(registry))
    for change in (delete_tag(registry, ALICE, APP, TAG), delete_image(registry, ALICE, APP, digest_of(b"none"))):
        with pytest.raises(ManifestUnknown):
            await change
    assert len(records(registry)) == count


async def test_a_push_is_one_record_whose_entries_are_what_it_did(registry: Registry) -> None:
    digest = await push_image(registry, b"{}", b"layer", tags=("1.27", "latest"))
    created, pushed = records(registry)
    [repository] = created.entries
    assert isinstance(repository, RepositoryPut)
    assert repository.value.life == 1
    [put_entry, *tags] = pushed.entries
    assert isinstance(put_entry, ImagePut)
    assert [blob.digest for blob in put_entry.value.blobs] == [digest_of(b"{}"), digest_of(b"layer")]
    assert [(tag.key.tag, tag.value.digest, tag.value.by) for tag in tags if isinstance(tag, TagPut)] == [
        ("1.27", digest, ALICE.arn),
        ("latest", digest, ALICE.arn),
    ]


async def test_a_change_too_large_for_one_record_is_several_and_all_or_nothing(tmp_path: Path, world: World) -> None:
    """An index of many children: each of them is put anew."""
    async with opened(tmp_path, world, missing_content="allow") as registry:
        layers = [descriptor(digest_of(b"%d" % n, "sha512"), n) for n in range(900)]
        children = [image(b"%d" % n, layers=layers) for n in range(8)]
        for child in children:
            await put(registry, child)
        before = records(registry)
        digest = (await put(registry, index(*children), "1.27")).digest
        new = records(registry)[len(before) :]
        assert len(new) > 1
        assert isinstance(new[0].entries[0], ImagePut)
        assert sum(len(record.entries) for record in new) == 10
        with registry.store.meta.read() as txn:
            check(registry.store.meta, txn)
            state = registry.store.meta.images.get(txn, 1, digest_of(children[0]))
        assert state is not None
        assert state.dots[0].dot in {record.dot for record in new}
        await delete_image(registry, ALICE, APP, digest)
        records(registry)


async def test_an_image_that_no_record_can_hold_is_refused(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path, world, missing_content="allow") as registry:
        layers = [descriptor(digest_of(b"%d" % n, "sha512"), n) for n in range(8000)]
        manifest = image(layers=layers)
        with pytest.raises(ManifestTooLarge):
            await put(registry, manifest, "1.27")
        assert records(registry) == []
        assert len(manifest) > MAX_RECORD


async def test_an_image_with_thousands_of_tags_can_be_deleted(registry: Registry) -> None:
    registry.settings = msgspec.structs.replace(registry.settings, quotas=Quotas(tags_per_image=10_000))
    await push_blob(registry, b"{}")
    for start in range(0, 10_000, 1000):
        await put(registry, image(b"{}"), *(f"{n}".rjust(100, "_") for n in range(start, start + 1000)))
    before = len(records(registry))
    await delete_image(registry, ALICE, APP, digest_of(image(b"{}")))
    assert len(records(registry)) > before + 1
    assert list_tags(registry, ALICE, APP, after="", limit=10) == []


async def test_tags_of_one_record_point_at_one_image_each(registry: Registry) -> None:
    first = await push_image(registry, b"1", tags=("a", "b"))
    second = await push_image(registry, b"2", tags=("b",))
    with registry.store.meta.read() as txn:
        tags = registry.store.meta.tags
        assert tags.pointing_at(txn, 1, first) == ["a"]
        assert tags.pointing_at(txn, 1, second) == ["b"]
        assert [lost.value.digest for lost in tags.lost(txn, 1, TagName("b"))] == [first]
