"""A store that nothing happened to has no findings; of one with a damaged row, exactly that is told."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from node.registry.check.store import check_store, rows_of
from node.registry.check.walk import Own
from node.registry.registry import Registry
from node.store.store import StoppedStore
from node.store.table import BytesTable, Table, WriteTxn
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.oci.digest import Digest, digest_of, packed
from protocol.oci.names import TagName
from protocol.sync.record import FIRST, encode, read_record, record_hash, seal
from tests.node.registry.life import IMAGE, LARGE, OWN, SMALL, check, live, told
from tests.node.registry.world import (
    APP,
    OTHER,
    TAG,
    World,
    opened,
    verify,
)

Row = TypeVar("Row")

APP_KEY, OTHER_KEY = (1).to_bytes(8, "big"), (2).to_bytes(8, "big")


@pytest.fixture
async def lived(tmp_path: Path, world: World) -> AsyncIterator[Registry]:
    """A registry in which everything has happened."""
    async with opened(tmp_path / "data", world, missing_content="allow") as registry:
        await live(registry)
        yield registry


@pytest.mark.parametrize("deep", [False, True])
async def test_nothing_is_told_of_a_store_that_lived(lived: Registry, deep: bool) -> None:
    assert told(check(lived, deep=deep)) == []


async def test_nothing_is_told_of_an_empty_store(registry: Registry) -> None:
    assert told(check(registry)) == []


async def test_every_row_is_looked_at(lived: Registry) -> None:
    checked = check(lived, deep=True)
    with lived.store.meta.read() as txn:
        expected = {table.name: table.count(txn) for table in lived.store.meta.tables() if table.count(txn)}
    assert {name: count for name, count in checked.counts.items() if name not in {"chunks", "bytes"}} == expected
    assert checked.counts["chunks"] == 3 + 1 + 2
    assert sum(expected.values()) + 6 == rows_of(StoppedStore(lived.store.meta, lived.store.chunks))
    assert expected.keys() == {table.name for table in lived.store.meta.tables()}


# One row is damaged, and exactly that is told.

Damage = Callable[[Registry, WriteTxn], None]


@dataclass(frozen=True)
class Case:
    """What is done, and what has to be told of it."""

    name: str
    damage: Damage
    kind: str
    place: str
    what: str


def change(name: str, key: bytes, **fields: object) -> Damage:
    """Change fields of a row, and seal it again."""

    def damage(registry: Registry, txn: WriteTxn) -> None:
        table = sealed(registry, name)
        row: Any = table.get(txn, key)
        table.put(txn, key, msgspec.structs.replace(row, **fields))

    return damage


def remove(name: str, key: bytes = b"") -> Damage:
    """Delete the row of this key, the first one without it."""

    def damage(registry: Registry, txn: WriteTxn) -> None:
        table = plain(registry, name)
        assert table.delete(txn, key or table.keys(txn, b"", limit=1)[0])

    return damage


def add(name: str, key: bytes, value: bytes = b"") -> Damage:
    return lambda registry, txn: plain(registry, name).put(txn, key, value)


def plain(registry: Registry, name: str) -> BytesTable:
    return next(table for table in registry.store.meta.tables() if table.name == name)


def sealed(registry: Registry, name: str) -> Table[Any]:
    meta = registry.store.meta
    places: list[Table[Any]] = [meta.repositories.rows, meta.images.alive, meta.images.deleted, meta.tags.alive]
    places += [meta.tags.deleted, meta.tags.history, meta.blobs.rows, meta.blobs.links, meta.uploads.rows]
    places += [meta.journal.cursors, meta.journal.heads, meta.sums.buckets, meta.replicas.statuses]
    return next(table for table in places if table.bytes.name == name)


def short(data: bytes) -> bytes:
    return packed(digest_of(data))


def swap(name: str, key: bytes, other: str) -> Damage:
    """Copy a row to the table where it does not belong."""
    return lambda registry, txn: sealed(registry, other).put(txn, key, sealed(registry, name).get(txn, key))


def named_and_due(registry: Registry, txn: WriteTxn) -> None:
    change("links", APP_KEY + short(SMALL), due=7)(registry, txn)
    add("due", bytes(7) + b"\7" + APP_KEY + short(SMALL))(registry, txn)


def no_link_is_due(registry: Registry, txn: WriteTxn) -> None:
    table = registry.store.meta.blobs.due
    table.delete(txn, next(key for key in table.keys(txn, b"", limit=99) if key[8:16] == OTHER_KEY))


CASES = [
    Case("number", remove("repository-names", OTHER_KEY), "index", "other", "repository-names is missing"),
    Case("name", remove("repositories", b"other"), "index", "other", "repository-names is there without"),
    Case("parent", remove("parents"), "index", f"{APP}@{digest_of(IMAGE)} by", "parents is missing"),
    Case("parent extra", add("parents", APP_KEY + short(b"1") + short(b"2")), "index", f"{APP}@", "without a reason"),
    Case("referrer", remove("referrers"), "index", f"{APP}@{digest_of(IMAGE)} by", "referrers is missing"),
    Case("tag by image", remove("tags-of-image"), "index", f"{APP}@", "tags-of-image is missing"),
    Case(
        "names",
        change("links", APP_KEY + short(SMALL), names=7),
        "count",
        f"{APP}@{digest_of(SMALL)}",
        "1 images name it, and its link says 7",
    ),
    Case("due and named", named_and_due, "row", f"{APP}@{digest_of(SMALL)}", "named by 1 images and due at 7"),
    Case("holder", remove("holders"), "index", "@", "holders is missing"),
    Case("unheld", remove("due"), "index", "sha256:", "held by nothing, and never due"),
    Case("due", no_link_is_due, "index", f"{OTHER}@{digest_of(LARGE)}", "due is missing"),
    Case("due extra", add("due", bytes(7) + b"\1" + APP_KEY + short(b"x")), "index", f"{APP}@", "due is there without"),
    Case(
        "holds",
        change("blobs", short(SMALL), holds=5),
        "count",
        digest_of(SMALL),
        "1 links and images hold it, and its row says 5",
    ),
    Case("content", remove("contents", short(SMALL)), "content", digest_of(SMALL), "content is missing"),
    Case("other content", add("contents", short(SMALL), b"b layer"), "content", digest_of(SMALL), "another digest"),
    Case("content extra", add("contents", short(b"x"), b"x"), "index", digest_of(b"x"), "no row"),
    Case("root", change("blobs", short(SMALL), root=FIRST), "row", digest_of(SMALL), "another size or root"),
    Case("map", change("blobs", short(LARGE), root=FIRST), "map", digest_of(LARGE), "another root"),
    Case("map short", remove("maps"), "map", digest_of(LARGE), "has hashes of 0 chunks, and 3 chunks"),
    Case("map extra", add("maps", bytes(12), bytes(32)), "index", "maps 0000", "no blob has"),
    Case("reference", remove("records"), "index", "", "records is missing"),
    Case("head", change("heads", b"abcdefghijklmnop" + bytes(15) + b"\1", seq=1), "index", "heads", "is not record"),
    Case("no head", remove("heads"), "index", "heads", "is missing"),
    Case("cursor", change("cursors", b"replication", position=999), "row", "cursors replication", "is at 999"),
    Case("clock", remove("documents", b"clock-ceiling"), "row", "documents clock-ceiling", "below the clock"),
    Case("arrived", add("replication-arrived", bytes(8)), "key", "replication-arrived", "not a key"),
    Case("leaf", remove("sums"), "fingerprint", "root 0", "is missing"),
    Case("root sum", change("sums", bytes(3), sum=FIRST), "fingerprint", "root 0", "is of other entries"),
    Case("open", remove("replication-open"), "index", "", "replication-open is missing"),
    Case("taken", add("replication-taken", b"a\0b", bytes(8)), "key", "replication-taken", "not a key"),
    Case("key", add("due", b"due"), "key", "due", "not a key"),
    Case("value", add("holders", short(SMALL) + APP_KEY, b"more"), "key", "holders", "a value where none belongs"),
    Case("tag alive and deleted", swap("tags", APP_KEY + TAG.encode(), "tags-deleted"), "row", f"{APP}:{TAG}", "alive"),
    Case(
        "image alive and deleted",
        swap("images", APP_KEY + short(IMAGE), "images-deleted"),
        "row",
        f"{APP}@{digest_of(IMAGE)}",
        "is alive",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_one_fault_is_one_finding(lived: Registry, case: Case) -> None:
    await lived.store.writer.write(partial(case.damage, lived))
    found = [one for one in check(lived).findings if one.kind == case.kind or one.kind != "fingerprint"]
    assert [one.kind for one in found] == [case.kind], found
    assert case.place in found[0].place
    assert case.what in found[0].what
    assert found[0].remedy
    assert found[0].severity == "error"


async def test_a_value_that_fails_its_check_is_one_finding(lived: Registry) -> None:
    """In every table; what cannot be compared without it is said in notes."""
    for table in lived.store.meta.tables():
        kept: list[tuple[bytes, bytes]] = []

        def flip(txn: WriteTxn, table: BytesTable = table, kept: list[tuple[bytes, bytes]] = kept) -> None:
            keys = table.keys(txn, b"", limit=1)
            for key in keys:
                value = txn.get(key, db=table.db) or b""
                kept.append((key, value))
                txn.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=table.db)

        def mend(txn: WriteTxn, table: BytesTable = table, kept: list[tuple[bytes, bytes]] = kept) -> None:
            for key, value in kept:
                txn.put(key, value, db=table.db)

        await lived.store.writer.write(flip)
        faults = [one for one in check(lived).findings if one.severity == "error"]
        expected = [("value", f"{table.name} {key.hex()}", "fails its check") for key, _ in kept]
        assert [(one.kind, one.place, one.what) for one in faults] == expected, table.name
        await lived.store.writer.write(mend)
    assert told(check(lived)) == []


async def test_what_cannot_be_decoded_is_told(lived: Registry) -> None:
    await lived.store.writer.write(partial(add("links", APP_KEY + short(SMALL), b"\x93\x01"), lived))
    [fault] = [one for one in check(lived).findings if one.severity == "error"]
    assert (fault.kind, fault.what) == ("value", "Input data was truncated")


# Chunks.


async def chunk(registry: Registry, digest: Digest, index: int, data: bytes) -> None:
    with registry.store.meta.read() as txn:
        row = registry.store.meta.blobs.get(txn, digest)
    assert row is not None
    store = registry.store
    await store.chunk_writer.write(lambda txn: store.chunks.put(txn, row.number, index, data))


async def test_a_chunk_of_another_length(lived: Registry) -> None:
    await chunk(lived, digest_of(LARGE), 1, b"short")
    expected = f"chunk 1 of 3 has 4080 bytes instead of {CHUNK_SIZE}"
    assert told(check(lived)) == [("chunk", digest_of(LARGE), expected)]


async def test_a_chunk_too_many(lived: Registry) -> None:
    await chunk(lived, digest_of(LARGE), 3, b"more")
    assert told(check(lived)) == [("chunk", digest_of(LARGE), "has chunk 3, and 3 chunks")]


async def test_other_bytes_in_a_chunk_are_found_by_a_deep_check(lived: Registry) -> None:
    await chunk(lived, digest_of(LARGE), 1, bytes(CHUNK_SIZE))
    assert told(check(lived)) == []
    assert told(check(lived, deep=True)) == [("chunk", digest_of(LARGE), "chunk 1 of 3 does not match its hash")]


async def test_other_bytes_in_a_large_manifest_are_found_by_any(lived: Registry) -> None:
    with lived.store.meta.read() as txn:
        digest = lived.store.meta.tags.digest(txn, 1, TagName("large"))
    assert digest is not None
    await chunk(lived, digest, 0, bytes(20_000))
    [(kind, place, _)] = told(check(lived))
    assert (kind, place) == ("chunk", digest)


async def test_missing_chunks(lived: Registry) -> None:
    with lived.store.meta.read() as txn:
        row = lived.store.meta.blobs.get(txn, digest_of(LARGE))
        [number] = {one.number for _, one in lived.store.meta.uploads.page(txn, limit=9)} - {0}
    assert row is not None
    await lived.store.delete_chunks(row.number)
    await lived.store.delete_chunks(number)
    found = told(check(lived))
    assert [(kind, what) for kind, _, what in found] == [
        ("chunk", "chunk 0 of 3 is missing"),
        ("upload", "chunk 0 of 2 is missing"),
    ]


async def test_chunks_that_nothing_names_are_a_note(lived: Registry) -> None:
    store = lived.store
    await store.chunk_writer.write(lambda txn: store.chunks.put(txn, 999, 0, b"left over"))
    checked = check(lived)
    assert [(one.kind, one.severity) for one in checked.findings] == [("orphan", "note")]
    assert checked.faults == 0


# The journal.


def rewrite(
    registry: Registry, txn: WriteTxn, position: int, *, sign: Callable[[bytes], bytes], **fields: object
) -> None:
    """Change a record and sign it again, and let the head follow."""
    journal = registry.store.meta.journal
    place = position.to_bytes(8, "big")
    record = msgspec.structs.replace(read_record(journal.records.get(txn, place) or b""), **fields)
    journal.records.put(txn, place, seal(encode(record), sign))


async def test_a_record_that_is_missing(lived: Registry) -> None:
    await lived.store.writer.write(partial(remove("journal", (3).to_bytes(8, "big")), lived))
    faults = [one for one in check(lived).findings if one.severity == "error"]
    assert [(one.kind, one.place, one.what) for one in faults] == [
        ("journal", "record 3", "is missing; the next one is 4")
    ]


async def test_a_record_that_was_changed_breaks_the_chain(lived: Registry) -> None:
    sign = lived.author.sign
    await lived.store.writer.write(lambda txn: rewrite(lived, txn, 3, sign=sign, entries=()))
    assert [(kind, place) for kind, place, _ in told(check(lived))] == [("journal", "record 4")]


async def test_a_signature_of_another(lived: Registry) -> None:
    meta = lived.store.meta
    with meta.read() as txn:
        last = meta.journal.last(txn)
        head = meta.journal.head(txn, "abcdefghijklmnop", lived.author.incarnation)

    def forge(txn: WriteTxn) -> None:
        rewrite(lived, txn, last, sign=lambda _: bytes(64))
        data = meta.journal.records.get(txn, last.to_bytes(8, "big")) or b""
        new = msgspec.structs.replace(head, hash=record_hash(data))
        meta.journal.heads.put(txn, b"abcdefghijklmnop" + lived.author.incarnation, new)

    await lived.store.writer.write(forge)
    for deep in (False, True):
        [(kind, _, what)] = told(check(lived, deep=deep))
        assert (kind, what) == ("journal", f"record {head.seq} of abcdefghijklmnop is not signed by it")


async def test_a_record_of_another_registry(lived: Registry) -> None:
    other = Own("111111111111/other", OWN.node, verify)
    store = StoppedStore(lived.store.meta, lived.store.chunks)
    found = check_store(store, other, deep=False, progress=lambda _table, _rows: None).findings
    assert {one.kind for one in found} == {"journal"}
    assert len(found) == check(lived).counts["journal"]


# What is no fault.


async def test_a_tag_that_points_at_nothing_is_a_note(lived: Registry) -> None:
    """Replicas that delete an image and move a tag to it at the same time can come to that."""
    meta = lived.store.meta
    with meta.read() as txn:
        state = meta.tags.get(txn, 1, TAG)
    assert state is not None
    current = state.values[0]
    moved = msgspec.structs.replace(current, value=msgspec.structs.replace(current.value, digest=digest_of(b"?")))
    await lived.store.writer.write(
        lambda txn: meta.tags.put(txn, 1, TAG, msgspec.structs.replace(state, values=(moved,)))
    )
    found = check(lived).findings
    assert [one.kind for one in found if one.severity == "note"] == ["dangling"]
    assert {one.kind for one in found if one.severity == "error"} == {"fingerprint"}


async def test_a_due_row_of_a_blob_that_is_held_again(lived: Registry) -> None:
    meta, now = lived.store.meta, lived.now()
    await lived.store.writer.write(lambda txn: meta.blobs.keep_for_a_day(txn, digest_of(SMALL), now=now))
    assert told(check(lived)) == []


async def test_much_that_differs_is_bounded(lived: Registry) -> None:
    """As where a whole table is lost, and rebuilt from nothing."""

    def fill(txn: WriteTxn) -> None:
        for number in range(3000):
            plain(lived, "holders").put(txn, short(number.to_bytes(4, "big")) + APP_KEY, b"")

    await lived.store.writer.write(fill)
    found = check(lived).findings
    assert 256 <= len(found) <= 1001
    assert "more parts" in found[-1].what
