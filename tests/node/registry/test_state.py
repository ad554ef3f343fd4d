"""Records come to the same tables in any order and with any repetition, and all that is derived follows the rows."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from node.registry.state import Change, apply_entry
from node.store.blobs import BlobRow
from node.store.meta import Meta, open_meta
from node.store.table import WriteTxn
from protocol.oci.digest import digest_of
from protocol.sync.entries import Blob, ImageKey, ImagePut, TagPut, Unknown
from protocol.sync.record import Record
from tests.node.registry.recount import check, history, images, snapshot, tags
from tests.protocol.sync.federation import IMAGES, NAME, State, image_value
from tests.protocol.sync.test_convergence import EPOCH, STEPS, UNSEEN, Step, play, settle

BLOBS = tuple(Blob(digest_of(b"blob %d" % n), 7, bytes(32)) for n in range(3))
DELETED: list[Step] = [
    (0, 0, "push", 0, False),
    (0, 0, "push", 1, False),
    (0, 0, "delete image", 0, False),
    (0, 0, "delete tag", 0, False),
    (0, 0, "delete", 0, False),
]


@pytest.fixture(scope="module")
def meta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meta]:
    with open_meta(tmp_path_factory.mktemp("meta"), map_size=2**24) as meta:
        yield meta


def naming(record: Record) -> Record:
    """The record, its images with blobs, a child and a subject."""
    entries = [
        msgspec.structs.replace(entry, value=_naming(entry)) if isinstance(entry, ImagePut) else entry
        for entry in record.entries
    ]
    return msgspec.structs.replace(record, entries=tuple(entries))


def _naming(entry: ImagePut) -> object:
    which = IMAGES.index(entry.key.digest)
    children = (IMAGES[0],) if which else ()
    return msgspec.structs.replace(entry.value, blobs=BLOBS[which : which + 2], children=children)


def apply(meta: Meta, txn: WriteTxn, record: Record) -> None:
    for entry in record.entries:
        assert not isinstance(entry, Unknown)
        apply_entry(Change(meta, txn, record.dot, record.hlc, EPOCH), entry)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 3), steps=STEPS, seed=st.integers(0, 2**32))
@example(count=3, steps=UNSEEN, seed=0)
@example(count=1, steps=DELETED, seed=0)
@example(count=1, steps=DELETED, seed=1)
def test_any_order_and_repetition_comes_to_the_same_tables(
    meta: Meta, count: int, steps: list[Step], seed: int
) -> None:
    records = [naming(written.record) for written in settle(play(count, steps))]
    model = State()
    for record in records:
        model.apply(record)
    random, found = Random(seed), []
    for _ in range(2):
        order = records + random.sample(records, random.randint(0, len(records)))
        random.shuffle(order)
        with meta.env.begin(write=True) as txn:
            for digest in (*IMAGES, *(blob.digest for blob in BLOBS)):
                meta.blobs.add(txn, digest, BlobRow(7, 0, bytes(32), 0), b"content", b"")
            for record in order:
                apply(meta, txn, record)
            check(meta, txn)
            assert images(meta, txn) | images(meta, txn, deleted=True) == model.images
            assert tags(meta, txn) | tags(meta, txn, deleted=True) == model.tags
            assert history(meta, txn) == model.history
            found.append(snapshot(meta, txn))
            txn.abort()
    assert found[0] == found[1]


def test_an_image_whose_blobs_change_while_it_is_alive_names_what_it_names_now(meta: Meta) -> None:
    """A foreign layer that was pushed to this repository between two pushes of the manifest that names it."""
    first = image_value(IMAGES[0])
    second = msgspec.structs.replace(first, blobs=BLOBS[:1])
    records = [record.record for record in settle(play(1, [(0, 0, "push", 0, False)] * 2))]
    puts = [
        msgspec.structs.replace(one, entries=(ImagePut(ImageKey(NAME, 1, IMAGES[0]), value),))
        for one, value in zip(records, (first, second), strict=True)
    ]
    deletes = settle(play(1, [(0, 0, "push", 0, False)] * 2 + [(0, 0, "delete image", 0, False)]))[-1].record
    with meta.env.begin(write=True) as txn:
        for record in puts:
            apply(meta, txn, record)
            check(meta, txn)
        apply(meta, txn, deletes)
        check(meta, txn)
        assert not images(meta, txn)
        txn.abort()


def test_a_delete_of_a_large_repository_buries_all_that_lies_in_it(tmp_path: Path) -> None:
    """More rows than are looked at together."""
    [push, delete] = [one.record for one in settle(play(1, [(0, 0, "push", 0, False), (0, 0, "delete", 0, False)]))]
    put, tag = push.entries
    assert isinstance(put, ImagePut)
    assert isinstance(tag, TagPut)
    with open_meta(tmp_path, map_size=2**25) as meta, meta.env.begin(write=True) as txn:
        for n in range(1203):
            digest = digest_of(b"%d" % n)
            image = msgspec.structs.replace(put, key=ImageKey(NAME, 1, digest))
            moved = msgspec.structs.replace(
                tag,
                key=msgspec.structs.replace(tag.key, tag=f"tag{n}"),
                value=msgspec.structs.replace(tag.value, digest=digest),
            )
            apply(meta, txn, msgspec.structs.replace(push, entries=(image, moved)))
        assert meta.images.alive.bytes.count(txn) == meta.tags.alive.bytes.count(txn) == 1203
        apply(meta, txn, delete)
        check(meta, txn)
        assert meta.images.alive.bytes.count(txn) == meta.tags.alive.bytes.count(txn) == 0
        assert meta.images.deleted.bytes.count(txn) == meta.tags.deleted.bytes.count(txn) == 0
