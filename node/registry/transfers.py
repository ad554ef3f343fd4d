"""What is under way: blobs on their way in and out, for whoever watches.

Uploads and blobs from other nodes are known anyway, and are looked up when somebody asks. Of blobs that are read only
those of more than a chunk are noted; that costs one addition for each chunk that goes out.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Literal, TypeAlias, cast

import msgspec

from node.registry.elsewhere import OpenBlob
from node.store.extents import Span
from protocol.blobs.chunkmap import CHUNK_SIZE

Way: TypeAlias = Literal["upload", "download", "fetch", "serve"]
"""From a client, to a client, from another node, to another node."""


class Transfer(msgspec.Struct, frozen=True):
    """One blob on its way."""

    id: str  # The same as long as it lasts.
    way: Way
    repository: str
    digest: str  # Empty for an upload: nobody knows it yet.
    client: str  # Address or node.
    moved: int  # Bytes.
    size: int | None  # Bytes in all, where that is known.
    seconds: float  # Since it began.


@dataclass(slots=True, eq=False)
class _Reading:
    way: Way
    repository: str
    digest: str
    client: str
    size: int
    id: str
    moved: int = 0
    began: float = field(default_factory=monotonic)


class Readings:
    """The blobs that are being read."""

    def __init__(self) -> None:
        self._under_way: set[_Reading] = set()
        self._ids = count(1)

    def watched(self, blob: OpenBlob, way: Way, repository: str, digest: str, client: str) -> OpenBlob:
        """Return *blob*, noted from now until it is released; a small one as it is."""
        if blob.size <= CHUNK_SIZE:
            return blob
        reading = _Reading(way, repository, digest, client, blob.size, f"r{next(self._ids)}")
        self._under_way.add(reading)

        async def read(start: int, length: int) -> AsyncIterator[bytes | Span]:
            async with aclosing(cast("AsyncGenerator[bytes | Span, None]", blob.read(start, length))) as pieces:
                async for piece in pieces:
                    reading.moved += len(piece) if isinstance(piece, bytes) else piece.length
                    yield piece

        def release() -> None:
            self._under_way.discard(reading)
            blob.release()

        return OpenBlob(blob.size, blob.fd, read, release)

    def transfers(self) -> list[Transfer]:
        """Return them, the oldest first."""
        now = monotonic()
        return [
            Transfer(one.id, one.way, one.repository, one.digest, one.client, one.moved, one.size, now - one.began)
            for one in sorted(self._under_way, key=lambda one: one.began)
        ]
