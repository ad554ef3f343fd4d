"""What this node gives to other nodes: manifests with the roots of their blobs, chunk maps, chunks.

Only nodes of the own account may ask: within an account regions trust one another, others need a policy.
"""

from contextlib import suppress

from blake3 import blake3

from node.registry.blobs import find_blob, renew_blob
from node.registry.elsewhere import OpenBlob
from node.registry.images import local_manifest
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.auth.names import NodeName
from protocol.errors import BlobUnknown, Busy, Denied, ManifestUnknown
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName
from protocol.oci.reference import Reference
from protocol.wire.transfer import ManifestSent, MapSent


def caller_of(registry: Registry, peer: NodeName) -> Caller:
    """Return the caller that a node is, or raise ``Denied`` where it may ask for nothing."""
    if peer.registry.account != registry.name.account:
        raise Denied(f"registry {registry.name} has no policy for account {peer.registry.account}")
    return Caller(f"arn:aws:ecr:{peer.registry.region}:{peer.registry.account}:node/{peer.node}", peer.registry.account)


async def send_manifest(registry: Registry, peer: NodeName, name: RepositoryName, reference: Reference) -> ManifestSent:
    """Return a manifest that is here, with the roots of the blobs that it names and that are here.

    Raises:
        Denied: the node may not ask.
        ManifestUnknown: there is none.
    """
    registry.authorize(caller_of(registry, peer), "ecr:BatchGetImage", name)
    stored = await local_manifest(registry, name, reference)  # Here, not elsewhere: two rules could make a circle.
    if stored is None:
        raise ManifestUnknown(f"no manifest {reference} in {name}")
    meta = registry.store.meta
    with meta.read() as txn:
        row = meta.repositories.get(txn, name)
        state = None if row is None else meta.images.get(txn, row.number, stored.digest)
    if state is None or state.shown is None:
        raise ManifestUnknown(f"no manifest {reference} in {name}")
    return ManifestSent(stored.digest, stored.media_type, stored.data, state.shown.value.blobs, state.shown.hlc)


async def send_map(registry: Registry, peer: NodeName, name: RepositoryName, digest: Digest) -> MapSent:
    """Return the chunk map of a blob that the repository sees.

    Raises:
        Denied: the node may not ask.
        BlobUnknown: there is none.
    """
    registry.authorize(caller_of(registry, peer), "ecr:GetDownloadUrlForLayer", name)
    await _renewed(registry, name, digest)
    meta = registry.store.meta
    with meta.read() as txn:
        row = meta.repositories.get(txn, name)
        blob = None if row is None else meta.blobs.visible(txn, row.number, digest)
        if blob is None:
            raise BlobUnknown(f"no blob {digest} in {name}")
        hashes = meta.blobs.hashes(txn, blob) if blob.number else map_of(meta.blobs.content(txn, digest))
    return MapSent(blob.size, hashes)


async def open_chunks(registry: Registry, peer: NodeName, name: RepositoryName, digest: Digest) -> OpenBlob:
    """Return a blob that the repository sees, to be read; the caller releases it.

    Raises:
        Denied: the node may not ask.
        BlobUnknown: there is none.
    """
    registry.authorize(caller_of(registry, peer), "ecr:GetDownloadUrlForLayer", name)
    await _renewed(registry, name, digest)
    blob = find_blob(registry, name, digest)
    if blob is None:
        raise BlobUnknown(f"no blob {digest} in {name}")
    return registry.readings.watched(blob, "serve", name, digest, str(peer))


async def _renewed(registry: Registry, name: RepositoryName, digest: Digest) -> None:
    """Keep the blob for as long as HEAD would; a node whose disk is full gives what it has all the same."""
    with suppress(Busy):
        await renew_blob(registry, name, digest)


def map_of(content: bytes) -> bytes:
    """Return the chunk map of a small blob: it is one chunk, or none where it is empty."""
    return blake3(content).digest() if content else b""
