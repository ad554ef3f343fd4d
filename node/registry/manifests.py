"""Opening a manifest: from here, or from where the repository is pulled through from."""

import msgspec

from node.registry.blobs import open_chunked
from node.registry.content import opened_content
from node.registry.elsewhere import OpenBlob, StoredManifest
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.sealing import chunked, data_key
from node.registry.storage import storage_of
from node.store.blobs import Chunked
from protocol.auth.caller import Caller
from protocol.errors import Damaged, ImageInaccessible, ManifestUnknown
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName
from protocol.oci.reference import is_digest

REQUESTED = "Requested image not found"  # What ECR says, whichever it was.
LARGE = 64 * 1024  # Bytes of a manifest that is read in a thread, and served in pieces.


class OpenManifest(msgspec.Struct, frozen=True):
    """A large manifest that is read piece by piece; who asked for it releases ``blob``."""

    digest: Digest
    media_type: str
    blob: OpenBlob


async def open_manifest(
    registry: Registry, caller: Caller, name: RepositoryName, reference: TagName | Digest
) -> StoredManifest | OpenManifest:
    """Return a manifest, from here or from where the repository is pulled through from; a large one is only opened.

    Raises:
        Denied: without ``ecr:BatchGetImage``.
        NameUnknown, ManifestUnknown: there is none.
        ImageInaccessible: it is in the archive.
        Damaged: its bytes fail their check.
    """
    registry.authorize(caller, "ecr:BatchGetImage", name)
    try:
        found = _find(registry, name, reference, is_pulled=True)
    except Damaged:
        registry.repairs.hurry()
        fresh = await registry.elsewhere.manifest(registry, caller, name, reference)
        if fresh is None:
            raise
        return fresh
    if found is not None and not is_digest(reference):
        tag, digest = TagName(reference), found[0] if isinstance(found, tuple) else found.digest
        moved = await registry.elsewhere.refresh(registry, caller, name, tag, digest)
        # Looked up again where that took time: what is deleted meanwhile has no lease yet.
        found = moved or (_find(registry, name, reference, is_pulled=True) if isinstance(found, tuple) else found)
    if isinstance(found, tuple):
        digest, media_type, content = found
        if content.row.size <= LARGE:
            return StoredManifest(digest, media_type, await read_large(registry, content))
        registry.store.leases.take(content.row.number)
        return OpenManifest(digest, media_type, open_chunked(registry, content))
    if found is None:
        found = await registry.elsewhere.manifest(registry, caller, name, reference)
    if found is None:
        with registry.store.meta.read() as txn:
            repository(registry, txn, name)
        raise ManifestUnknown(REQUESTED)
    return found


async def local_manifest(
    registry: Registry, name: RepositoryName, reference: TagName | Digest
) -> StoredManifest | None:
    """Return a manifest that is here, else ``None``; whoever asks was allowed to before."""
    found = _find(registry, name, reference, is_pulled=False)
    if found is None or isinstance(found, StoredManifest):
        return found
    digest, media_type, content = found
    return StoredManifest(digest, media_type, await read_large(registry, content))


async def read_opened(registry: Registry, opened: OpenManifest) -> StoredManifest:
    """Return all bytes of a manifest that was opened, and release it."""
    blob, load = opened.blob, registry.store.chunks.load_at
    try:
        parts = [
            one if isinstance(one, bytes) else load(one.offset, one.length) async for one in blob.read(0, blob.size)
        ]
    finally:
        blob.release()
    return StoredManifest(opened.digest, opened.media_type, b"".join(parts))


async def read_large(registry: Registry, content: Chunked) -> bytes:
    """Return all bytes of a blob that fits in memory, each chunk compared with its hash.

    To be called in the step in which *content* was looked up: whoever deletes the rows looks at leases after that.
    """
    store, row = registry.store, content.row
    store.leases.take(row.number)
    try:
        if content.key is not None:
            return b"".join([part async for part in store.verified.opened(content, 0, row.size)])
        spans = store.verified.spans(row.number, row.size, content.hashes, 0, row.size)
        parts = [store.chunks.load_at(span.offset, span.length) async for span in spans]
    finally:
        store.leases.release(row.number)
    return b"".join(parts)


def _find(
    registry: Registry, name: RepositoryName, reference: TagName | Digest, *, is_pulled: bool
) -> StoredManifest | tuple[Digest, str, Chunked] | None:
    meta = registry.store.meta
    with meta.read() as txn:
        row = meta.repositories.get(txn, name)
        if row is None:
            return None
        digest = reference if is_digest(reference) else meta.tags.digest(txn, row.number, TagName(reference))
        media_type = None if digest is None else meta.images.media_type(txn, row.number, digest)
        if digest is None or media_type is None:
            return None
        if is_pulled and storage_of(registry, txn, name, digest).status != "ACTIVE":
            raise ImageInaccessible(f"{REQUESTED}: {digest} is archived; restore it, or push it again")
        copy = meta.blobs.copy(txn, row.number, digest)
        content = meta.blobs.small(txn, copy)
        if content is not None and copy == digest:
            return StoredManifest(digest, media_type, content)
        blob = meta.blobs.get(txn, copy)
        if blob is None:
            return None
        key = data_key(registry, txn, row.number, copy, blob)
        if content is not None:
            return StoredManifest(digest, media_type, opened_content(key, blob.size, content))
        if blob.number in registry.store.verified.bad:
            raise Damaged(f"chunks of {digest}")
        return digest, media_type, chunked(registry, txn, blob, key)
