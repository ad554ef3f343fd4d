"""HTTP/1.1 on one connection: one request is read, answered and forgotten, then the next.

Nothing is parsed ahead, so pipelined requests wait in the buffer and are answered in order, and the buffer never
holds more than a head, or 64 KiB of chunks. There is one cancel scope for the connection, whose deadline moves with
what is waited for: a scope for each wait would cost as much as parsing.
"""

from math import inf
from time import perf_counter

import trio

from node.http.census import Guest
from node.http.engine import Engine, refuse_foreign, request_id
from node.http.failures import OUR_FAULT, ClientGone, NotHttp, Rejected, error_body, error_response, is_gone
from node.http.h1body import Http1Body
from node.http.h1guard import Head, find_head, parse_head
from node.http.message import Answered, Pieces, Request, Response, unread_request
from node.http.outgoing import BodyBroken, Outgoing, next_piece
from node.http.responsehead import encode_head, is_bodiless, stated
from node.http.transport import Pace, Transport

RECEIVE = 64 * 1024
JOIN = 16 * 1024  # A body up to this size is sent in one piece with its head: copying it is cheaper than a call.


class Http1Connection:
    """Serves one connection; made for each, used once."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        guest: Guest,
        scope: trio.CancelScope,
        buffer: bytearray,
        hosts: frozenset[str] | None,
    ) -> None:
        """*scope* is that of the connection's task, *buffer* what was received already."""
        self._engine = engine
        self._transport = transport
        self._guest = guest
        self._scope = scope
        self._buffer = buffer
        self._hosts = hosts
        self._pace = Pace(scope, engine.limits)
        self._outgoing = Outgoing(transport, engine.queues, engine.senders)
        self._is_idle = False
        self._answering = False

    async def serve(self) -> None:
        """Serve until either side ends it. Returns with the transport open, to be closed gently, or raises."""
        self._engine.endings[self._transport] = self._end_if_idle
        try:
            while await self._serve_one():
                pass
        finally:
            if self._scope.cancel_called:
                self._say_why_ended()

    @property
    def is_between_requests(self) -> bool:
        """Whether nothing is half done that a client could take for whole."""
        return not self._answering

    def _end_if_idle(self) -> None:
        if self._is_idle:
            self._scope.cancel()

    def _say_why_ended(self) -> None:
        """Count a client that was too slow; tell it so if its head never ended and that needs no waiting."""
        if self._answering:
            if self._scope.deadline < inf:  # Else the client went away.
                self._engine.hit("patience")
        elif self._buffer:
            self._engine.hit("receiving_head")
            late = Rejected(408, "the request head did not come in time")
            self._transport.send_nowait(self._refusal(late, request_id()))

    async def _serve_one(self) -> bool:
        """Serve the next request; return whether there may be another one."""
        census = self._engine.census
        try:
            head = await self._next_head()
            if head is None:
                return False
            if self._hosts is not None:
                refuse_foreign(self._hosts, head.host, head.headers)
        except NotHttp:
            return False
        except Rejected as rejected:
            await self._refuse(rejected)
            return False
        if census.heads + head.size > self._engine.limits.heads:
            await self._refuse(Rejected(503, "too many requests are at work", "heads"))
            return False
        census.heads += head.size
        self._guest.asks()
        try:
            return await self._serve_request(head)
        finally:
            census.heads -= head.size
            self._guest.rests()

    async def _refuse(self, rejected: Rejected) -> None:
        if rejected.limit:
            self._engine.hit(rejected.limit)
        number = request_id()
        await self._transport.send(self._refusal(rejected, number), self._pace)
        request = unread_request(self._transport.client, number, scheme=self._transport.scheme, version="1.1")
        self._engine.observe(Answered(request, rejected.status, 0, 0.0, refused=True))

    async def _serve_request(self, head: Head) -> bool:
        self._answering = True
        body = Http1Body(head, self._buffer, self._transport, self._pace, self._engine.limits)
        keep_alive = await self._answer(head, body)
        if keep_alive and not body.ended:
            await self._drain(body)
        self._answering = False
        return keep_alive

    async def _next_head(self) -> Head | None:
        """Return the next head, ``None`` where the client has ended or the server stops."""
        limits = self._engine.limits
        length = find_head(self._buffer, limits) if self._buffer else 0
        if length:
            await trio.lowlevel.checkpoint()  # Pipelined: others get their turn in between.
        elif not self._buffer:
            if self._engine.stopping.is_set():
                return None
            self._scope.deadline = trio.current_time() + self._engine.census.idle(self._transport.client)
            self._is_idle = True
            data = await self._transport.receive(RECEIVE, wait_first=True)
            self._is_idle = False
            if not data:
                return None
            self._buffer += data
            length = find_head(self._buffer, limits)
        if not length:
            length = await self._rest_of_head()
        self._scope.deadline = inf
        head = parse_head(bytes(self._buffer[:length]), limits)
        del self._buffer[:length]
        return head

    async def _rest_of_head(self) -> int:
        self._scope.deadline = trio.current_time() + self._engine.limits.receiving_head
        while not (length := find_head(self._buffer, self._engine.limits)):
            data = await self._transport.receive(RECEIVE)
            if not data:
                raise ClientGone("the client ended within a head")
            self._buffer += data
        return length

    async def _answer(self, head: Head, body: Http1Body) -> bool:
        began = perf_counter()
        transport = self._transport
        request = Request(
            head.method,
            head.path,
            head.query,
            head.headers,
            body,
            transport.scheme,
            head.host,
            head.version,
            transport.client,
            request_id(),
            transport.certificate,
            target=head.target,
        )
        self._outgoing.sent = 0
        status = 499
        try:
            if body.ended:
                self._engine.waiting.begin(transport, self._scope)
            response = await self._response(request, body)
            self._engine.waiting.end(transport)
            self._guest.answered(trusted=self._guest.is_known or self._engine.trusts(request, response.status))
            keep_alive = self._keeps_alive(head, body, response)
            status = response.status
            if isinstance(response.body, bytes):
                await self._send_bytes(head, request, response, response.body, keep_alive=keep_alive)
            elif is_bodiless(head.method, response.status):
                await self._outgoing.drop(response.body)
                await self._send_bytes(head, request, response, b"", keep_alive=keep_alive)
            else:
                status = await self._send_pieces(head, request, response, response.body, keep_alive=keep_alive)
        finally:
            self._engine.waiting.end(transport)
            if body.failure is not None and body.failure.limit:
                self._engine.hit(body.failure.limit)
            self._engine.observe(Answered(request, status, self._outgoing.sent, perf_counter() - began))
        return keep_alive

    async def _response(self, request: Request, body: Http1Body) -> Response:
        try:
            return await self._engine.application(request)
        except Exception as error:
            if body.failure is not None:
                return error_response(body.failure.status, body.failure.message)
            if is_gone(error):
                raise ClientGone from error
            self._engine.report(error)
            return error_response(500, OUR_FAULT)

    def _keeps_alive(self, head: Head, body: Http1Body, response: Response) -> bool:
        if not head.keep_alive or self._engine.stopping.is_set():
            return False
        if head.version == "1.0" and not isinstance(response.body, bytes) and response.body.length is None:
            return False
        return body.ended or (body.failure is None and body.is_drained_easily)

    async def _send_bytes(
        self, head: Head, request: Request, response: Response, body: bytes, *, keep_alive: bool
    ) -> None:
        data = self._encode(head, request, response, keep_alive=keep_alive)
        if is_bodiless(head.method, response.status):
            body = b""
        if len(body) > JOIN:
            await self._transport.send(data, self._pace, more=True)
            await self._transport.send(body, self._pace)
        else:
            data += body
            sent = self._transport.send_nowait(data)
            if sent < len(data):
                await self._transport.send(memoryview(data)[sent:], self._pace)
        self._outgoing.sent = len(body)

    async def _send_pieces(
        self, head: Head, request: Request, response: Response, pieces: Pieces, *, keep_alive: bool
    ) -> int:
        """Send *response*; return its status, or 500 where not even its first piece could be had."""
        broken: BodyBroken | None = None
        first, encoded = None, b""
        try:
            # Before the head, so that a body which cannot begin is still an honest 500. A body of unknown length is
            # a conversation: its head may be what the client waits for.
            first = None if pieces.length is None else await next_piece(pieces.iterator)
            encoded = self._encode(head, request, response, keep_alive=keep_alive)
        except BodyBroken as error:
            broken = error
        finally:
            if not encoded:
                await self._outgoing.drop(pieces)
        if broken is not None:
            self._engine.report(broken)
            failure = error_response(500, OUR_FAULT)
            await self._send_bytes(head, request, failure, error_body(500, OUR_FAULT), keep_alive=keep_alive)
            return failure.status
        chunked = pieces.length is None and head.version == "1.1"
        await self._outgoing.send_pieces(encoded, first, pieces, self._pace, chunked=chunked)
        return response.status

    def _encode(self, head: Head, request: Request, response: Response, *, keep_alive: bool) -> bytes:
        headers, length = stated(head.method, response)
        framing = ""
        if length is not None:
            framing = f"content-length: {length}\r\n"
        elif head.version == "1.1" and isinstance(response.body, Pieces) and response.body.length is None:
            framing = "transfer-encoding: chunked\r\n"
        if not keep_alive:
            framing += "connection: close\r\n"
        elif head.version == "1.0":
            framing += "connection: keep-alive\r\n"
        return encode_head(response.status, headers, framing, request.id)

    def _refusal(self, rejected: Rejected, number: str) -> bytes:
        response = error_response(rejected.status, rejected.message)
        body = error_body(rejected.status, rejected.message)
        framing = f"content-length: {len(body)}\r\nconnection: close\r\n"
        return encode_head(response.status, response.headers, framing, number) + body

    async def _drain(self, body: Http1Body) -> None:
        self._scope.deadline = trio.current_time() + self._engine.limits.receiving_head
        while await body.receive():
            pass
