"""Listing repositories, describing an image, and how much is stored."""

import msgspec

from node.registry.manifests import REQUESTED
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.visible import visible_repositories
from protocol.auth.caller import Caller
from protocol.errors import ManifestUnknown
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName
from protocol.oci.reference import is_digest


class BlobDetail(msgspec.Struct, frozen=True):
    """A blob that an image names."""

    digest: Digest
    size: int  # Bytes.


class ImageDetail(msgspec.Struct, frozen=True):
    """An image, for people."""

    repository: RepositoryName
    digest: Digest
    media_type: str
    artifact_type: str | None
    size: int  # Bytes of the manifest.
    image_size: int  # Bytes of the blobs that it names.
    pushed_at: float  # Seconds since 1970, UTC.
    tags: list[TagName]
    subject: Digest | None
    children: list[Digest]
    blobs: list[BlobDetail]


class Usage(msgspec.Struct, frozen=True):
    """How much is stored."""

    repositories: int  # Names in use.
    images: int
    tags: int
    blobs: int  # Each digest once, manifests too.
    bytes_free: int  # That may still be written.
    bytes_meta: int  # The file of the environment, holes included.
    bytes_chunks: int
    uploads: int  # In memory.


async def list_repositories(
    registry: Registry, caller: Caller, *, after: str | None, limit: int
) -> list[RepositoryName]:
    """Return at most *limit* names of repositories that exist beyond *after*, in the order of their bytes.

    Raises:
        Denied: without ``ecr:DescribeRepositories``; with it on some, these are listed.
    """
    rows = await visible_repositories(registry, caller, after=after or "", limit=limit, public=True)
    return [name for name, _ in rows]


def describe_image(
    registry: Registry, caller: Caller, name: RepositoryName, reference: TagName | Digest
) -> ImageDetail:
    """Return what is known of an image.

    Raises:
        Denied: without ``ecr:DescribeImages``.
        NameUnknown, ManifestUnknown: there is none.
    """
    registry.authorize(caller, "ecr:DescribeImages", name)
    meta = registry.store.meta
    with meta.read() as txn:
        row = repository(registry, txn, name)
        digest = reference if is_digest(reference) else meta.tags.digest(txn, row.number, TagName(reference))
        state = None if digest is None else meta.images.get(txn, row.number, digest)
        shown = None if state is None else state.shown
        if digest is None or shown is None:
            raise ManifestUnknown(REQUESTED)
        value = shown.value
        return ImageDetail(
            name,
            digest,
            value.media_type,
            value.artifact_type,
            value.size,
            sum(blob.size for blob in value.blobs),
            value.pushed / 1000,
            meta.tags.pointing_at(txn, row.number, digest),
            value.subject,
            list(value.children),
            [BlobDetail(blob.digest, blob.size) for blob in value.blobs],
        )


def usage(registry: Registry, caller: Caller) -> Usage:
    """Return how much is stored; constant cost. ``Denied`` without ``ecr:DescribeRegistry``."""
    registry.authorize(caller, "ecr:DescribeRegistry", None)
    store, meta = registry.store, registry.store.meta
    with meta.read() as txn:
        return Usage(
            meta.repositories.count(txn),
            meta.images.alive.bytes.count(txn),
            meta.tags.alive.bytes.count(txn),
            meta.blobs.rows.bytes.count(txn),
            store.space.free(),
            (store.path / "meta" / "data.mdb").stat().st_size,
            (store.path / "chunks" / "data.mdb").stat().st_size,
            len(registry.sessions),
        )
