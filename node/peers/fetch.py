"""Fetching a blob from the nodes of another registry, once for all who want it.

The chunk map comes first, then one bulk call streams the chunks from the nearest node, and each goes through
``registry.transit``: compared, written, readable. When a node is lost the next one goes on at the chunk where it
stopped. The fetch runs in the mesh's nursery, not in the request that wanted it: a client that goes away stops nobody.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog
import trio

from node.peers.session import Session
from node.registry.transit import Into, Transit, Transits
from node.telemetry.tracing import span
from protocol.auth.names import RegistryName
from protocol.blobs.chunkmap import ChunkMap
from protocol.errors import BlobUnknown, Damaged, Denied, NoSource, PeerFault, Refusal
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName
from protocol.sync.entries import Blob
from protocol.wire.transfer import CHUNKS, MAP, MAX_MAP, ChunksAsked, MapSent, WhichBlob, decode, encode

ANSWER = 60.0  # Seconds for a manifest or a chunk map.
STALL = 300.0  # Seconds for a chunk, at the least: a link of 4 kB/s still makes it.
_TRIES = 8  # Without a chunk more between them.
_PAUSE = 1.0  # Seconds before the second try; it doubles.
_MAX_REASON = 1024  # Bytes of a refusal.
_MAX_TOGETHER = 64  # Blobs that are fetched at once; the rest waits.

SessionsTo: TypeAlias = Callable[[RegistryName], list[Session]]
"""The sessions with nodes of a registry, nearest first."""

ReceiveInto: TypeAlias = Callable[[memoryview], Awaitable[int]]
"""``await receive_into(view)``: fills *view* and returns how much came; fewer than its size at the end only."""

log = structlog.get_logger()


class Fetcher:
    """All fetches of this node; they run in *nursery*."""

    def __init__(self, transits: Transits, sessions_to: SessionsTo, nursery: trio.Nursery) -> None:
        self._transits = transits
        self._sessions_to = sessions_to
        self._nursery = nursery
        self._starting: dict[Digest, trio.Event] = {}
        self.reading = trio.CapacityLimiter(1)
        """For the thread that reads a large manifest."""
        self._together = trio.CapacityLimiter(_MAX_TOGETHER)

    async def blob(
        self, source: RegistryName, name: RepositoryName, digest: Digest, root: bytes | None, into: Into
    ) -> Transit | None:
        """Return the transit of a blob, begun if it has to be; ``None`` where the blob is here by now.

        Args:
            source: the registry to ask.
            name: of the repository there.
            digest: of the blob.
            root: of its chunk map, where an entry of *source* says so.
            into: how the repository here that it is for keeps its bytes.

        Raises:
            NoSource: no node of *source* can be asked now.
            BlobUnknown: it has no such blob, or not for us.
            StoreFull: there is no room.
            PeerFault: its chunk map is not the one of *root*.
        """
        copy = into.copy(digest)
        while True:
            if self._transits.is_here(copy):
                return None
            transit = self._transits.get(copy)
            if transit is not None:
                return transit
            if copy not in self._starting:
                return await self._begin(source, name, digest, root, into)
            await self._starting[copy].wait()

    async def map_of(self, source: RegistryName, name: RepositoryName, digest: Digest) -> ChunkMap:
        """Return the chunk map of a blob; raises as ``blob``. An answer says that we may have it."""
        return await ask_map(self.session(source), name, digest)

    def session(self, source: RegistryName) -> Session:
        """Return the nearest session, or raise ``NoSource``."""
        sessions = self._sessions_to(source)
        if not sessions:
            raise NoSource(f"no node of {source} is in reach")
        return sessions[0]

    async def _begin(
        self, source: RegistryName, name: RepositoryName, digest: Digest, root: bytes | None, into: Into
    ) -> Transit:
        copy = into.copy(digest)
        self._starting[copy] = trio.Event()
        try:
            chunk_map = await self.map_of(source, name, digest)
            blob = Blob(digest, chunk_map.size, chunk_map.root if root is None else root)
            transit = self._transits.begin(blob, chunk_map, into)
            self._nursery.start_soon(self._run, transit, source, name)
            return transit
        finally:
            self._starting.pop(copy).set()

    async def _run(self, transit: Transit, source: RegistryName, name: RepositoryName) -> None:
        """Fetch to the end. Nothing that goes wrong here leaves this function: it would end the node."""
        reason = "the node is stopping"
        try:
            async with self._together:
                with span("fetch", blob=transit.blob.digest, bytes=transit.blob.size, source=str(source)):
                    await self._fill(transit, source, name)
                await transit.complete()
        except (Refusal, PeerFault, Damaged) as error:
            reason = str(error)
            log.warning("fetch failed", blob=transit.blob.digest, source=str(source), reason=reason)
        except Exception:  # The root of this task.
            reason = "a bug; the log of this node says more"
            log.exception("bug")
        finally:
            if not transit.ended.is_set():
                transit.fail(reason)

    async def _fill(self, transit: Transit, source: RegistryName, name: RepositoryName) -> None:
        tries, before = 0, -1
        while True:
            tries, before = (tries + 1, before) if transit.next_chunk == before else (1, transit.next_chunk)
            body = encode(ChunksAsked(name, transit.blob.digest, transit.next_chunk))
            try:
                async with self.session(source).call(CHUNKS, body, bulk=True) as reply:
                    if reply.status != 200:
                        raise refusal(reply.status, await reply.read(_MAX_REASON))
                    await transit.fill(patient(reply.receive_into, STALL))
                    return
            except (trio.BrokenResourceError, NoSource) as error:
                if tries == _TRIES:
                    raise NoSource(f"{source} did not send it: {error}") from error
            await trio.sleep(_PAUSE * 2 ** (tries - 1))


def patient(receive_into: ReceiveInto, patience: float) -> ReceiveInto:
    """Return a source that breaks off where *receive_into* takes longer than *patience* seconds to fill a buffer."""

    async def receive(view: memoryview) -> int:
        with trio.move_on_after(patience):
            return await receive_into(view)
        raise trio.BrokenResourceError(f"nothing more came within {patience:g} s")

    return receive


async def ask_map(session: Session, name: RepositoryName, digest: Digest) -> ChunkMap:
    """Return the chunk map of a blob that a node has; raises as ``ask``, and ``PeerFault`` where it is none."""
    sent = decode(await ask(session, MAP, encode(WhichBlob(name, digest)), MAX_MAP + 64, patience=ANSWER), MapSent)
    return ChunkMap(sent.size, tuple(sent.hashes[at : at + 32] for at in range(0, len(sent.hashes), 32)))


async def ask(session: Session, method: str, body: bytes, limit: int, *, patience: float) -> bytes:
    """Return the whole reply to a call, which may take *patience* seconds.

    Raises:
        Refusal: what the other side refused.
        NoSource: the session ended before the reply did, or it did not come in time.
        PeerFault: the reply has more than *limit* bytes.
    """
    try:
        with trio.move_on_after(patience):
            async with session.call(method, body) as reply:
                data = await reply.read(limit if reply.status == 200 else _MAX_REASON)
            if reply.status != 200:
                raise refusal(reply.status, data)
            return data
    except trio.BrokenResourceError as error:
        raise NoSource(f"the session with {session.peer.name} ended: {error}") from error
    raise NoSource(f"{session.peer.name} did not answer within {patience:g} s")


def refusal(status: int, message: bytes) -> Refusal:
    """Return what a refusal of another node means here."""
    text = message.decode(errors="replace")
    match status:
        case 404:
            return BlobUnknown(text)
        case 401 | 403:
            return Denied(text)
        case _:
            return NoSource(text)
