"""What this node gives to other nodes: manifests with the roots of their blobs, chunk maps, chunks.

A node acts as the root of its account. Within an account regions trust one another; another account needs what it
would need as any client of another account does, a policy of the repository or of the registry. What a replication rule
sends to another registry that one may fetch: the rule is the consent of this side.
"""

from contextlib import suppress

from node.registry.blobs import find_blob, renew_blob
from node.registry.content import map_of, opened_content
from node.registry.elsewhere import OpenBlob
from node.registry.manifests import local_manifest
from node.registry.registry import Registry
from node.registry.replication import is_destination
from node.registry.sealing import chunked, data_key
from protocol.auth.caller import Caller, root_of
from protocol.auth.names import NodeName
from protocol.errors import BlobUnknown, Busy, ManifestUnknown
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName
from protocol.oci.reference import Reference
from protocol.wire.transfer import ManifestSent, MapSent


def caller_of(peer: NodeName) -> Caller:
    """Return the caller that a node is: the root of its account."""
    return Caller(root_of(peer.registry.account), peer.registry.account, user_name=str(peer))


def _authorize_fetch(registry: Registry, peer: NodeName, action: str, name: RepositoryName) -> None:
    if peer.registry.account == registry.name.account or not is_destination(registry, name, peer.registry):
        registry.authorize(caller_of(peer), action, name)


async def send_manifest(registry: Registry, peer: NodeName, name: RepositoryName, reference: Reference) -> ManifestSent:
    """Return a manifest that is here, with the roots of the blobs that it names and that are here.

    Raises:
        Denied: the node may not ask.
        ManifestUnknown: there is none.
    """
    _authorize_fetch(registry, peer, "ecr:BatchGetImage", name)
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
    _authorize_fetch(registry, peer, "ecr:GetDownloadUrlForLayer", name)
    await _renewed(registry, name, digest)
    meta = registry.store.meta
    with meta.read() as txn:
        row = meta.repositories.get(txn, name)
        blob = None if row is None else meta.blobs.visible(txn, row.number, digest)
        if blob is None:
            raise BlobUnknown(f"no blob {digest} in {name}")
        assert row is not None  # It sees the blob.
        copy = meta.blobs.copy(txn, row.number, digest)
        key = data_key(registry, txn, row.number, copy, blob)
        if blob.number:
            hashes = chunked(registry, txn, blob, key).hashes
        else:
            hashes = map_of(opened_content(key, blob.size, meta.blobs.content(txn, copy)))
    return MapSent(blob.size, hashes)


async def open_chunks(registry: Registry, peer: NodeName, name: RepositoryName, digest: Digest) -> OpenBlob:
    """Return a blob that the repository sees, to be read; the caller releases it.

    Raises:
        Denied: the node may not ask.
        BlobUnknown: there is none.
    """
    _authorize_fetch(registry, peer, "ecr:GetDownloadUrlForLayer", name)
    await _renewed(registry, name, digest)
    blob = find_blob(registry, name, digest)
    if blob is None:
        raise BlobUnknown(f"no blob {digest} in {name}")
    return registry.readings.watched(blob, "serve", name, digest, str(peer))


async def _renewed(registry: Registry, name: RepositoryName, digest: Digest) -> None:
    """Keep the blob for as long as HEAD would; a node whose disk is full gives what it has all the same."""
    with suppress(Busy):
        await renew_blob(registry, name, digest)
