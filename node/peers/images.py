"""Fetching a whole image from another registry: its manifests, down to the last child, and all their blobs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from node.peers.fetch import ANSWER, Fetcher, ask
from node.registry.images import PreparedManifest, prepare_manifest
from node.registry.transit import Into
from protocol.auth.names import RegistryName
from protocol.errors import DigestInvalid, ManifestInvalid, NoSource, PeerFault, Refusal
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName
from protocol.oci.reference import Reference
from protocol.sync.entries import Blob
from protocol.wire.transfer import (
    MANIFEST,
    MAX_MANIFEST_SENT,
    Announcement,
    ManifestSent,
    WhichManifest,
    decode,
    encode,
)

MAX_DEPTH = 8  # Indexes within indexes.
MAX_MANIFESTS = 1024  # Of one image.
_AT_ONCE = 4  # Blobs of one image that are fetched side by side: their chunks come by one connection each.


async def ask_manifest(
    fetcher: Fetcher, source: RegistryName, name: RepositoryName, reference: Reference
) -> ManifestSent:
    """Return a manifest of another registry; its bytes are not looked at yet. Raises as ``fetch.ask``."""
    body = encode(WhichManifest(name, reference))
    return decode(await ask(fetcher.session(source), MANIFEST, body, MAX_MANIFEST_SENT, patience=ANSWER), ManifestSent)


async def fetch_image(
    fetcher: Fetcher, source: RegistryName, announced: Announcement, into: Callable[[], Into]
) -> list[PreparedManifest]:
    """Fetch all that an announced image lacks here, and return its manifests, deepest first.

    Args:
        fetcher: of this node.
        source: where the image is.
        announced: what was said of it.
        into: asked for each blob how its repository here keeps it.

    Raises:
        NoSource: the source cannot be reached, or has not got all of it.
        PeerFault: it sent what does not fit.
        StoreFull: there is no room.
    """
    manifests = await _manifests(fetcher, source, announced)
    wanted: dict[Digest, Blob] = {}
    for sent, prepared in manifests:
        roots = {one.digest: one for one in sent}
        for blob in prepared.manifest.blobs:
            if blob.digest in roots:
                wanted[blob.digest] = roots[blob.digest]
            elif not blob.is_foreign:
                raise NoSource(f"{source} has not got {blob.digest}, which {prepared.digest} names")
    fetching = _Fetching(fetcher, source, announced.repository, into)
    async with trio.open_nursery() as nursery:
        for one in wanted.values():
            nursery.start_soon(_fetch, fetching, one)
    for failure in fetching.failures:
        raise failure
    return [prepared for _, prepared in manifests]


@dataclass(frozen=True, slots=True)
class _Fetching:
    fetcher: Fetcher
    source: RegistryName
    name: RepositoryName
    into: Callable[[], Into]
    limiter: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(_AT_ONCE))
    failures: list[Exception] = field(default_factory=list)


async def _fetch(fetching: _Fetching, blob: Blob) -> None:
    async with fetching.limiter:
        if fetching.failures:
            return
        try:
            transit = await fetching.fetcher.blob(
                fetching.source, fetching.name, blob.digest, blob.root, fetching.into()
            )
            if transit is not None:
                await transit.ended.wait()
                if transit.failure:
                    raise NoSource(transit.failure)
        except (Refusal, PeerFault) as error:
            fetching.failures.append(error)


async def _manifests(
    fetcher: Fetcher, source: RegistryName, announced: Announcement
) -> list[tuple[Sequence[Blob], PreparedManifest]]:
    """Return (blobs with roots, manifest) of the image and all below it, deepest first."""
    own = ManifestSent(announced.digest, announced.media_type, announced.manifest, announced.blobs, announced.hlc)
    if not announced.manifest:
        own = await ask_manifest(fetcher, source, announced.repository, announced.digest)
    found = {announced.digest: (own.blobs, await _prepared(fetcher, own, announced.digest))}
    level = [announced.digest]
    for _ in range(MAX_DEPTH):
        children = {one.digest for digest in level for one in found[digest][1].manifest.children}
        level = [one for one in children if one not in found]
        if len(found) + len(level) > MAX_MANIFESTS:
            raise PeerFault(f"{announced.digest} names more than {MAX_MANIFESTS} manifests")
        for digest in level:
            sent = await ask_manifest(fetcher, source, announced.repository, digest)
            found[digest] = (sent.blobs, await _prepared(fetcher, sent, digest))
    if level:
        raise PeerFault(f"{announced.digest} is more than {MAX_DEPTH} indexes deep")
    return list(reversed(found.values()))


async def _prepared(fetcher: Fetcher, sent: ManifestSent, digest: Digest) -> PreparedManifest:
    try:
        return await prepare_manifest(sent.data, sent.media_type, digest, reading=fetcher.reading)
    except (DigestInvalid, ManifestInvalid) as error:
        raise PeerFault(f"the manifest that was sent for {digest} is not it: {error}") from error
