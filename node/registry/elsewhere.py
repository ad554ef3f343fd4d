"""What is not here and may be had from another registry: a seam that ``node.daemon`` fills.

``manifest`` and ``blob`` are asked after this node looked for itself, and answer ``None`` where no rule maps the
repository to another registry or that has no such thing either. ``refresh`` is asked about a tag that is here.
``chunk``, ``chunk_map`` and ``manifest_bytes`` are asked by who mends what is damaged here, of any node in reach.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from node.store.extents import Span
from protocol.auth.caller import Caller
from protocol.auth.names import RegistryName
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName


class StoredManifest(msgspec.Struct, frozen=True):
    """A manifest as it is served."""

    digest: Digest
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """A blob that is being read. Who opened it calls *release*, once, when no byte of it is on its way any more."""

    size: int  # Bytes.
    fd: int  # The file that spans lie in.
    read: Callable[[int, int], AsyncIterator[bytes | Span]]
    """``read(start, length)``: yields exactly these bytes, or raises ``Damaged`` or ``NoSource`` before the end."""
    release: Callable[[], None]


Refresh: TypeAlias = Callable[[Any, Caller, RepositoryName, TagName, Digest], Awaitable[StoredManifest | None]]
"""Given a tag and where it points here: the manifest that it points at elsewhere by now, ``None`` for the same."""

FindManifest: TypeAlias = Callable[[Any, Caller, RepositoryName, TagName | Digest], Awaitable[StoredManifest | None]]
FindBlob: TypeAlias = Callable[[Any, Caller, RepositoryName, Digest], Awaitable[OpenBlob | None]]


FindChunk: TypeAlias = Callable[[Any, Sequence[RepositoryName], Digest, bytes, int], Awaitable[bytes | None]]
"""Given repositories here that have a blob, its digest, the root of its chunk map, an index: that chunk of it."""

FindMap: TypeAlias = Callable[[Any, Sequence[RepositoryName], Digest, bytes], Awaitable[bytes]]
"""Given as ``FindChunk``: the chunk map with this root, 32 bytes for each chunk; nothing where nobody has it."""

FindBytes: TypeAlias = Callable[[Any, Sequence[RepositoryName], Digest], Awaitable[bytes | None]]
"""Given repositories here that have a manifest: its bytes, compared with the digest."""


Reaches: TypeAlias = Callable[[RegistryName], bool]
"""Whether a node of that registry is connected to this one."""


async def _no_bytes(*_: object) -> bytes | None:
    return None


async def _no_map(*_: object) -> bytes:
    return b""


async def _no_manifest(*_: object) -> StoredManifest | None:
    return None


async def _no_blob(*_: object) -> OpenBlob | None:
    return None


def _reaches_nobody(_registry: RegistryName) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where to look next; the default is nowhere. Each is given the ``Registry`` first."""

    manifest: FindManifest = _no_manifest
    blob: FindBlob = _no_blob
    refresh: Refresh = _no_manifest
    chunk: FindChunk = _no_bytes
    chunk_map: FindMap = _no_map
    manifest_bytes: FindBytes = _no_bytes
    reaches: Reaches = _reaches_nobody
