"""Requests to one server over HTTP/1.1, its connections kept for the next ones.

What a server sends is bounded: a head by ``MAX_HEAD``, the part of the body that is read by ``MAX_BODY``; what is more
ends the connection, and the answer has the beginning. A kept connection that breaks before a byte of its answer came
was closed while idle: the request is sent once more, over a new one. Whoever asks for what must not be done twice has
to say that (``again=False``).
"""

import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import h11
import msgspec
import trio

from node.upstream.dial import Dialer
from protocol.errors import UpstreamFault
from protocol.rules.outbound import Network, Target

MAX_HEAD = 32 * 1024  # Bytes.
MAX_BODY = 64 * 1024  # Bytes.
MAX_INTERIM = 8  # Answers of the 1xx kind before the one that counts.
_READ = 16 * 1024
_IDLE = 20.0  # Seconds for which a connection is kept.
_AGE = 300.0  # Seconds after which it is not used again: the name may lead elsewhere by now.


class Answer(msgspec.Struct, frozen=True):
    """What a server answered."""

    status: int
    headers: dict[str, str]  # Lower-case names; of repeated ones the last.
    body: bytes  # At most ``MAX_BODY``.


def retry_after(answer: Answer, now: float) -> float:
    """Return for how many seconds the server asks to be left alone, 0 where it does not; *now* since 1970, UTC."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


class Client:
    """Asks one server; closed by whoever made it."""

    def __init__(
        self, dialer: Dialer, target: Target, allowed: tuple[Network, ...], context: ssl.SSLContext | None
    ) -> None:
        self._dialer = dialer
        self._target = target
        self._allowed = allowed
        self._context = context
        self._idle: deque[_Connection] = deque()

    async def request(
        self, method: str, headers: tuple[tuple[str, str], ...], body: bytes, *, patience: float, again: bool = True
    ) -> Answer:
        """Send one request to the path of the target and return its answer, whatever its status.

        Args:
            method: of HTTP.
            headers: beside Host and Content-Length; lower-case names.
            body: may be empty.
            patience: seconds for the answer, all of it, once there is a connection.
            again: whether it may be sent a second time where a kept connection turns out to be closed.

        Raises:
            NotReached: there is no connection: nothing was sent.
            UpstreamFault: no answer in time, the connection broke, or what came is not HTTP.
        """
        kept = self._kept() if again else None
        if kept is not None:
            try:
                return await self._over(kept, method, headers, body, patience)
            except UpstreamFault:
                if kept.has_answered:
                    raise
        stream = await self._dialer.dial(self._target, self._allowed, self._context)
        now = trio.current_time()
        return await self._over(_Connection(stream, now, now), method, headers, body, patience)

    def close(self) -> None:
        """Close what is kept."""
        while self._idle:
            self._idle.popleft().forget()

    def _kept(self) -> "_Connection | None":
        now = trio.current_time()
        while self._idle:
            connection = self._idle.pop()
            if now - connection.used < _IDLE and now - connection.opened < _AGE:
                connection.has_answered = False
                return connection
            connection.forget()
        return None

    async def _over(
        self, connection: "_Connection", method: str, headers: tuple[tuple[str, str], ...], body: bytes, patience: float
    ) -> Answer:
        is_kept = False
        try:
            head = [("host", self._target.authority), ("content-length", str(len(body))), *headers]
            request = h11.Request(method=method, target=self._target.path, headers=head)
            with trio.fail_after(patience):
                answer = await connection.exchange(request, body)
            is_kept = connection.is_reusable
        except trio.TooSlowError as error:
            connection.has_answered = True  # It may be at it: the request is not sent again.
            raise UpstreamFault(f"no answer in {patience:g} s") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
            raise UpstreamFault(f"{self._target.authority} broke the connection") from error
        except h11.ProtocolError as error:
            raise UpstreamFault(f"{self._target.authority} does not speak HTTP: {error}") from error
        finally:
            if not is_kept:
                connection.forget()
        connection.used = trio.current_time()
        self._idle.append(connection)
        return answer


@dataclass(slots=True)
class _Connection:
    stream: trio.abc.Stream
    opened: float
    used: float
    has_answered: bool = False
    is_reusable: bool = False

    async def exchange(self, request: h11.Request, body: bytes) -> Answer:
        self.is_reusable = False
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        head = http.send(request) or b""
        rest = (http.send(h11.Data(data=body)) or b"") if body else b""
        # One write for small requests: fewer packets, and a server that answers early sees all of it.
        with suppress(trio.BrokenResourceError):  # It may have answered before it stopped reading.
            await self.stream.send_all(head + rest + (http.send(h11.EndOfMessage()) or b""))
        response = await self._response(http)
        found = await self._body(http)
        fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status_code, fields, found)

    async def _response(self, http: h11.Connection) -> h11.Response:
        for _ in range(MAX_INTERIM + 1):
            event = await self._next(http)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                break
        raise h11.RemoteProtocolError("no answer")

    async def _body(self, http: h11.Connection) -> bytes:
        found = bytearray()
        while len(found) < MAX_BODY:
            event = await self._next(http)
            if isinstance(event, h11.Data):
                found += event.data
            else:
                self.is_reusable = http.our_state is h11.DONE and http.their_state is h11.DONE
                self.is_reusable = self.is_reusable and not http.trailing_data[0]
                break
        return bytes(found[:MAX_BODY])

    async def _next(self, http: h11.Connection) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            event = http.next_event()
            if event is not h11.NEED_DATA:
                return event
            data = await self.stream.receive_some(_READ)
            self.has_answered = self.has_answered or bool(data)
            http.receive_data(bytes(data))

    def forget(self) -> None:
        """Close without a word: nothing is waited for."""
        stream = self.stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        if isinstance(stream, trio.SocketStream):
            stream.socket.close()
