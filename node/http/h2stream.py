"""One request of an HTTP/2 connection, and its answer."""

import re
from collections.abc import Awaitable, Sequence
from time import perf_counter
from typing import Protocol, TypeAlias

import trio
from hpack import HeaderTuple, NeverIndexedHeaderTuple

from node.http.engine import Engine, refuse_foreign, request_id
from node.http.failures import OUR_FAULT, ClientGone, Rejected, error_body, error_response, is_gone
from node.http.frameguard import CANCEL, INTERNAL_ERROR, NO_ERROR
from node.http.h1guard import METHODS, SINGLE
from node.http.h2body import Http2Body
from node.http.h2flow import Window
from node.http.message import Answered, Extent, Piece, Pieces, Request, Response, unread_request
from node.http.outgoing import BodyBroken, close_iterator, next_piece
from node.http.responsehead import http_date, is_bodiless, stated
from node.http.target import parse_host, parse_target
from node.http.transport import Pace, Transport

SMALL = 16 * 1024  # A body up to this size goes out with its head, if the window takes it.

_VARYING = frozenset({"docker-content-digest", "etag", "location", "content-range", "link"})
"""Never indexed: each value is new, and would push what repeats out of the encoder's table."""
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_BREAKS = re.compile(r"[\r\n\0]")


Headers: TypeAlias = Sequence[HeaderTuple | tuple[str, str]]


class Connection(Protocol):
    """What a stream needs of its connection; see ``Http2Connection``."""

    engine: Engine
    transport: Transport
    hosts: frozenset[str] | None

    def reset(self, stream_id: int, code: int) -> None:
        """Queue a RST_STREAM, if the stream is still there."""

    def stalled(self) -> None:
        """Count a stream whose client stopped reading or sending."""

    def ended(self, stream: "Stream", *, finished: bool) -> None:
        """Forget *stream*: its task has ended; *finished*: with an answer to what was asked."""

    def trust(self) -> bool:
        """Give the client what known ones get."""

    def window(self, stream_id: int, left: int) -> int:
        """Return how many bytes the client takes now of a body with *left* to go; ``ClientGone`` if it is closed."""

    async def send_head(self, stream_id: int, headers: Headers, body: bytes = b"", *, ends: bool) -> None:
        """Send a head and, if the window takes it, a small *body*; *ends*: nothing follows."""

    async def send_body(self, stream_id: int, piece: Piece, at: int) -> int:
        """Send what the window takes of *piece* from *at*; return how many bytes."""

    async def end_body(self, stream_id: int) -> None:
        """Say that the body is complete."""

    async def acknowledge(self, stream: "Stream", size: int) -> None:
        """Let the client send *size* more bytes on *stream*."""

    async def write(self) -> None:
        """Send what is queued."""


class Stream:
    """Made when the request's head is there; ``serve`` is its task."""

    def __init__(
        self, connection: Connection, stream_id: int, headers: Sequence[tuple[bytes, bytes]], memory: int
    ) -> None:
        """*memory* is what *headers* cost, kept here for whoever counts it."""
        engine = connection.engine
        self.id = stream_id
        self.memory = memory
        self.lost = False  # The client went away; nothing can be sent.
        self.window_opened = trio.Event()
        self.window = Window(engine.limits.stream_window)  # What the client may send.
        self._connection = connection
        self._engine = engine
        self._scope = trio.CancelScope()
        self._pace = Pace(self._scope, engine.limits)
        self._sent = 0
        self._finished = False
        self.body = Http2Body(None, self._pace, self._acknowledge)
        self._rejected: Rejected | None = None
        transport = connection.transport
        self._request = unread_request(
            transport.client, request_id(), scheme=transport.scheme, version="2", body=self.body
        )
        self._request.certificate = transport.certificate
        try:
            self._request = self._parse(headers)
        except Rejected as rejected:
            self._rejected = rejected

    @property
    def is_refused(self) -> bool:
        """Whether no handler will see it."""
        return self._rejected is not None

    def lose(self) -> None:
        """The client reset the stream, or the connection ends: stop the handler."""
        self.lost = True
        self.body.lose()
        self._scope.cancel()

    async def serve(self) -> None:
        """Answer the request. Nothing that goes wrong here leaves this task but a cancellation from outside."""
        try:
            with self._scope:
                await self._answer()
            if self._scope.cancelled_caught and not self.lost:
                self._connection.stalled()
                self._connection.reset(self.id, CANCEL)
                await self._connection.write()
        except Exception as error:  # noqa: BLE001 - the root of the task: the other streams go on.
            if not is_gone(error):
                self._engine.report(error)
                self._connection.reset(self.id, INTERNAL_ERROR)
                await self._connection.write()
        finally:
            self._connection.ended(self, finished=self._finished)

    async def _answer(self) -> None:
        began = perf_counter()
        status = 499
        try:
            response = await self._response()
            status = response.status
            if isinstance(response.body, Pieces):
                status = await self._send_pieces(response, response.body)
            else:
                await self._send_bytes(response, response.body)
            self._finished = not self.is_refused
            # Only now: what takes no answer gives no reason to be given more.
            if self._finished and self._engine.trusts(self._request, status) and self._connection.trust():
                await self._connection.write()
        finally:
            seconds = perf_counter() - began
            self._engine.observe(Answered(self._request, status, self._sent, seconds, self.is_refused))
        if not self.body.ended:
            # RFC 9113, 8.1: the client may stop sending, and the answer stands.
            self._connection.reset(self.id, NO_ERROR)
            await self._connection.write()

    async def _response(self) -> Response:
        if self._rejected is not None:
            if self._rejected.limit:
                self._engine.hit(self._rejected.limit)
            return error_response(self._rejected.status, self._rejected.message)
        try:
            return await self._engine.application(self._request)
        except Exception as error:
            if is_gone(error):
                raise ClientGone from error
            self._engine.report(error)
            return error_response(500, OUR_FAULT)

    async def _send_bytes(self, response: Response, body: bytes) -> None:
        headers = self._headers(response)
        if not body or is_bodiless(self._request.method, response.status):
            await self._connection.send_head(self.id, headers, ends=True)
        elif len(body) <= min(SMALL, self._connection.window(self.id, len(body))):
            await self._connection.send_head(self.id, headers, body, ends=True)
            self._sent = len(body)
        else:
            await self._connection.send_head(self.id, headers, ends=False)
            await self._send_piece(body)
            await self._connection.end_body(self.id)

    async def _send_pieces(self, response: Response, pieces: Pieces) -> int:
        """Send *response*; return its status, or 500 where not even its first piece could be had."""
        try:
            if is_bodiless(self._request.method, response.status):
                await self._connection.send_head(self.id, self._headers(response), ends=True)
                return response.status
            try:
                # Before the head for an honest 500; but a body of unknown length may be a conversation.
                piece = None if pieces.length is None else await next_piece(pieces.iterator)
                headers = self._headers(response)
            except BodyBroken as broken:
                self._engine.report(broken)
                await self._send_bytes(error_response(500, OUR_FAULT), error_body(500, OUR_FAULT))
                return 500
            await self._connection.send_head(self.id, headers, ends=False)
            self.body.converse()
            if piece is None:
                piece = await next_piece(pieces.iterator)
            while piece is not None:
                await self._send_piece(piece, limit=pieces.length)
                piece = await next_piece(pieces.iterator)
            if pieces.length is not None and self._sent != pieces.length:
                raise BodyBroken(f"a body of {pieces.length} bytes ended after {self._sent}")
            await self._connection.end_body(self.id)
            return response.status
        finally:
            try:
                await close_iterator(pieces)
            finally:
                if pieces.release is not None:
                    pieces.release()  # All that was sent was copied.

    async def _send_piece(self, piece: Piece, limit: int | None = None) -> None:
        length = piece.length if isinstance(piece, Extent) else len(piece)
        if limit is not None and self._sent + length > limit:
            raise BodyBroken(f"a body of {limit} bytes goes on after them")
        at = 0
        while at < length:
            await self._wait_for_window(length - at)
            count = await self._connection.send_body(self.id, piece, at)
            self._pace.moved(count)
            at += count
            self._sent += count

    async def _wait_for_window(self, left: int) -> None:
        while not self._connection.window(self.id, left):
            self.window_opened = trio.Event()
            await self._pace.wait(self._window_opened)

    def _window_opened(self, _: int) -> Awaitable[None]:
        return self.window_opened.wait()

    async def _acknowledge(self, size: int) -> None:
        await self._connection.acknowledge(self, size)

    async def _continue(self) -> None:
        await self._connection.send_head(self.id, [(":status", "100")], ends=False)

    def _headers(self, response: Response) -> Headers:
        own, length = stated(self._request.method, response)
        headers: list[HeaderTuple | tuple[str, str]] = [(":status", str(response.status))]
        for name, value in own:
            if _BREAKS.search(value):
                raise ValueError("a header of a response has a line end in it")
            headers.append(NeverIndexedHeaderTuple(name, value) if name in _VARYING else (name, value))
        if length is not None:
            headers.append(NeverIndexedHeaderTuple("content-length", str(length)))
        headers.append(NeverIndexedHeaderTuple("date", http_date()))
        headers.append(NeverIndexedHeaderTuple("x-request-id", self._request.id))
        return headers

    def _parse(self, pairs: Sequence[tuple[bytes, bytes]]) -> Request:
        request, limits = self._request, self._engine.limits
        if len(pairs) > limits.fields:
            raise Rejected(431, "too many header fields", "fields")
        pseudo, headers = _collect(pairs)
        request.method = pseudo.get(":method", "")
        if request.method not in METHODS:
            raise Rejected(501, "no such method here")
        request.target = pseudo.get(":path", "")
        request.path, request.query = parse_target(request.target, limits)
        request.host = parse_host(pseudo.get(":authority", headers.get("host", "")))
        request.headers = headers
        self.body.length = _length(headers)
        if headers.get("expect", "").lower() == "100-continue":
            self.body.awaited = self._continue
        elif "expect" in headers:
            raise Rejected(417, "only 100-continue can be expected")
        if self._connection.hosts is not None:
            refuse_foreign(self._connection.hosts, request.host, headers)
        return request


def _collect(pairs: Sequence[tuple[bytes, bytes]]) -> tuple[dict[str, str], dict[str, str]]:
    pseudo: dict[str, str] = {}
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name.startswith(":"):
            pseudo[name] = value  # That each is there once is h2's to see to.
        elif name not in headers:
            headers[name] = value
        elif name in SINGLE:
            raise Rejected(400, "a header field that may be there once is there twice")
        else:
            headers[name] = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
    return pseudo, headers


def _length(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    if not _LENGTH.fullmatch(text):
        raise Rejected(400, "the Content-Length is not a number")
    return int(text)
