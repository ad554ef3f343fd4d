"""A registry in which everything has happened: each table of ``meta`` has rows, and nothing is wrong."""

import os

import msgspec

from node.registry.audit.writing import sign_checkpoint, write_notes
from node.registry.blobs import delete_blob
from node.registry.check.findings import Checked
from node.registry.check.store import check_store
from node.registry.check.walk import Own
from node.registry.deletes import delete_image
from node.registry.mounts import mount_blob
from node.registry.registers import put_register
from node.registry.registry import Registry
from node.registry.replication import put_replication
from node.registry.repositories import delete_repository
from node.registry.sealing import encryption_settings
from node.registry.settings import create_repository
from node.registry.tags import delete_tag
from node.registry.uploads import append_upload, begin_upload
from node.store.damage import DamageRow, chunk_place
from node.store.notes import ImageNote
from node.store.store import StoppedStore
from node.store.table import WriteTxn
from protocol.auth.caller import Act
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.events.event import Arrival
from protocol.oci.digest import digest_of
from protocol.oci.names import RepositoryName, TagName
from tests.node.registry.world import (
    ALICE,
    APP,
    HERE,
    OTHER,
    TAG,
    image,
    index,
    push_blob,
    push_image,
    put,
    source,
    verify,
)

OWN = Own(str(HERE), "abcdefghijklmnop", verify)
SEALED = RepositoryName("sealed")
LARGE = os.urandom(2 * CHUNK_SIZE + 100)
SMALL = b"a layer"
IMAGE = image(b"{}", SMALL, LARGE)
RULES = {
    "rules": [
        {
            "destinations": [{"region": "us-east-1", "registryId": "111111111111"}],
            "repositoryFilters": [{"filter": "team/", "filterType": "PREFIX_MATCH"}],
        }
    ]
}


def check(registry: Registry, *, deep: bool = False) -> Checked:
    store = StoppedStore(registry.store.meta, registry.store.chunks)
    return check_store(store, OWN, deep=deep, progress=lambda _table, _rows: None)


def told(checked: Checked) -> list[tuple[str, str, str]]:
    return [(one.kind, one.place, one.what) for one in checked.findings]


async def live(registry: Registry) -> None:
    await put_replication(registry, ALICE, msgspec.json.encode(RULES))
    await put_register(registry, Act(ALICE, "iam:CreateUser"), "user", "AIDA1", {"name": "bob", "path": None})
    digest = await push_image(registry, b"{}", SMALL, LARGE, tags=(TAG, "old", "gone"))
    await push_image(registry, b"{}", b"another", tags=("old",))
    await delete_tag(registry, ALICE, APP, TagName("gone"))
    await put(registry, index(IMAGE), "multi")
    await put(registry, image(b"{}", subject={"mediaType": "a/b", "digest": digest, "size": len(IMAGE)}))
    await put(registry, image(b"{}", os.urandom(9), annotations={"large": "x" * 20_000}), "large")
    await mount_blob(registry, ALICE, OTHER, digest_of(LARGE), APP)
    await put(registry, IMAGE, "gone")
    await delete_image(registry, ALICE, APP, await push_image(registry, b"{}", b"third", tags=("third",)))
    await push_image(registry, b"{}", b"third", tags=("third",))
    await delete_image(registry, ALICE, APP, await push_image(registry, b"{}", b"sixth", tags=("sixth",)))
    await delete_blob(registry, ALICE, APP, await push_blob(registry, b"fourth"))
    upload = await begin_upload(registry, ALICE, APP, "sha256")
    await append_upload(registry, ALICE, APP, upload, source(LARGE[: CHUNK_SIZE + 20_000]))
    small = await begin_upload(registry, ALICE, APP, "sha512")
    await append_upload(registry, ALICE, APP, small, source(b"begun"))
    await create_repository(registry, ALICE, SEALED, encryption_settings("AES256", None))
    await push_image(registry, b"{}", b"a sealed layer", tags=("sealed",), name=SEALED)
    kept = await begin_upload(registry, ALICE, SEALED, "sha256")
    await append_upload(registry, ALICE, SEALED, kept, source(b"begun"))
    for force, name in ((False, RepositoryName("empty")), (True, RepositoryName("full"))):
        await push_blob(registry, b"{}", name)
        if force:
            await push_image(registry, b"{}", LARGE, b"seventh", tags=("a", "b"), name=name)
        await delete_repository(registry, ALICE, name, force=force)  # Nobody buries them.
    await put_replication(registry, ALICE, msgspec.json.encode({"rules": []}))  # The follower passes all before.
    await registry.store.writer.write(lambda txn: come_from_elsewhere(registry, txn))
    registry.notes_of_audit.note(ALICE, "ecr:BatchGetImage", APP)
    await write_notes(registry)
    await sign_checkpoint(registry)


def come_from_elsewhere(registry: Registry, txn: WriteTxn) -> None:
    """Take note of an image as its replication does."""
    meta = registry.store.meta
    meta.replicas.take(txn, "111111111111/us-east-1", APP, digest_of(IMAGE), 7)
    meta.replicas.note_arrived(txn, meta.journal.last(txn), Arrival("replication", "111111111111/us-east-1"))
    meta.notes.put(txn, APP, digest_of(IMAGE), ImageNote(1.0))
    meta.damages.put(txn, chunk_place(4711, 1), DamageRow(1.0))
