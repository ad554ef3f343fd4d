"""One upload in memory."""

from dataclasses import dataclass, field

import trio

from node.store.ingest import Ingest
from protocol.oci.names import RepositoryName


@dataclass(slots=True)
class Parts:
    """What came by ``UploadLayerPart``, of which each part but the last has a least size."""

    count: int = 0
    last: int = 0  # Bytes of the last one.
    has_small: bool = False  # One that is too small was followed by another.


@dataclass(slots=True, eq=False)
class Session:
    """An upload that someone feeds, or did a while ago."""

    repository: RepositoryName
    owner: str  # Unique id of who began it, or the ARN of root.
    ingest: Ingest
    begun: float  # Seconds since 1970, UTC.
    touched: float
    is_saved: bool = False
    """The store has a row of it, which brings its chunks to their end; without one whoever forgets it has to."""
    parts: Parts = field(default_factory=Parts)
    domain: bytes = b""  # Of the repository: see ``store.copies``.
    client: str = ""  # Address of who feeds it.
    expected: int | None = None  # Bytes that there will be when the request that feeds it has ended.
    lock: trio.Lock = field(default_factory=trio.Lock)
