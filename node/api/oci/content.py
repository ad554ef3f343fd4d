"""Bodies, ranges and conditions: what GET of a manifest and of a blob share.

Nothing that a client stored may run in a browser that is pointed at it, so every content answer says ``nosniff``, has a
policy under which nothing loads, and a blob is a download.

Source: RFC 9110, 13.2.2 (order of conditions), 14.6 (multipart/byteranges).
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeAlias

from node.api.oci.answer import VERSION
from node.http.message import Extent, Piece, Pieces, Request, Response
from protocol.oci.digest import Digest
from protocol.oci.ranges import (
    byte_ranges,
    content_range,
    etag_matches,
    if_match,
    if_range,
    part_end,
    part_head,
    strong_etag,
)

SAFE = (("x-content-type-options", "nosniff"), ("content-security-policy", "default-src 'none'; sandbox"))
"""On every answer that carries what a client stored."""
_BOUNDARY = "entrepot-part-7d1f9c4ab0e2"  # Fixed: a part's head is never looked for in the bytes of the content.
_FOREVER = ("cache-control", "max-age=31536000, immutable")  # What a digest names does not change.


class Located(Protocol):
    """A range of bytes in the file of the store."""

    @property
    def offset(self) -> int:
        """First byte."""

    @property
    def length(self) -> int:
        """How many."""

    @property
    def is_followed(self) -> bool:
        """Whether the next range is there as well, so that asking for it will not wait."""


Read: TypeAlias = Callable[[int, int], AsyncIterator[bytes | Located]]
"""``read(start, length)``: the bytes, as they are or as places in the store's file."""


def content_headers(digest: Digest, media_type: str, *, download: bool, immutable: bool) -> list[tuple[str, str]]:
    """Return the head of every answer that carries *digest*, or says that it need not."""
    headers = [
        ("content-type", media_type),
        ("docker-content-digest", digest),
        ("etag", strong_etag(digest)),
        VERSION,
        *SAFE,
    ]
    if download:
        headers += [("content-disposition", "attachment"), ("accept-ranges", "bytes")]
    if immutable:
        headers.append(_FOREVER)
    return headers


def unmodified(request: Request, digest: Digest) -> int:
    """Return 304 or 412 where a condition of the request is not met, else 0."""
    conditions = request.headers
    if "if-match" in conditions and not if_match(conditions["if-match"], strong_etag(digest)):
        return 412
    if "if-none-match" in conditions and etag_matches(conditions["if-none-match"], strong_etag(digest)):
        return 304
    return 0


def ranged(
    request: Request,
    headers: list[tuple[str, str]],
    digest: Digest,
    size: int,
    read: Read,
    *,
    fd: int,
    release: Callable[[], None],
) -> Response:
    """Answer GET or HEAD with what the request's Range asks for of *size* bytes; the whole without one.

    Raises:
        RangeUnsatisfiable: nothing was read, and *release* is the caller's to call.
    """
    wanted = None
    if "range" in request.headers and if_range(
        request.headers.get("if-range", strong_etag(digest)), strong_etag(digest)
    ):
        wanted = byte_ranges(request.headers["range"], size)
    if wanted is None:
        return Response(200, tuple(headers), whole(read, size, fd=fd, release=release))
    if len(wanted) == 1:
        [(start, length)] = wanted
        headers.append(("content-range", content_range(start, length, size)))
        return Response(206, tuple(headers), Pieces(_pieces(read, start, length, fd), length, release))
    media_type = next(value for name, value in headers if name == "content-type")
    heads = [part_head(_BOUNDARY, media_type, start, length, size) for start, length in wanted]
    total = sum(map(len, heads)) + sum(length for _, length in wanted) + len(part_end(_BOUNDARY))
    headers = [one for one in headers if one[0] != "content-type"]
    headers.append(("content-type", f"multipart/byteranges; boundary={_BOUNDARY}"))
    parts = _parts(read, list(zip(heads, wanted, strict=True)), fd)
    return Response(206, tuple(headers), Pieces(parts, total, release))


def whole(read: Read, size: int, *, fd: int, release: Callable[[], None]) -> Pieces:
    """Return all of what *read* gives as a body; *release* is called at its end."""
    return Pieces(_pieces(read, 0, size, fd), size, release)


async def _pieces(read: Read, start: int, length: int, fd: int) -> AsyncIterator[Piece]:
    if length:
        async for one in read(start, length):
            if isinstance(one, bytes):
                yield one
            else:
                yield Extent(fd, one.offset, one.length, is_resident=True, is_followed=one.is_followed)


async def _parts(read: Read, parts: list[tuple[bytes, tuple[int, int]]], fd: int) -> AsyncIterator[Piece]:
    for head, (start, length) in parts:
        yield head
        async for piece in _pieces(read, start, length, fd):
            yield piece
    yield part_end(_BOUNDARY)
