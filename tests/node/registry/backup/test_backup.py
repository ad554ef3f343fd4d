"""A generation is all that a node had at one moment, and what is made of it is that again."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio
from blake3 import blake3

from node.registry.backup.archive import Archive, find_chunk, find_content, find_record, generations, open_archive
from node.registry.backup.destination import open_destination
from node.registry.backup.layout import Manifest, blob_path, generation_path
from node.registry.backup.run import keep_which
from node.registry.backup.source import Ending, StoppedSource
from node.registry.backup.tables import AT_ONCE, DERIVED, FIRST, LEFT_OUT, THEN, carried
from node.registry.backup.verify import verify_backup
from node.registry.burial import bury_step
from node.registry.check.store import check_store
from node.registry.check.walk import Own
from node.registry.deletes import delete_image
from node.registry.registry import Registry
from node.registry.repositories import delete_repository
from node.registry.tags import list_tags
from node.store.format import FORMAT
from node.store.store import StoppedStore, open_stopped
from node.store.table import BytesTable, WriteTxn
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import BackupUnknown, BlobUnknown, Damaged, NotReady
from protocol.oci.digest import Digest, digest_of, packed
from protocol.sync.record import record_hash
from tests.node.registry.backup.conftest import BLOB, DOOMED, IMAGE, LARGE, LIVED, SMALL, Backups, nothing, trusting
from tests.node.registry.world import (
    ALICE,
    APP,
    HERE,
    KEY,
    OTHER,
    TAG,
    World,
    content,
    image,
    manifest_bytes,
    opened,
    push_blob,
    push_image,
    verify,
)

NODE = "abcdefghijklmnop"
OWN = Own(str(HERE), NODE, verify)


def faults(store: StoppedStore) -> list[str]:
    checked = check_store(store, OWN, deep=True, progress=lambda _table, _rows: None)
    return [f"{one.kind} {one.place} {one.what}" for one in checked.findings if one.severity == "error"]


def rows(registry: Registry) -> dict[str, list[tuple[bytes, object]]]:
    """All that has to be the same in a store that was restored: rows without numbers or times of their own."""
    meta = registry.store.meta
    same = {
        *(
            "repositories",
            "repositories-deleted",
            "repository-burials",
            "repository-names",
            "images",
            "images-deleted",
            "parents",
            "referrers",
            "tags",
        ),
        *("tags-deleted", "tag-history", "tags-of-image", "contents", "holders", "journal", "records", "heads", "sums"),
        *("replication-status", "replication-open", "replication-taken", "replication-arrived", "cursors"),
    }
    with meta.read() as txn:
        found: dict[str, list[tuple[bytes, object]]] = {
            table.name: list(table.checked(txn, limit=10_000)) for table in meta.tables() if table.name in same
        }
        found["links"] = [
            (key, (row.names, row.seen))
            for key, row in meta.blobs.links.items(txn, b"", limit=10_000)
            if meta.repositories.numbers.has(txn, key[:8])  # Nobody sees a blob in one that is being buried.
        ]
        found["blobs"] = [
            (key, (row.size, row.root, row.holds)) for key, row in meta.blobs.rows.items(txn, b"", limit=10_000)
        ]
        return found


async def test_what_becomes_of_each_table_is_decided(registry: Registry) -> None:
    decided = [*FIRST, *THEN, *AT_ONCE, *DERIVED, *LEFT_OUT]
    assert sorted(decided) == sorted(table.name for table in registry.store.meta.tables())
    assert carried(registry.store.meta).keys() == {*FIRST, *THEN, *AT_ONCE}


async def test_what_is_restored_is_what_was_there(
    lived: Registry, backups: Backups, tmp_path: Path, world: World
) -> None:
    before = rows(lived)
    manifest, _ = backups.add(backups.source(lived))
    assert manifest.damaged == ()
    backups.restore(tmp_path / "new")
    with open_stopped(tmp_path / "new", map_size=2**26) as store:
        assert faults(store) == []
    async with opened(tmp_path / "new", world) as restored:
        assert rows(restored) == before
        assert await content(restored, APP, digest_of(LARGE)) == LARGE
        assert await content(restored, OTHER, digest_of(LARGE)) == LARGE
        assert await content(restored, APP, digest_of(BLOB)) == BLOB
        assert await manifest_bytes(restored, TAG) == IMAGE
        assert await content(restored, LIVED, digest_of(b"of the second")) == b"of the second"
        with pytest.raises(BlobUnknown):
            await content(restored, LIVED, digest_of(b"of the first life"))
        await push_image(restored, b"{}", b"after", tags=("after",))
        assert "after" in list_tags(restored, ALICE, APP, after="", limit=100)
        assert faults(StoppedStore(restored.store.meta, restored.store.chunks)) == []


async def test_an_empty_registry_can_be_backed_up(registry: Registry, backups: Backups, tmp_path: Path) -> None:
    backups.add(backups.source(registry))
    backups.restore(tmp_path / "new")
    with open_stopped(tmp_path / "new", map_size=2**26) as store:
        assert faults(store) == []


async def test_a_run_writes_what_is_new_and_nothing_else(lived: Registry, backups: Backups) -> None:
    _, first = backups.add(backups.source(lived))
    _, again = backups.add(backups.source(lived))
    assert first > len(LARGE)
    assert again < 3000, "a manifest"
    large = os.urandom(CHUNK_SIZE)
    await push_image(lived, b"{}", large, tags=("more",))
    _, more = backups.add(backups.source(lived))
    assert len(large) < more < len(large) + 40_000, "a blob, some rows, a manifest"


async def test_each_generation_is_as_it_was(lived: Registry, backups: Backups, tmp_path: Path, world: World) -> None:
    backups.add(backups.source(lived))
    digest = await push_image(lived, b"{}", b"second", tags=("second",))
    backups.add(backups.source(lived))
    await delete_image(lived, ALICE, APP, digest)
    backups.add(backups.source(lived))
    for generation, there in ((1, False), (2, True), (3, False)):
        data = tmp_path / f"new{generation}"
        backups.restore(data, generation)
        async with opened(data, world) as restored:
            assert ("second" in list_tags(restored, ALICE, APP, after="", limit=100)) == there


@dataclass(frozen=True)
class Moving:
    """A source that lets something happen at a moment of the run."""

    given: StoppedSource
    before_ending: Callable[[], object] = lambda: None
    after_ending: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> object:
        return getattr(self.given, name)

    def ending(self) -> Ending:
        self.before_ending()
        ending = self.given.ending()
        self.after_ending()
        return ending


async def test_what_happens_meanwhile_is_in_it_whole_or_not_at_all(
    lived: Registry, backups: Backups, tmp_path: Path, world: World
) -> None:
    early, late = os.urandom(CHUNK_SIZE + 5), os.urandom(CHUNK_SIZE + 5)

    async def before() -> None:
        await push_image(lived, b"{}", early, b"small one", tags=("early",))
        await push_blob(lived, b"alone")

    async def after() -> None:
        await push_image(lived, b"{}", late, tags=("late",))
        await delete_image(lived, ALICE, APP, digest_of(image(b"{}", b"another")))
        await delete_repository(lived, ALICE, DOOMED, force=True)
        while await bury_step(lived):
            pass

    moving = Moving(backups.source(lived), lambda: trio.from_thread.run(before), lambda: trio.from_thread.run(after))
    manifest, _ = await trio.to_thread.run_sync(lambda: backups.add(moving))  # type: ignore[arg-type]  # By __getattr__.
    assert manifest.position > manifest.began_at
    backups.restore(tmp_path / "new")
    with open_stopped(tmp_path / "new", map_size=2**26) as store:
        assert faults(store) == []
    async with opened(tmp_path / "new", world) as restored:
        tags = list_tags(restored, ALICE, APP, after="", limit=100)
        assert "early" in tags
        assert "late" not in tags
        assert "old" in tags, "it was deleted after the last record"
        assert await content(restored, APP, digest_of(early)) == early
        assert await content(restored, APP, digest_of(b"alone")) == b"alone"
        assert await content(restored, DOOMED, digest_of(SMALL)) == SMALL, "deleted after it, too"


async def test_a_blob_that_goes_meanwhile_is_left_out(
    lived: Registry, backups: Backups, tmp_path: Path, world: World
) -> None:
    class Going(Moving):
        def blob(self, digest: Digest, start: int) -> Iterator[bytes]:
            if digest == digest_of(BLOB):
                raise BlobUnknown(digest)
            return self.given.blob(digest, start)

    manifest, _ = backups.add(Going(backups.source(lived)))  # type: ignore[arg-type]  # By __getattr__.
    assert manifest.damaged == ()
    backups.restore(tmp_path / "new")
    async with opened(tmp_path / "new", world) as restored:
        with pytest.raises(BlobUnknown):
            await content(restored, APP, digest_of(BLOB))
        assert await content(restored, APP, digest_of(LARGE)) == LARGE


async def test_a_run_that_was_cut_short_goes_on_where_it_was(lived: Registry, backups: Backups) -> None:
    asked: list[int] = []

    class Dying(Moving):
        def blob(self, digest: Digest, start: int) -> Iterator[bytes]:
            parts = self.given.blob(digest, start)
            if digest == digest_of(LARGE):
                asked.append(start)
                if len(asked) == 1:
                    yield next(parts)
                    raise KeyboardInterrupt
            yield from parts

    with pytest.raises(KeyboardInterrupt):
        backups.add(Dying(backups.source(lived)))  # type: ignore[arg-type]  # By __getattr__.
    assert generations(backups.root) == []
    with pytest.raises(BackupUnknown, match="no generation"):
        open_archive(backups.root)
    backups.add(Dying(backups.source(lived)))  # type: ignore[arg-type]  # By __getattr__.
    assert asked == [0, CHUNK_SIZE]
    assert not list(backups.root.rglob("*.partial"))
    assert not (backups.root / "unfinished").exists()


async def test_what_no_generation_names_is_swept_away(lived: Registry, backups: Backups) -> None:
    backups.add(backups.source(lived))
    large = os.urandom(CHUNK_SIZE + 1)
    await push_image(lived, b"{}", large, tags=("more",))
    backups.add(backups.source(lived))
    await delete_image(lived, ALICE, APP, digest_of(image(b"{}", large)))
    lived_on = await collected(lived, digest_of(large))
    backups.add(backups.source(lived_on))
    assert blob_path(backups.root, digest_of(large)).exists()
    backups.add(backups.source(lived_on), keep=[1, 3])
    assert generations(backups.root) == [1, 3]
    assert not blob_path(backups.root, digest_of(large)).exists()
    assert blob_path(backups.root, digest_of(LARGE)).exists()
    archive = Archive(backups.root)
    for generation in (1, 3):
        archive.trusted(generation, trusting)


async def collected(registry: Registry, digest: Digest) -> Registry:
    """Let a day pass."""

    def run(txn: object) -> None:
        blobs = registry.store.meta.blobs
        row = registry.store.meta.repositories.get(txn, APP)  # type: ignore[arg-type]
        assert row is not None
        blobs.unlink(txn, row.number, digest, now=0)  # type: ignore[arg-type]
        assert blobs.drop_if_free(txn, digest)  # type: ignore[arg-type]

    await registry.store.writer.write(run)
    return registry


def test_generations_are_kept_by_number_and_by_age(tmp_path: Path) -> None:
    made = {1: 0.0, 2: 5.0, 3: 9.0, 4: 10.0}

    class Listed(Archive):
        def manifest(self, generation: int) -> Manifest:
            return _made_at(made[generation] * 86_400)

    for number in made:
        generation_path(tmp_path, number).parent.mkdir(exist_ok=True)
        generation_path(tmp_path, number).touch()
    archive, now = Listed(tmp_path), 10 * 86_400.0
    assert keep_which(archive, last=None, days=None, now=now) == [1, 2, 3, 4]
    assert keep_which(archive, last=2, days=None, now=now) == [3, 4]
    assert keep_which(archive, last=None, days=6, now=now) == [2, 3, 4]
    assert keep_which(archive, last=1, days=0, now=now + 86_400) == [4], "the last one always stays"
    assert keep_which(archive, last=3, days=1.5, now=now) == [2, 3, 4]


def _made_at(made: float) -> Manifest:
    return Manifest(1, 1, made, made, str(HERE), NODE, b"", "", 0, 0, b"", (), {}, (), 0, 0, {})


async def test_a_node_that_was_restored_goes_on_from_the_generation_that_it_came_from(
    lived: Registry, backups: Backups, tmp_path: Path, world: World
) -> None:
    backups.add(backups.source(lived))
    await push_image(lived, b"{}", b"lost", tags=("lost",))
    backups.add(backups.source(lived))
    backups.restore(tmp_path / "new", 1)
    async with opened(tmp_path / "new", world) as restored:
        await push_image(restored, b"{}", b"other", tags=("other",))
        await push_image(restored, b"{}", b"others", tags=("others",))
        manifest, _ = backups.add(backups.source(restored))
    backups.restore(tmp_path / "newer")
    async with opened(tmp_path / "newer", world) as restored:
        tags = list_tags(restored, ALICE, APP, after="", limit=100)
        assert {"other", "others"} < set(tags)
        assert "lost" not in tags
        assert faults(StoppedStore(restored.store.meta, restored.store.chunks)) == []
    assert manifest.generation == 3


async def test_a_backup_of_another_registry_is_left_alone(lived: Registry, backups: Backups) -> None:
    backups.add(backups.source(lived))
    other = backups.source(lived)
    who = msgspec.structs.replace(other.who, registry="222222222222/eu-west-1")
    other = StoppedSource(other.store, who, other.now, KEY.sign, other.files, other.key_files)
    with pytest.raises(NotReady, match="another directory"):
        backups.add(other)


async def test_two_runs_at_once_are_refused_and_so_is_what_is_no_backup(
    lived: Registry, backups: Backups, tmp_path: Path
) -> None:
    with open_destination(backups.root), pytest.raises(NotReady, match="wait for it"):
        backups.add(backups.source(lived))
    with pytest.raises(NotReady, match="no backup"), open_destination(tmp_path / "data"):
        pass
    (backups.root / "BACKUP").write_text("entrepot backup 7\n")
    with pytest.raises(NotReady, match="entrepot backup 7"):
        backups.add(backups.source(lived))


def overwrite(table: BytesTable, key: bytes, txn: WriteTxn) -> None:
    txn.put(key, b"\1" * 30, db=table.db)


async def test_damage_is_told_and_the_rest_backed_up(
    lived: Registry, backups: Backups, tmp_path: Path, world: World
) -> None:
    chunks, meta = lived.store.chunks, lived.store.meta
    with meta.read() as txn:
        row = meta.blobs.get(txn, digest_of(LARGE))
        last = meta.journal.last(txn)
    assert row is not None
    await lived.store.chunk_writer.write(lambda txn: chunks.put(txn, row.number, 1, b"x" * CHUNK_SIZE))
    damage = [
        (meta.blobs.contents, packed(digest_of(SMALL))),
        (meta.journal.records, (last - 1).to_bytes(8, "big")),
    ]
    for table, key in damage:
        await lived.store.writer.write(partial(overwrite, table, key))
    manifest, _ = backups.add(backups.source(lived))
    assert {(one.kind, one.place) for one in manifest.damaged} == {
        ("blob", digest_of(LARGE)),
        ("blob", digest_of(SMALL)),
        ("record", f"record {last - 1}"),
    }
    assert all(one.remedy for one in manifest.damaged)
    backups.restore(tmp_path / "new")
    async with opened(tmp_path / "new", world) as restored:
        assert await content(restored, APP, digest_of(BLOB)) == BLOB
        with pytest.raises(BlobUnknown):
            await content(restored, APP, digest_of(LARGE))
        await push_blob(restored, LARGE)  # As a client that is told that it is missing does.
        assert await content(restored, APP, digest_of(LARGE)) == LARGE
    again, _ = backups.add(backups.source(lived))
    assert len(again.damaged) == 3, "what is still damaged is told again"


async def test_earlier_generations_make_up_for_damage(lived: Registry, backups: Backups) -> None:
    backups.add(backups.source(lived))
    chunks, meta = lived.store.chunks, lived.store.meta
    with meta.read() as txn:
        row = meta.blobs.get(txn, digest_of(LARGE))
        hashes = b"" if row is None else meta.blobs.hashes(txn, row)
        record = meta.journal.records.get(txn, (2).to_bytes(8, "big"))
    assert row is not None
    await lived.store.chunk_writer.write(lambda txn: chunks.put(txn, row.number, 1, b"x" * CHUNK_SIZE))
    manifest, _ = backups.add(backups.source(lived))
    assert manifest.damaged == ()
    archive = Archive(backups.root)
    found = find_chunk(archive, digest_of(LARGE), 1, lambda data: blake3(data).digest() == hashes[32:64])
    assert found == LARGE[CHUNK_SIZE : 2 * CHUNK_SIZE]
    assert find_chunk(archive, digest_of(LARGE), 1, lambda _: False) is None
    assert find_content(archive, digest_of(SMALL)) == SMALL
    assert find_content(archive, digest_of(b"nobody has it")) is None
    assert record is not None
    assert find_record(archive, 2, lambda data: record_hash(data) == record_hash(record)) == record
    assert find_record(archive, 9999, lambda _: True) is None


async def test_keys_are_in_it_where_they_are_asked_for(lived: Registry, backups: Backups) -> None:
    without, _ = backups.add(backups.source(lived))
    secret = b"secret"
    assert not without.identity
    assert not any(secret in path.read_bytes() for path in backups.root.rglob("*") if path.is_file())
    manifest, _ = backups.add(backups.source(lived), identity=True)
    assert Archive(backups.root).segment("identity", manifest.identity) == [(b"node.key", secret)]
    for path in backups.root.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


async def test_a_store_is_restored_into_nothing_but_an_empty_directory(
    lived: Registry, backups: Backups, tmp_path: Path
) -> None:
    backups.add(backups.source(lived))
    with pytest.raises(NotReady, match="another node"):
        backups.restore(tmp_path / "data")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(NotReady, match="not empty"):
        backups.restore(tmp_path / "full")
    (tmp_path / "some" / "identity").mkdir(parents=True)
    backups.restore(tmp_path / "some")
    with pytest.raises(NotReady, match="already"):
        backups.restore(tmp_path / "some")
    assert (tmp_path / "some" / "FORMAT").read_text() == FORMAT


async def test_a_restore_that_fails_leaves_nothing(lived: Registry, backups: Backups, tmp_path: Path) -> None:
    backups.add(backups.source(lived))

    def fail() -> None:
        raise Damaged("no identity")

    with pytest.raises(Damaged, match="no identity"):
        backups.restore(tmp_path / "new", settle=fail)
    assert not (tmp_path / "new").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(Damaged, match="no identity"):
        backups.restore(tmp_path / "empty", settle=fail)
    assert list((tmp_path / "empty").iterdir()) == []


async def test_a_restore_that_was_killed_is_no_store_and_is_run_again(
    lived: Registry, backups: Backups, tmp_path: Path, world: World
) -> None:
    backups.add(backups.source(lived))
    data = tmp_path / "new"
    (data / "meta").mkdir(parents=True)
    (data / "meta" / "data.mdb").write_bytes(b"half")
    (data / "FORMAT").write_text("entrepot restoring: generation 1\n")
    with pytest.raises(NotReady, match="entrepot restore"):
        async with opened(data, world):
            pass
    with pytest.raises(NotReady, match="entrepot restore"), open_stopped(data):
        pass
    backups.restore(data)
    with open_stopped(data, map_size=2**26) as store:
        assert faults(store) == []


def files(root: Path) -> list[Path]:
    ours = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name not in {"lock", "BACKUP"}]
    kinds = {path.relative_to(root).parts[0] for path in ours}
    assert kinds == {"generations", "segments", "blobs"}
    return ours


async def test_no_byte_of_it_can_be_changed(lived: Registry, backups: Backups, tmp_path: Path) -> None:
    backups.add(backups.source(lived))

    def wrong() -> list[str]:
        told: list[str] = []
        archive = Archive(backups.root)
        verify_backup(archive, trusting, only=None, tell=lambda _, what: told.append(what), progress=nothing)
        return told

    assert wrong() == []
    for number, path in enumerate(files(backups.root)):
        whole = path.read_bytes()
        for at in {0, len(whole) // 3, len(whole) - 1}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert wrong(), f"byte {at} of {path}"
            with pytest.raises(Damaged):
                backups.restore(tmp_path / f"new{number}")
            assert not (tmp_path / f"new{number}").exists()
        path.unlink()
        if path.parent.name != "generations":
            assert wrong(), f"without {path}"
            with pytest.raises(Damaged):
                backups.restore(tmp_path / f"new{number}")
        path.write_bytes(whole)
    assert wrong() == []


async def test_what_was_removed_from_it_is_written_again(lived: Registry, backups: Backups) -> None:
    first, _ = backups.add(backups.source(lived))
    for path in files(backups.root):
        if path.parent.name != "generations":
            path.unlink()
            backups.add(backups.source(lived))
            assert path.exists(), path
    archive = Archive(backups.root)
    told: list[str] = []
    verify_backup(archive, trusting, only=None, tell=lambda _, what: told.append(what), progress=nothing)
    assert told == []
    generation_path(backups.root, first.generation).write_bytes(b"damaged")
    latest, _ = backups.add(backups.source(lived))
    with open_destination(backups.root) as destination, pytest.raises(Damaged):
        destination.prune([first.generation, latest.generation])
    assert len(generations(backups.root)) > 2, "nothing was removed"
    backups.add(backups.source(lived), keep=[latest.generation])
