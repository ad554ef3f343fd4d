"""Opening, asking after and deleting a blob. It is seen only where the repository has a link to it."""

from collections.abc import AsyncIterator
from functools import partial

from node.registry.content import opened_content
from node.registry.elsewhere import OpenBlob
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.sealing import any_data_key, chunked, data_key
from node.registry.storage import is_archived_layer
from node.store.blobs import BlobRow, Chunked, LinkRow
from node.store.copies import unpacked_copy
from node.store.extents import Span
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Caller
from protocol.errors import BlobInUse, BlobUnknown, Damaged, LayerInaccessible, StoreReadOnly
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName


async def open_blob(registry: Registry, caller: Caller, name: RepositoryName, digest: Digest) -> OpenBlob:
    """Return the blob, from here or from where the repository is pulled through from; the caller releases it.

    Raises:
        Denied: without ``ecr:GetDownloadUrlForLayer``.
        NameUnknown, BlobUnknown: there is none.
        LayerInaccessible: archived images alone name it.
        Damaged: its bytes are known to be bad.
        StoreReadOnly: the disk failed, and the store is being opened anew.
    """
    registry.authorize(caller, "ecr:GetDownloadUrlForLayer", name)
    _require_active(registry, name, digest)
    damage: Damaged | None = None
    try:
        found = find_blob(registry, name, digest)
    except Damaged as error:
        found, damage = None, error
        registry.repairs.hurry()
    found = found or await registry.elsewhere.blob(registry, caller, name, digest)
    if found is None:
        raise damage or _unknown(registry, name, digest)
    return registry.readings.watched(found, "download", name, digest, caller.address)


def _require_active(registry: Registry, name: RepositoryName, digest: Digest) -> None:
    if not registry.has_archive.get():
        return
    with registry.store.meta.read() as txn:
        row = registry.store.meta.repositories.get(txn, name)
        if row is not None and is_archived_layer(registry, txn, name, row.number, digest):
            raise LayerInaccessible(f"{digest} is a layer of archived images alone; restore one of them")


async def stat_blob(registry: Registry, caller: Caller, name: RepositoryName, digest: Digest) -> int:
    """Return the blob's size in bytes; who was told so may count on it for 24 hours.

    Whoever may pull, and not check, may ask after what an image names: clients do before they pull.

    Raises:
        Denied: without ``ecr:BatchCheckLayerAvailability``, and without ``ecr:GetDownloadUrlForLayer`` on a layer.
        NameUnknown, BlobUnknown: there is none.
    """
    may_check = registry.allows(caller, "ecr:BatchCheckLayerAvailability", name)
    if not may_check and not registry.allows(caller, "ecr:GetDownloadUrlForLayer", name):
        registry.authorize(caller, "ecr:BatchCheckLayerAvailability", name)
    meta = registry.store.meta
    with meta.read() as txn:
        row = meta.repositories.get(txn, name)
        link = None if row is None else meta.blobs.link(txn, row.number, digest)
        if not may_check and (link is None or not link.names):
            registry.authorize(caller, "ecr:BatchCheckLayerAvailability", name)
        copy = digest if row is None else meta.blobs.copy(txn, row.number, digest)
        blob = meta.blobs.get(txn, copy) if link is not None and link.seen else None
        if blob is not None and not is_sound(registry, txn, copy, blob):
            blob = None  # Who is told that it is missing pushes it, and that mends it.
    if row is None or link is None or blob is None:
        other = await registry.elsewhere.blob(registry, caller, name, digest)
        if other is None:
            raise _unknown(registry, name, digest)
        other.release()
        return other.size
    if not await _renewed(registry, row.number, digest, link):
        raise _unknown(registry, name, digest)
    return blob.size


async def renew_blob(registry: Registry, name: RepositoryName, digest: Digest) -> None:
    """Put off the due time of a blob that a node asks for, so that it stays for as long as it may be fetched.

    Raises:
        BlobUnknown: there is none that the repository sees.
    """
    meta = registry.store.meta
    with meta.read() as txn:
        row = meta.repositories.get(txn, name)
        link = None if row is None else meta.blobs.link(txn, row.number, digest)
    if row is None or link is None or not link.seen or not await _renewed(registry, row.number, digest, link):
        raise BlobUnknown(f"no blob {digest} in {name}")


async def _renewed(registry: Registry, repository: int, digest: Digest, link: LinkRow) -> bool:
    """Put off the due time of a link, where it has one; ``False``: it was collected a moment ago."""
    blobs, now = registry.store.meta.blobs, registry.now()
    if not blobs.needs_renewal(link, now=now):
        return True
    return await registry.store.writer.write(lambda txn: blobs.renew(txn, repository, digest, now=now))


async def delete_blob(registry: Registry, caller: Caller, name: RepositoryName, digest: Digest) -> None:
    """Take the blob out of the repository; it stays wherever else it is linked.

    Raises:
        Denied: without ``ecr:BatchDeleteImage``.
        NameUnknown, BlobUnknown: there is none.
        BlobInUse: a manifest of the repository names it.
    """
    registry.authorize(caller, "ecr:BatchDeleteImage", name)
    meta, now = registry.store.meta, registry.now()

    def run(txn: WriteTxn) -> None:
        registry.gate.require_open()
        row = repository(registry, txn, name)
        link = meta.blobs.link(txn, row.number, digest)
        if link is None or meta.blobs.visible(txn, row.number, digest) is None:
            raise BlobUnknown(f"no blob {digest} in {name}")
        if link.names:
            raise BlobInUse(f"{link.names} manifests of {name} name {digest}; delete those first")
        meta.blobs.unlink(txn, row.number, digest, now=now)

    await registry.store.writer.write(run)


def is_sound(registry: Registry, txn: ReadTxn, digest: Digest, blob: BlobRow) -> bool:
    """Whether nothing is known to be wrong with the bytes of a copy that is here."""
    if blob.number:
        return blob.number not in registry.store.verified.bad
    return registry.store.meta.blobs.is_sound(txn, digest)


def content_of_number(registry: Registry, number: int) -> Chunked | None:
    """Return the copy whose chunks lie under *number*; ``None`` where there is none, or its rows are damaged.

    Raises:
        KeyUnusable: it is sealed under a KMS key that may not be used.
    """
    blobs = registry.store.meta.blobs
    with registry.store.meta.read() as txn:
        try:
            short = blobs.numbers.get(txn, number.to_bytes(8, "big"))
            copy = None if short is None else unpacked_copy(short)
            row = None if copy is None else blobs.get(txn, copy)
            if copy is None or row is None or row.number != number:
                return None
            return chunked(registry, txn, row, any_data_key(registry, txn, copy, row))
        except Damaged:  # It was noticed.
            return None


def find_blob(registry: Registry, name: RepositoryName, digest: Digest) -> OpenBlob | None:
    """Return the blob where the repository sees it and it is wholly here; whoever asks was allowed to before."""
    meta = registry.store.meta
    with meta.read() as txn:
        row = meta.repositories.get(txn, name)
        blob = None if row is None else meta.blobs.visible(txn, row.number, digest)
        if blob is None:
            return None
        copy = meta.blobs.copy(txn, row.number, digest) if row is not None else digest
        key = data_key(registry, txn, row.number, copy, blob) if row is not None else None
        if not blob.number:
            small = opened_content(key, blob.size, meta.blobs.content(txn, copy))
            return OpenBlob(blob.size, registry.store.chunks.fd, partial(_inline, small), _nothing)
        if registry.store.chunk_writer.lost.is_set():  # Before a byte is sent, as below.
            raise StoreReadOnly("the disk failed; the store is being opened anew")
        if blob.number in registry.store.verified.bad:
            raise Damaged(f"chunks of {digest}")  # Before a byte is sent; and who mends it waits for readers to end.
        content = chunked(registry, txn, blob, key)
        # Taken before anything else can run: whoever deletes the rows looks at leases after that.
        registry.store.leases.take(blob.number)
    return open_chunked(registry, content)


def open_chunked(registry: Registry, content: Chunked) -> OpenBlob:
    """Return a large blob whose lease was taken; ``release`` gives it back."""
    store, blob = registry.store, content.row

    def read(start: int, length: int) -> AsyncIterator[bytes | Span]:
        if content.key is not None:
            return store.verified.opened(content, start, length)
        return store.verified.spans(blob.number, blob.size, content.hashes, start, length)

    return OpenBlob(blob.size, store.chunks.fd, read, partial(store.leases.release, blob.number))


async def _inline(content: bytes, start: int, length: int) -> AsyncIterator[bytes | Span]:
    yield content[start : start + length]


def _nothing() -> None:
    """Release a blob that holds no lease."""


def _unknown(registry: Registry, name: RepositoryName, digest: Digest) -> BlobUnknown:
    with registry.store.meta.read() as txn:
        repository(registry, txn, name)
    return BlobUnknown(f"no blob {digest} in {name}")
