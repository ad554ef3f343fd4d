"""What this node answers to the calls of other nodes: see ``protocol.wire.transfer`` for the table."""

from collections.abc import AsyncIterator
from functools import partial

import structlog
import trio

from node.http.message import Extent, Piece, Pieces
from node.peers.calls import Peer, Reply
from node.peers.fetch import Fetcher
from node.peers.images import fetch_image
from node.registry.elsewhere import OpenBlob
from node.registry.receiving import into_repository, is_taken, prepare_arrival, take_image
from node.registry.registry import Registry
from node.registry.serving import caller_of, open_chunks, send_manifest, send_map
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import Busy, Damaged, Denied, KeyUnusable, PeerFault, Refusal
from protocol.oci.names import RepositoryName
from protocol.oci.reference import reference
from protocol.wire import transfer
from protocol.wire.transfer import (
    Acknowledgement,
    Announcement,
    ChunksAsked,
    WhichBlob,
    WhichManifest,
    decode,
    encode,
)

_ACTIONS = {
    transfer.MANIFEST: "ecr:BatchGetImage",
    transfer.MAP: "ecr:GetDownloadUrlForLayer",
    transfer.CHUNKS: "ecr:GetDownloadUrlForLayer",
    transfer.ANNOUNCE: "ecr:ReplicateImage",
}
"""What a call is in the audit."""
_AT_ONCE = 16  # Announced images that are fetched side by side; the rest waits.

log = structlog.get_logger()


class Exchange:
    """Answers calls. *fetcher* gets what an announced image lacks."""

    def __init__(self, registry: Registry, fetcher: Fetcher) -> None:
        self._registry = registry
        self._fetcher = fetcher
        self._at_once = trio.CapacityLimiter(_AT_ONCE)

    async def answer(self, peer: Peer, method: str, body: bytes) -> Reply:
        """Return the reply to one call; a ``Refusal`` becomes one as well, ``PeerFault`` ends the session."""
        try:
            return await self._answer(peer, method, body)
        except Refusal as refusal:
            self._registry.notes_of_audit.refused(caller_of(peer.name), _ACTIONS.get(method, ""), "", refusal)
            raise
        except Damaged as damage:  # Another node may have it whole.
            log.warning("cannot serve a node", peer=str(peer.name), damaged=str(damage))
            return Reply(503, b"what was asked for is damaged here")

    async def _answer(self, peer: Peer, method: str, body: bytes) -> Reply:
        match method:
            case transfer.MANIFEST:
                asked = decode(body, WhichManifest)
                sent = await send_manifest(self._registry, peer.name, asked.repository, reference(asked.reference))
                self._note(peer, method, asked.repository)
                return Reply(200, encode(sent))
            case transfer.MAP:
                which = decode(body, WhichBlob)
                return Reply(200, encode(await send_map(self._registry, peer.name, which.repository, which.digest)))
            case transfer.CHUNKS:
                chunks = decode(body, ChunksAsked)
                blob = await open_chunks(self._registry, peer.name, chunks.repository, chunks.digest)
                self._note(peer, method, chunks.repository)
                return Reply(200, _from(blob, chunks.first * CHUNK_SIZE, chunks.count * CHUNK_SIZE or blob.size))
            case transfer.ANNOUNCE:
                return Reply(200, encode(await self._take(peer, decode(body, Announcement))))
            case _:
                return Reply(404, b"no such method")

    def _note(self, peer: Peer, method: str, name: RepositoryName) -> None:
        self._registry.notes_of_audit.note(caller_of(peer.name), _ACTIONS[method], name)

    async def _take(self, peer: Peer, announced: Announcement) -> Acknowledgement:
        if announced.source != str(peer.registry):
            raise PeerFault(f"{peer.name} announces an image of {announced.source}")
        if str(self._registry.name) in announced.path:
            return Acknowledgement("done")  # It came round in a circle.
        caller = caller_of(peer.name)
        try:
            # Before anything is fetched for it.
            self._registry.authorize(caller, "ecr:ReplicateImage", announced.repository)
            if not is_taken(self._registry, announced):
                self._registry.gate.require_open()  # Before anything is fetched that could not be kept.
                async with self._at_once:
                    await prepare_arrival(self._registry, caller, announced.repository)
                    into = partial(into_repository, self._registry, announced.repository)
                    manifests = await fetch_image(self._fetcher, peer.registry, announced, into)
                    await take_image(self._registry, caller, announced, manifests)
        except Denied as refusal:
            self._registry.notes_of_audit.refused(caller, "ecr:ReplicateImage", announced.repository, refusal)
            return Acknowledgement("failed", "AccessDenied", str(refusal)[:512])
        except Busy as refusal:
            return Acknowledgement("later", reason=str(refusal)[:512])
        except Damaged as damage:  # A row that the image needs; it is being mended.
            return Acknowledgement("later", reason=f"damaged here: {damage}"[:512])
        except (Refusal, PeerFault) as error:
            log.warning("replication refused", image=announced.digest, source=announced.source, reason=str(error))
            code = "KmsError" if isinstance(error, KeyUnusable) else "InternalError"
            return Acknowledgement("failed", code, str(error)[:512])
        return Acknowledgement("done")


def _from(blob: OpenBlob, start: int, most: int) -> Pieces:
    length = min(most, max(0, blob.size - start))
    return Pieces(_pieces(blob, start, length), length, blob.release)


async def _pieces(blob: OpenBlob, start: int, length: int) -> AsyncIterator[Piece]:
    if length:
        async for one in blob.read(start, length):
            yield one if isinstance(one, bytes) else Extent(blob.fd, one.offset, one.length, is_resident=True)
