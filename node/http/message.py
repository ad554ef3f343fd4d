"""What a handler is given and what it returns. The engine's two protocol versions share these.

A body that is sent in pieces may hold *extents*: byte ranges of an open file, which the engine sends without
copying (``sendfile``) where the connection allows it and reads with ``preadv`` where it does not.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeAlias

import msgspec

from node.telemetry.tracing import Span


class Body(Protocol):
    """The body of a request, read on demand: what nobody receives holds up the sender, by flow control."""

    @property
    def length(self) -> int | None:
        """Bytes announced by Content-Length; ``None`` for a chunked body or one of unknown length."""

    async def receive(self) -> bytes:
        """Return the next bytes, at most 64 KiB; ``b""`` once at the end.

        Sends ``100 Continue`` first where the client waits for it. Raises ``trio.BrokenResourceError`` where the
        client went away before the end.
        """

    async def receive_into(self, buffer: memoryview) -> int:
        """Fill *buffer* from its start and return how many bytes were written; fewer than its size at the end only.

        The fast way for large bodies: plain HTTP/1.1 receives from the socket straight into *buffer*.
        """


class Request(msgspec.Struct):
    """One request, after its head was parsed and checked against the engine's limits."""

    method: str
    path: str  # Percent-decoded once; begins with a slash.
    query: tuple[tuple[str, str], ...]  # Decoded, in order, repeated names kept.
    headers: dict[str, str]  # Lower-case names; repeated fields are joined by ", ".
    body: Body
    scheme: str  # ``http`` or ``https``.
    host: str  # Host or :authority, checked against a strict grammar; never empty.
    version: str  # ``1.1`` or ``2``.
    client: str  # Address without port; empty on a Unix socket.
    id: str  # Opaque, also sent back as ``x-request-id``.
    certificate: bytes | None = None  # The client's certificate in DER, where TLS asked for one.
    params: dict[str, str] = {}  # What the router took out of the path.
    route: str = ""  # The pattern that the path fits, once an application has found it.
    target: str = ""  # As it came, percent-encoded, with its query.
    span: Span | None = None  # What of a trace the request is; ends when it is observed.

    def parameters(self, name: str) -> list[str]:
        """Return every value that the query has under *name*, in order."""
        return [value for key, value in self.query if key == name]


class _NoBody:
    """That of a request whose head was refused."""

    length: int | None = 0

    async def receive(self) -> bytes:
        return b""

    async def receive_into(self, buffer: memoryview) -> int:  # noqa: ARG002 - the form of a body.
        return 0


def unread_request(client: str, number: str, *, scheme: str, version: str, body: Body | None = None) -> Request:
    """Return what stands in for a request whose head was refused: enough to answer it, and to say so."""
    return Request("-", "-", (), {}, body or _NoBody(), scheme, "", version, client, number)


class Extent(msgspec.Struct, frozen=True):
    """*length* bytes from *offset* of the open file *fd*."""

    fd: int
    offset: int
    length: int
    is_resident: bool = False  # In the page cache a moment ago: sending it will not wait for the disk.
    is_followed: bool = False  # By another one that is resident: asking for it will not wait for anything.


Piece: TypeAlias = bytes | Extent


class Pieces(msgspec.Struct):
    """A body that is sent piece by piece.

    The engine asks for the next piece when the one before is handed to the kernel. An exception from the iterator
    breaks the connection (or resets the stream): a short body never ends as if whole.
    """

    iterator: AsyncIterator[Piece]
    length: int | None  # Bytes in all, for Content-Length; ``None`` where it is not known beforehand.
    release: Callable[[], None] | None = None
    """Called once, when no byte of an extent can be in the socket's send queue any more: not before."""


class Response(msgspec.Struct):
    """A response. The engine adds ``content-length``, ``date`` and ``x-request-id``.

    To HEAD the engine answers with the head that GET would have had and sends no body. A handler that does not make
    the body for HEAD sets ``content-length`` itself.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()  # Lower-case names.
    body: bytes | Pieces = b""


Application: TypeAlias = Callable[[Request], Awaitable[Response]]
"""Answers every request. What it raises is a bug: a bare 500, and a traceback in the log."""


class Answered(msgspec.Struct, frozen=True):
    """What the access log and the metrics are told when a response has ended."""

    request: Request
    status: int  # 499 where the client went away before the head was sent.
    sent: int  # Bytes of body.
    seconds: float  # From the last byte of the request's head to the end of the response.
    refused: bool = False  # By the engine, before a handler saw it: there may be no method and no path.


Trusts: TypeAlias = Callable[[Request, int], bool]
"""``trusts(request, status)``: whether an answer shows that the client is known. Its connection gets more then."""


def is_answered_well(request: Request, status: int) -> bool:  # noqa: ARG001 - the form of ``Trusts``.
    """Trust whoever a handler had an answer for: where nobody logs in, there is nothing else to go by."""
    return status < 400


Observe: TypeAlias = Callable[[Answered], None]
