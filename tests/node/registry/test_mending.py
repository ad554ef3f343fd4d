"""Whatever row is damaged, nothing else is hurt, and it becomes again what it was, if anything leads back to it."""

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from node.registry.catalog import list_repositories
from node.registry.collection import collect_step
from node.registry.damage import known_damage, note_place
from node.registry.manifests import open_manifest
from node.registry.mending.repair import repair_round
from node.registry.orphans import delete_abandoned, delete_orphans
from node.registry.registry import Registry
from node.registry.tags import list_tags
from node.registry.uploads import expire_uploads
from node.store.damage import DamageRow, Place
from node.store.table import WriteTxn
from protocol.errors import Damaged, Refusal
from tests.node.registry.life import check, live, told
from tests.node.registry.world import ALICE, APP, TAG, World, opened

TABLES = (
    "repositories",
    "repositories-deleted",
    "repository-burials",
    "repository-names",
    "images",
    "images-deleted",
    "parents",
    "referrers",
    "tags",
    "tags-deleted",
    "tag-history",
    "tags-of-image",
    "blobs",
    "links",
    "contents",
    "maps",
    "numbers",
    "holders",
    "due",
    "uploads",
    "heads",
    "cursors",
    "journal",
    "records",
    "sums",
    "documents",
    "registers",
    "image-notes",
    "replication-status",
    "replication-open",
    "replication-taken",
    "replication-arrived",
    "audit",
    "audit-checkpoints",
    "damage",
    "domains",
    "data-keys",
)
GONE = {"uploads", "replication-taken", "image-notes", "audit-checkpoints", "damage"}
"""Of these a row that cannot be mended goes: whoever it was of begins again."""

OF_BURIED = {"images", "images-deleted", "tags", "tags-deleted", "tag-history"}
"""Of these what lies in a deleted repository is not worked out again: it goes."""

LOST = {"blobs", "domains", "data-keys", "journal", "documents", "contents", "audit"}
"""Of these nothing here leads back to a row; another node or a backup may have it."""

Rows = dict[tuple[str, bytes], bytes]


@pytest.fixture
async def lived(tmp_path: Path, world: World) -> AsyncIterator[Registry]:
    async with opened(tmp_path / "data", world, missing_content="allow") as registry:
        await live(registry)
        yield registry


def rows(registry: Registry, *, but: frozenset[str] = frozenset({"damage"})) -> Rows:
    """Return every value of every table, as it is stored."""
    found: Rows = {}
    with registry.store.meta.read() as txn:
        for table in registry.store.meta.tables():
            if table.name not in but:
                with txn.cursor(table.db) as cursor:
                    found.update({(table.name, key): bytes(value) for key, value in cursor})
    return found


async def damage(registry: Registry, table: str, key: bytes, value: bytes) -> None:
    db = next(one.db for one in registry.store.meta.tables() if one.name == table)

    def run(txn: WriteTxn) -> None:
        txn.put(key, value, db=db)

    await registry.store.writer.write(run)
    note_place(registry, Place(table, key))


def flipped(value: bytes) -> bytes:
    at = len(value) // 2
    return value[:at] + bytes([value[at] ^ 4]) + value[at + 1 :]


async def test_every_table_is_named(registry: Registry) -> None:
    assert {table.name for table in registry.store.meta.tables()} == set(TABLES)


async def test_a_thousand_places_that_are_lost_do_not_keep_others_from_being_mended(lived: Registry) -> None:
    damages, lost = lived.store.meta.damages, DamageRow(0, "lost", "nobody has it", 1, lived.now())

    def run(txn: WriteTxn) -> None:
        for number in range(1000):
            damages.put(txn, Place("documents", b"%d" % number), lost)

    await lived.store.writer.write(run)
    (table, key), value = next(row for row in rows(lived).items() if row[0][0] == "tags")
    await damage(lived, table, key, flipped(value))
    assert [await repair_round(lived) for _ in range(2)] == [1001, 1000]
    assert rows(lived)[table, key] == value


async def test_a_flipped_bit_of_any_row_is_mended_by_its_seal(lived: Registry) -> None:
    before = rows(lived)
    for (table, key), value in before.items():
        await damage(lived, table, key, flipped(value))
    assert await repair_round(lived) == 0
    assert rows(lived) == before
    assert lived.alarms.raised() == []


@pytest.mark.parametrize("table", TABLES)
async def test_a_row_of_which_nothing_is_left_is_worked_out_again(lived: Registry, table: str) -> None:
    before = rows(lived, but=frozenset())
    buried = {key for name, key in before if name == "repository-burials"}
    for name, key in [one for one in before if one[0] == table]:
        if table in OF_BURIED and key[:8] in buried:
            continue
        await damage(lived, name, key, os.urandom(40))
        await repair_round(lived)
        after = rows(lived, but=frozenset())
        if table in LOST and (name, key) in {(one.table, one.key) for one, _ in known_damage(lived, limit=99)}:
            assert [alarm.name for alarm in lived.alarms.raised()] == ["damaged-content"]
            await damage(lived, name, key, before[name, key])  # As from a backup.
            lived.repairs.retry_all()
            assert await repair_round(lived) in {0, 1}  # The list itself has one row in this registry.
            continue
        changed = {one: value for one, value in after.items() if before.get(one) != value and one[0] != "damage"}
        missing = {one for one in before.keys() - after.keys() if one[0] != "damage"}
        if table in GONE:
            assert missing == ({(name, key)} if table != "damage" else set())
            before = after
            continue
        if table in {
            "repository-burials",
            "replication-status",
            "replication-arrived",
            "cursors",
            "documents",
        }:  # Again, or from nobody knows.
            before = after
            continue
        assert changed == {}
        assert missing == set()
    findings = [one for one in told(check(lived, deep=True)) if one[0] != "orphan"]
    assert findings == []


@pytest.mark.parametrize("table", TABLES)
async def test_a_damaged_row_hurts_nothing_else(lived: Registry, world: World, table: str) -> None:
    """What goes on by itself goes on; a request is answered, refused, or told that this is damaged, and no bug."""
    for name, key in [one for one in rows(lived, but=frozenset()) if one[0] == table]:
        await damage(lived, name, key, os.urandom(30))
    world.now += 30 * 86_400
    while await collect_step(lived):
        pass
    with suppress(Damaged):  # An upload that cannot be read may have any chunks.
        await delete_orphans(lived)
    await delete_abandoned(lived)
    await expire_uploads(lived, after=3600, idle=60)
    if table != "repositories":
        assert await list_repositories(lived, ALICE, after=None, limit=9)
    with suppress(Damaged, Refusal):
        list_tags(lived, ALICE, APP, after="", limit=9)
        await open_manifest(lived, ALICE, APP, TAG)
    await repair_round(lived)
