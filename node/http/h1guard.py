"""HTTP/1.1 framing, decided in one place: where a head ends, what it says, how long its body is.

llhttp splits the head into fields and checks each character. By itself it takes megabytes of header, a second
``Host``, endless chunk extensions, hands over pipelined requests all at once, and stops before the body of a request
with ``Upgrade``: the hole for a smuggled request. So it sees exactly one head at a time, cut and counted here, and
never a body. Bodies are framed by ``Content-Length`` or by the chunks that ``ChunkedFraming`` reads line by line.

Anything that two parsers could read differently is refused: line ends that are not CRLF, folded lines, both kinds of
framing at once, lengths with a sign. After a refusal the connection is closed.

Source: RFC 9112, 2.2, 5, 6 and 7.1; RFC 9110, 10.1.1 (Expect).
"""

import re
from dataclasses import dataclass

import httptools

from node.http.failures import NotHttp, Rejected
from node.http.limits import Limits
from node.http.target import parse_host, parse_target

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
SINGLE = frozenset({"host", "content-length", "transfer-encoding", "authorization", "content-range", "content-type"})


@dataclass(slots=True)
class Head:
    """A request's head, after every check."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    host: str
    keep_alive: bool  # The client would send another request here.
    length: int | None  # Bytes of body; ``None``: in chunks.
    expects_continue: bool
    version: str  # ``1.1`` or ``1.0``.
    size: int  # Bytes that it had.
    target: str  # As it came.


class _Fields:
    """Collects what llhttp calls back with."""

    __slots__ = ("on_header", "pairs", "url")

    def __init__(self) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []
        self.url = b""
        append = self.pairs.append
        self.on_header = lambda name, value: append((name, value))

    def on_url(self, part: bytes) -> None:
        self.url += part


_TLS_HANDSHAKE = b"\x16\x03"  # RFC 8446, 5.1: a record of type handshake; no method begins so.


def find_head(buffer: bytearray, limits: Limits) -> int:
    """Return the length of the head at the start of *buffer*, its empty line included; 0 if it is not complete."""
    end = buffer.find(b"\r\n\r\n", 0, limits.head)
    if end >= 0:
        return end + 4
    if buffer.startswith(_TLS_HANDSHAKE):  # Docker, podman and skopeo try TLS first, and wait for an answer.
        raise Rejected(400, "TLS was begun at an address of plain HTTP")
    if len(buffer) >= limits.head:
        raise Rejected(431, "the request head is too large", "head")
    return 0


def parse_head(raw: bytes, limits: Limits) -> Head:
    """Parse one head, as ``find_head`` cut it, or raise ``Rejected`` or ``NotHttp``."""
    lines = raw.count(b"\r\n")
    if raw.count(b"\n") != lines or raw.count(b"\r") != lines or b"\r\n " in raw or b"\r\n\t" in raw:
        raise Rejected(400, "a line of the head does not end in CRLF, or is folded")
    if lines - 2 > limits.fields:
        raise Rejected(431, "too many header fields", "fields")
    line = raw[: raw.index(b"\r\n")]
    if line.count(b" ") != 2:
        raise Rejected(400, "the request line does not have three words")
    if not line.endswith(b" ") and b" HTTP/" not in line:
        raise NotHttp
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # Nobody is upgraded: the request is answered as if it had not asked, if it has no body.
    except httptools.HttpParserError as error:
        raise Rejected(400, "the request head is not HTTP/1.1") from error
    version = parser.get_http_version()
    if version not in {"1.1", "1.0"}:
        raise Rejected(505, "HTTP/1.1, or HTTP/2")
    method = parser.get_method().decode("ascii")
    if method not in METHODS:
        raise Rejected(501, "no such method here")
    headers = _collect(fields.pairs)
    length = _body_length(headers, version)
    if "upgrade" in headers and length != 0:
        raise Rejected(400, "an Upgrade with a body")
    target = fields.url.decode("latin-1")
    path, query = parse_target(target, limits)
    return Head(
        method,
        path,
        query,
        headers,
        parse_host(headers.get("host", "")),
        _keeps_alive(headers, version),
        length,
        "expect" in headers and _expects_continue(headers["expect"], version),
        version,
        len(raw),
        target,
    )


def _collect(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("latin-1").strip(" \t")
        if name not in headers:
            headers[name] = value
        elif name in SINGLE:
            raise Rejected(400, "a header field that may be there once is there twice")
        else:
            headers[name] = f"{headers[name]}, {value}"
    return headers


def _body_length(headers: dict[str, str], version: str) -> int | None:
    length, encoding = headers.get("content-length"), headers.get("transfer-encoding")
    if encoding is not None:
        if length is not None or version == "1.0":
            raise Rejected(400, "Transfer-Encoding beside Content-Length, or in HTTP/1.0")
        if encoding.lower() != "chunked":
            raise Rejected(501, "no such Transfer-Encoding here")
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise Rejected(400, "the Content-Length is not a number")
    return int(length)


def _keeps_alive(headers: dict[str, str], version: str) -> bool:
    options = headers.get("connection")
    if options is None:
        return version == "1.1"
    words = [word.strip() for word in options.lower().split(",")]
    return "close" not in words if version == "1.1" else "keep-alive" in words


def _expects_continue(expectation: str, version: str) -> bool:
    if expectation.lower() != "100-continue":
        raise Rejected(417, "only 100-continue can be expected")
    return version == "1.1"


class ChunkedFraming:
    """Where the chunks of a body begin and end; it sees the lines, not the data.

    ``line()`` takes each line, without its CRLF, in order: a size line, then, after ``remaining`` bytes of data that
    somebody else reads, the empty line behind them, and so on to the trailer.
    """

    __slots__ = ("_limits", "_small", "_state", "_trailers", "remaining")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = "size"
        self._trailers = 0
        self._small = 0  # Chunks that nothing has paid for.
        self.remaining = 0  # Bytes of data before the next line; the reader subtracts what it took.

    @property
    def ended(self) -> bool:
        """Whether the body is complete."""
        return self._state == "end"

    def line(self, line: bytes) -> None:
        """Take one line, or raise ``Rejected``."""
        match self._state:
            case "size":
                found = _CHUNK_SIZE.fullmatch(line)
                if not found:
                    raise Rejected(400, "a chunk does not begin with its size")
                self.remaining = int(found[1], 16)
                self._small = max(0, self._small + 1 - self.remaining // 1024)
                if self._small > self._limits.small_chunks:
                    raise Rejected(400, "too many chunks are too small", "small_chunks")
                self._state = "data" if self.remaining else "trailer"
            case "data":
                if line or self.remaining:
                    raise Rejected(400, "a chunk is longer than its size")
                self._state = "size"
            case _:
                self._trailer(line)

    def _trailer(self, line: bytes) -> None:
        self._trailers += 1
        if not line:
            self._state = "end"
        elif self._trailers > self._limits.trailers or not _TRAILER.fullmatch(line):
            raise Rejected(400, "the trailer is too long or not one", "trailers")


def find_line(buffer: bytearray, limits: Limits) -> int:
    """Return the length of the first line in *buffer*, without its CRLF; -1 if it is not complete."""
    end = buffer.find(b"\n", 0, limits.chunk_line + 2)
    if end > 0 and buffer[end - 1] == 0x0D and buffer.find(b"\r", 0, end) == end - 1:
        return end - 1
    if end >= 0:
        raise Rejected(400, "a line of a chunk does not end in CRLF")
    if len(buffer) >= limits.chunk_line + 2:
        raise Rejected(400, "a line of a chunk is too long", "chunk_line")
    return -1
