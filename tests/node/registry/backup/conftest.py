"""A registry in which much has happened, and backups of it."""

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import trio
import trio.lowlevel

from node.registry.backup.archive import Archive, generations
from node.registry.backup.destination import open_destination
from node.registry.backup.layout import Certificates, Manifest
from node.registry.backup.restore import Generation, restore_store
from node.registry.backup.run import back_up
from node.registry.backup.source import Source, StoppedSource, Who
from node.registry.blobs import delete_blob
from node.registry.deletes import delete_image
from node.registry.mounts import mount_blob
from node.registry.registers import put_register
from node.registry.registry import Registry
from node.registry.replication import follow_journal, put_replication
from node.registry.repositories import delete_repository
from node.registry.tags import delete_tag
from node.registry.uploads import append_upload, begin_upload
from node.store.meta import Meta
from node.store.store import StoppedStore
from protocol.auth.caller import Act
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.events.event import Arrival
from protocol.oci.digest import digest_of
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.record import Verify
from tests.node.registry.world import (
    ALICE,
    APP,
    HERE,
    INCARNATION,
    KEY,
    OTHER,
    TAG,
    World,
    image,
    index,
    opened,
    push_blob,
    push_image,
    put,
    source,
    verify,
)

LARGE = os.urandom(2 * CHUNK_SIZE + 100)
SMALL = b"a layer"
IMAGE = image(b"{}", SMALL, LARGE)
LIVED, DOOMED = RepositoryName("lived/twice"), RepositoryName("doomed")
BLOB = b"named by nobody" * 3000
RULES = {"rules": [{"destinations": [{"region": "us-east-1", "registryId": "111111111111"}]}]}
WHO = Who(str(HERE), "abcdefghijklmnop", INCARNATION, "entrepot 1", Certificates(b"node", b"authority"))


def trusting(_registry: str, certificates: object) -> Verify:
    """Stands for the check of certificates, which is the peers'."""
    assert certificates
    return verify


@dataclass(frozen=True, slots=True)
class Backups:
    """A directory with backups, and what is made of them."""

    root: Path

    def source(self, registry: Registry) -> StoppedSource:
        stopped = StoppedStore(registry.store.meta, registry.store.chunks)
        return StoppedSource(
            stopped, WHO, registry.now(), KEY.sign, lambda: {"node.key": b"secret"}, registry.keyring.files
        )

    def add(self, given: Source, *, identity: bool = False, keep: list[int] | None = None) -> tuple[Manifest, int]:
        """Add a generation; return it and how many bytes were written."""
        with open_destination(self.root) as destination:
            manifest = back_up(given, destination, identity=identity, progress=nothing)
            if keep is not None:
                destination.prune(keep)
            return manifest, destination.written

    def restore(self, data: Path, generation: int = 0, settle: Callable[[], None] = lambda: None) -> Manifest:
        archive = Archive(self.root)
        number = generation or generations(self.root)[-1]
        manifest, verifies = archive.trusted(number, trusting)
        restore_store(
            Generation(archive, manifest, verifies),
            data,
            now=1_800_000_000.0,
            settle=settle,
            progress=nothing,
            map_size=2**26,
        )
        return manifest


def nothing(_phase: str, _amount: int) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    return Backups(tmp_path / "backup")


@pytest.fixture
async def lived(tmp_path: Path, world: World) -> AsyncIterator[Registry]:
    async with opened(tmp_path / "data", world, missing_content="allow") as registry:
        await live(registry)
        yield registry


async def live(registry: Registry) -> None:
    """Let what happens in registries happen."""
    await put_replication(registry, ALICE, msgspec.json.encode(RULES))
    await put_register(registry, Act(ALICE, "iam:CreateUser"), "user", "AIDA1", {"name": "bob"})
    digest = await push_image(registry, b"{}", SMALL, LARGE, tags=(TAG, "old", "gone"))
    await push_image(registry, b"{}", b"another", tags=("old",))
    await delete_tag(registry, ALICE, APP, TagName("gone"))
    await put(registry, index(IMAGE), "multi")
    await put(registry, image(b"{}", subject={"mediaType": "a/b", "digest": digest, "size": len(IMAGE)}))
    await put(registry, image(b"{}", os.urandom(9), annotations={"large": "x" * 20_000}), "large")
    await mount_blob(registry, ALICE, OTHER, digest_of(LARGE), APP)
    await delete_image(registry, ALICE, APP, await push_image(registry, b"{}", b"third", tags=("third",)))
    await push_image(registry, b"{}", b"third", tags=("third",))
    await delete_image(registry, ALICE, APP, await push_image(registry, b"{}", b"sixth", tags=("sixth",)))
    await delete_blob(registry, ALICE, APP, await push_blob(registry, b"fourth"))
    await push_blob(registry, BLOB)
    for layer in (b"of the first life", b"of the second"):
        await push_image(registry, b"{}", layer, SMALL, tags=("v1",), name=LIVED)
        if layer != b"of the second":
            await delete_repository(registry, ALICE, LIVED, force=True)
    await push_image(registry, b"{}", SMALL, tags=("v1",), name=DOOMED)
    upload = await begin_upload(registry, ALICE, APP, "sha256")
    await append_upload(registry, ALICE, APP, upload, source(LARGE[: CHUNK_SIZE + 20_000]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow_journal, registry)
        while True:
            with registry.store.meta.read() as txn:
                journal = registry.store.meta.journal
                if journal.cursor(txn, "replication") == journal.last(txn):
                    break
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    await registry.store.writer.write(lambda txn: note_arrived(registry.store.meta, txn))


def note_arrived(meta: Meta, txn: object) -> None:
    """Take note of an image as its replication does."""
    meta.replicas.take(txn, "111111111111/us-east-1", APP, digest_of(IMAGE), 7)  # type: ignore[arg-type]
    meta.replicas.note_arrived(txn, meta.journal.last(txn), Arrival())  # type: ignore[arg-type]
