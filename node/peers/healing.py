"""What is damaged here is asked of other nodes: single chunks, chunk maps, manifests.

Every node in reach may have it that we are allowed to ask: those of the own account, and the registry that a repository
is pulled through from, which knows it by another name. What comes is compared by who asked, so a node that has it
damaged, too, or lies, costs one answer.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from node.peers.fetch import ANSWER, STALL, ask, ask_map, patient
from node.peers.mesh import Mesh
from node.peers.session import Session
from node.registry.pullthrough import Upstreams
from node.registry.registry import Registry
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import PeerFault, Refusal
from protocol.oci.digest import Digest, algorithm, digest_of
from protocol.oci.names import RepositoryName
from protocol.wire.transfer import (
    CHUNKS,
    MANIFEST,
    MAX_MANIFEST_SENT,
    ChunksAsked,
    ManifestSent,
    WhichManifest,
    decode,
    encode,
)

Found = TypeVar("Found")


class Healing:
    """Asks the nodes of *mesh*; its functions are those of ``registry.elsewhere.Elsewhere``."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._upstreams = Upstreams()

    async def chunk(
        self, registry: Registry, names: Sequence[RepositoryName], digest: Digest, root: bytes, index: int
    ) -> bytes | None:
        """Return a chunk from the first node whose chunk map is ours, or any if *root* is empty; ``None``: none has."""

        async def from_one(session: Session, there: RepositoryName) -> bytes | None:
            chunk_map = await ask_map(session, there, digest)
            if root and chunk_map.root != root:
                return None
            buffer = bytearray(min(CHUNK_SIZE, chunk_map.size - index * CHUNK_SIZE))
            body = encode(ChunksAsked(there, digest, index, 1))
            async with session.call(CHUNKS, body, bulk=True) as reply:
                if reply.status != 200:
                    return None
                with memoryview(buffer) as view:
                    came = await patient(reply.receive_into, STALL)(view)
            return bytes(buffer) if came == len(buffer) else None

        return await self._first(registry, names, from_one)

    async def chunk_map(
        self, registry: Registry, names: Sequence[RepositoryName], digest: Digest, root: bytes
    ) -> bytes:
        """Return the hashes of the chunk map with this root; nothing where no node has it."""

        async def from_one(session: Session, there: RepositoryName) -> bytes | None:
            chunk_map = await ask_map(session, there, digest)
            return b"".join(chunk_map.hashes) if chunk_map.root == root else None

        return await self._first(registry, names, from_one) or b""

    async def manifest_bytes(self, registry: Registry, names: Sequence[RepositoryName], digest: Digest) -> bytes | None:
        """Return the bytes of a manifest; ``None`` where no node has it."""

        async def from_one(session: Session, there: RepositoryName) -> bytes | None:
            body = encode(WhichManifest(there, digest))
            sent = decode(await ask(session, MANIFEST, body, MAX_MANIFEST_SENT, patience=ANSWER), ManifestSent)
            return sent.data if digest_of(sent.data, algorithm(digest)) == digest else None

        return await self._first(registry, names, from_one)

    async def _first(
        self,
        registry: Registry,
        names: Sequence[RepositoryName],
        from_one: Callable[[Session, RepositoryName], Awaitable[Found | None]],
    ) -> Found | None:
        for session, there in self._sources(registry, names):
            try:
                found = await from_one(session, there)
            except (Refusal, PeerFault, trio.BrokenResourceError):  # It has none, or nothing for us.
                continue
            if found is not None:
                return found
        return None

    def _sources(self, registry: Registry, names: Sequence[RepositoryName]) -> list[tuple[Session, RepositoryName]]:
        found: list[tuple[Session, RepositoryName]] = []
        for session in self._mesh.sessions():
            if session.peer.registry.account != registry.name.account:
                continue
            for name in names:
                upstream = self._upstreams.of(registry, name)
                if upstream is not None and upstream[0] == session.peer.registry:
                    found.append((session, upstream[1]))
                found.append((session, name))
        return found
