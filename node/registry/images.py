"""Putting a manifest.

A push is one transaction: the bytes, the image, its tags, what it names, and the record that says so, all or nothing.
What a manifest names has to be in its repository first, unless ``missing_content`` says otherwise: a digest by itself
opens nothing, so a blob that was only named, and never given to this repository, stays hidden from it.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import msgspec
import trio
from blake3 import blake3

from node.registry.commit import commit
from node.registry.content import keep_content
from node.registry.draft import Draft, descendant_puts, image_put, tag_puts
from node.registry.elsewhere import StoredManifest
from node.registry.manifests import LARGE
from node.registry.quotas import require_room_for_image, require_room_for_tags
from node.registry.registry import Registry
from node.registry.repositories import begin_push, find_repository, repository, repository_for_push
from node.registry.sealing import SealedFor, grant, new_data_key, sealed_content
from node.registry.storage import restored, storage_of
from node.store.blobs import INLINE_SIZE, BlobRow
from node.store.copies import PLAIN, copy_in
from node.store.rows import RepositoryRow
from node.store.sealedmap import sealed_map
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.public import told
from protocol.blobs.chunkmap import CHUNK_SIZE, ChunkMap
from protocol.blobs.sealing import NONCE, DataKey, seal_chunk
from protocol.errors import (
    Busy,
    ImageExists,
    ManifestBlobUnknown,
    ManifestChildUnknown,
    ManifestDigestInvalid,
)
from protocol.oci.digest import Digest, algorithm, digest_of
from protocol.oci.manifest import Manifest, read_manifest
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import Blob, ImageValue, Known
from protocol.sync.vector import Dot

UNKNOWN_ROOT = bytes(32)
"""Of a blob that was named before it was here."""


_SHOWN = 20  # Digests that a message names.


class Put(msgspec.Struct, frozen=True):
    """What a push of a manifest came to."""

    digest: Digest
    subject: Digest | None


class PreparedManifest(msgspec.Struct, frozen=True):
    """A manifest that was read and hashed, ready to be ``written``."""

    digest: Digest
    data: bytes
    manifest: Manifest
    chunk_map: ChunkMap


async def put_manifest(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    data: bytes,
    content_type: str | None,
    *,
    digest: Digest | None,
    tags: Collection[TagName],
) -> Put:
    """Store a manifest and point *tags* at it. Returns when it would survive a crash.

    Raises:
        Denied: without ``ecr:PutImage``.
        ManifestInvalid: it is none.
        DigestInvalid: it does not have *digest*.
        ManifestBlobUnknown: it names what is not in the repository.
        NameUnknown: the repository does not exist and a push may not create it.
        TagImmutable: one of *tags* points elsewhere and has to stay.
        LimitExceeded: there would be more than there may be.
    """
    registry.authorize(caller, "ecr:PutImage", name)
    prepared = await _received(registry, data, content_type, digest)

    def admit(txn: WriteTxn) -> RepositoryRow:
        return repository_for_push(registry, txn, caller, name)

    if len(data) > INLINE_SIZE:
        await begin_push(registry, caller, name)
    return await _push(registry, caller, name, prepared, tags, admit)


async def put_image(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    data: bytes,
    media_type: str | None,
    *,
    digest: Digest | None,
    tag: TagName | None,
) -> StoredManifest:
    """Store a manifest as ``put_manifest`` does, in a repository that exists, where it brings anything new.

    Raises:
        ImageExists: it is there, and *tag* points at it.
        Refusal: as ``put_manifest``.
    """
    registry.authorize(caller, "ecr:PutImage", name)
    with registry.store.meta.read() as txn:
        repository(registry, txn, name)
    prepared = await _received(registry, data, media_type, digest)

    def admit(txn: WriteTxn) -> RepositoryRow:
        registry.gate.require_open()
        row = repository(registry, txn, name)
        if _is_there(registry, txn, name, row, prepared.digest, tag):
            raise ImageExists(
                f"Image with digest '{prepared.digest}' and tag '{tag or 'null'}' already exists in the repository "
                f"with name '{told(name)}' in registry with id '{registry.name.account}'"
            )
        return row

    await _push(registry, caller, name, prepared, () if tag is None else (tag,), admit)
    return StoredManifest(prepared.digest, prepared.manifest.media_type, data)


def _is_there(
    registry: Registry, txn: ReadTxn, name: RepositoryName, row: RepositoryRow, digest: Digest, tag: TagName | None
) -> bool:
    meta = registry.store.meta
    if tag is not None and meta.tags.digest(txn, row.number, tag) != digest:
        return False
    is_active = storage_of(registry, txn, name, digest).status == "ACTIVE"
    return is_active and meta.images.is_alive(txn, row.number, digest)


async def _received(
    registry: Registry, data: bytes, content_type: str | None, digest: Digest | None
) -> PreparedManifest:
    registry.store.space.require(len(data))
    return await prepare_manifest(data, content_type, digest, reading=registry.incoming.reading)


async def _push(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    prepared: PreparedManifest,
    tags: Collection[TagName],
    admit: Callable[[WriteTxn], RepositoryRow],
) -> Put:
    act = Act(caller, "ecr:PutImage", name)

    def run(txn: WriteTxn) -> None:
        row = admit(txn)
        require_room_for_image(registry, txn, row, prepared.digest)
        require_room_for_tags(registry, txn, row, prepared.digest, tags)
        value = describe(registry, txn, row.number, prepared)
        _require_named(registry, txn, row.number, name, prepared)
        add_content(registry, txn, row.number, prepared, contents)

        def entries(dot: Dot, hlc: int) -> list[Known]:
            draft = Draft(registry, txn, name, row, caller.arn, dot, hlc)
            put = image_put(draft, prepared.digest, value)
            pushed = [put, *descendant_puts(draft, value)]
            back = restored(registry, txn, act, name, row.number, pushed)
            return [*pushed, *tag_puts(draft, tags, prepared.digest), *back]

        commit(registry, txn, act, entries)

    async with written(registry, name, [prepared]) as contents:
        await registry.store.writer.write(run)
    registry.changes.notify()
    subject = prepared.manifest.subject
    return Put(prepared.digest, None if subject is None else subject.digest)


async def prepare_manifest(
    data: bytes, content_type: str | None, digest: Digest | None, *, reading: trio.CapacityLimiter
) -> PreparedManifest:
    """Read and hash a manifest, in a thread of *reading* where it is large; raises as ``put_manifest``."""
    if len(data) > LARGE:
        return await trio.to_thread.run_sync(_prepare, data, content_type, digest, limiter=reading)
    return _prepare(data, content_type, digest)


def _prepare(data: bytes, content_type: str | None, digest: Digest | None) -> PreparedManifest:
    manifest = read_manifest(data, content_type)
    found = digest_of(data, "sha256" if digest is None else algorithm(digest))
    if digest is not None and found != digest:
        raise ManifestDigestInvalid(f"the manifest has digest {found}, not {digest}")
    return PreparedManifest(
        found, data, manifest, ChunkMap(len(data), tuple(blake3(one).digest() for one in _cut(data)))
    )


@dataclass(frozen=True, slots=True)
class Written:
    """Chunks of manifests that are large."""

    domain: bytes = PLAIN  # Of the repository as it was then.
    numbers: dict[Digest, int] = field(default_factory=dict)
    keys: dict[Digest, tuple[DataKey, bytes]] = field(default_factory=dict)  # Under which they are sealed, and seals.
    freed: list[int] = field(default_factory=list)  # Numbers of bad chunks that they took the place of.


@asynccontextmanager
async def written(
    registry: Registry, name: RepositoryName, manifests: Sequence[PreparedManifest]
) -> AsyncIterator[Written]:
    """Write the chunks of manifests that are large; those that no row names in the end soon go again.

    Args:
        registry: to write them to.
        name: of the repository that they are for, which says whether they are sealed.
        manifests: to write; small ones are left alone.
    """
    large = [one for one in manifests if len(one.data) > INLINE_SIZE]
    contents = _keyed(registry, name, large) if large else Written()
    store = registry.store
    try:
        for prepared in large:
            number = contents.numbers[prepared.digest] = store.sink.next_number()
            key, seals = contents.keys.get(prepared.digest, (None, b""))
            for index, part in enumerate(_cut(prepared.data)):
                kept, seal = (part, b"") if key is None else seal_chunk(key, index, part, registry.random(NONCE))
                seals += seal
                await store.chunk_writer.write(partial(store.chunks.put, number=number, index=index, data=kept))
            if key is not None:
                contents.keys[prepared.digest] = key, seals
        yield contents
    finally:
        registry.abandoned.update(contents.freed)
        registry.abandoned.update(contents.numbers.values())  # The push was refused, or the manifest was here before.


def _cut(data: bytes) -> list[bytes]:
    return [data[at : at + CHUNK_SIZE] for at in range(0, len(data), CHUNK_SIZE)]


def describe(registry: Registry, txn: ReadTxn, repository: int, prepared: PreparedManifest) -> ImageValue:
    """Return what the image entry says."""
    manifest = prepared.manifest
    blobs: list[Blob] = []
    for one in manifest.blobs:
        row = registry.store.meta.blobs.visible(txn, repository, one.digest)
        if row is not None:
            blobs.append(Blob(one.digest, row.size, row.root))
        elif not one.is_foreign:
            blobs.append(Blob(one.digest, one.size, UNKNOWN_ROOT))
    return ImageValue(
        int(registry.now() * 1000),
        manifest.media_type,
        len(prepared.data),
        prepared.chunk_map.root,
        tuple(blobs),
        tuple(dict.fromkeys(child.digest for child in manifest.children)),
        None if manifest.subject is None else manifest.subject.digest,
        manifest.artifact_type,
    )


def _require_named(
    registry: Registry, txn: ReadTxn, number: int, name: RepositoryName, prepared: PreparedManifest
) -> None:
    """Raise ``ManifestBlobUnknown`` where what has to be in the repository first is not."""
    meta, manifest, missing = registry.store.meta, prepared.manifest, registry.settings.missing_content
    if missing != "allow":
        named = [one.digest for one in manifest.blobs if not one.is_foreign]
        absent = [one for one in named if meta.blobs.visible(txn, number, one) is None]
        if absent:
            raise ManifestBlobUnknown(_absent("Layers", absent, name, registry))
    if missing == "refuse":
        children = dict.fromkeys(child.digest for child in manifest.children)
        absent = [one for one in children if not meta.images.is_alive(txn, number, one)]
        if absent:
            raise ManifestChildUnknown(_absent("Images", absent, name, registry))


def _absent(kind: str, digests: list[Digest], name: RepositoryName, registry: Registry) -> str:
    return (
        f"{kind} with digests '[{', '.join(digests[:_SHOWN])}]' required for pushing image into repository with name "
        f"'{told(name)}' in the registry with id '{registry.name.account}' do not exist"
    )


def _keyed(registry: Registry, name: RepositoryName, large: Sequence[PreparedManifest]) -> Written:
    with registry.store.meta.read() as txn:
        row = find_repository(registry, txn, name)
        if row is None:
            return Written()
        keys = ((one.digest, new_data_key(registry, txn, row.number)) for one in large)
        domain = registry.store.meta.blobs.domain(txn, row.number)
        return Written(domain, keys={digest: (key, b"") for digest, key in keys if key is not None})


def add_content(
    registry: Registry, txn: WriteTxn, repository: int, prepared: PreparedManifest, written: Written
) -> None:
    """Add the bytes of a manifest that was ``written``; the image entry of the same transaction will hold them.

    Raises:
        Busy: its repository was made meanwhile, and keeps its bytes in another way.
        KeyUnusable: they are sealed under a KMS key that may not be used.
    """
    digest, domain = prepared.digest, registry.store.meta.blobs.domain(txn, repository)
    number, hashes = written.numbers.get(digest, 0), b"".join(prepared.chunk_map.hashes)
    row, content = BlobRow(len(prepared.data), number, prepared.chunk_map.root, 0), None if number else prepared.data
    if not domain and not written.domain:
        kept = keep_content(registry.store, txn, digest, row, content, hashes)
    else:
        key, seals = written.keys.get(digest, (None, b"")) if number else (new_data_key(registry, txn, repository), b"")
        if key is None or (number and domain != written.domain):
            raise Busy(f"the repository of {digest} was made while it was written; push it again")
        parts = sealed_map(key, row.size, hashes, seals, registry.random) if number else ()
        kept = keep_content(
            registry.store,
            txn,
            copy_in(digest, domain),
            msgspec.structs.replace(row, key=key.id),
            None if content is None else sealed_content(registry, key, content),
            hashes,
            parts=parts,
            sealed=SealedFor(registry, repository, key),
        )
        grant(registry, txn, repository, digest)
    if kept.freed:
        written.freed.append(kept.freed)
