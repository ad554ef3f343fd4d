"""HTTP/2 as RFC 9113 and RFC 7541 have it: what is sent, and what may be said to it.

The cases are those of h2spec (``make h2spec`` runs the program itself, which needs Go). Each is sent behind the
preface in one piece; of what may be answered, one has to come. ``ok`` is the answer to a request, ``goaway`` and
``rst`` come with a code, ``closed`` is the end of the connection, which stands for each ``goaway``.
"""

import struct

import pytest
import trio
from hpack import Encoder

from node.http.message import Request, Response
from tests.node.http.serving import Start

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END, ENDS_BLOCK, PADDED, PRIO = 1, 4, 8, 32
PROTOCOL, FLOW, STREAM_CLOSED, FRAME_SIZE, REFUSED, COMPRESSION, CALM = 1, 3, 5, 6, 7, 9, 11
BODY = b"x" * 2000


def f(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


GOOD = ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"))
POST = ((":method", "POST"), *GOOD[1:])


def block(*fields: tuple[str, str]) -> bytes:
    return Encoder().encode(fields, huffman=False)


def head(
    *fields: tuple[str, str], stream: int = 1, flags: int = END | ENDS_BLOCK, before: bytes = b"", after: bytes = b""
) -> bytes:
    return f(HEADERS, before + block(*(fields or GOOD)) + after, flags, stream)


def setting(number: int, value: int) -> bytes:
    return struct.pack("!HI", number, value)


OPEN = head(*POST, flags=ENDS_BLOCK)
u32 = struct.Struct("!I").pack
PING_OK = f(PING, b"behindit")  # Its echo says that all before it was taken.
LOST = f(RST, u32(8), 0, 1)
BEGUN = block(*GOOD)

P = {("goaway", PROTOCOL)}
SP = {("rst", PROTOCOL), *P}
FS = {("goaway", FRAME_SIZE)}
SF = {("rst", FLOW), ("goaway", FLOW)}
CLOSED = {("rst", STREAM_CLOSED), ("goaway", STREAM_CLOSED), *P}
OK, PONG = {("ok", 1)}, {("pong", 0)}

CASES: list[tuple[str, str, bytes, set[tuple[str, int]]]] = [
    ("3.5", "a request", head(), OK),
    ("4.1", "an unknown type", f(0x16, bytes(8)) + PING_OK, PONG),
    ("4.1", "undefined flags", f(PING, bytes(8), 0x16), PONG),
    ("4.1", "the reserved bit", f(PING, bytes(8), 0, 1 << 31), PONG),
    ("4.2", "DATA of 16 384 bytes", OPEN + f(DATA, bytes(16_384), END, 1), OK),
    ("4.2", "DATA of more", OPEN + f(DATA, bytes(16_385), END, 1), {("rst", FRAME_SIZE), *FS}),
    ("4.2", "HEADERS of more", head(*GOOD, ("x", "y" * 16_400)), FS),
    ("4.3", "a block that is none", f(HEADERS, b"\x40\x7f", END | ENDS_BLOCK, 1), {("goaway", COMPRESSION)}),
    ("4.3", "PRIORITY in a block", head(flags=END) + f(PRIORITY, u32(0) + b"\xff", 0, 1), P),
    ("4.3", "another stream in a block", head(flags=END) + head(stream=3), P),
    ("5.1", "idle: DATA", f(DATA, b"x", END, 1), P),
    ("5.1", "idle: RST_STREAM", f(RST, u32(8), 0, 1), P),
    ("5.1", "idle: WINDOW_UPDATE", f(WINDOW, u32(100), 0, 1), P),
    ("5.1", "idle: CONTINUATION", f(CONTINUATION, BEGUN, ENDS_BLOCK, 1), P),
    ("5.1", "half closed: DATA", head() + f(DATA, b"x", END, 1), CLOSED),
    ("5.1", "half closed: HEADERS", head() + head(), CLOSED),
    ("5.1", "half closed: CONTINUATION", head() + f(CONTINUATION, BEGUN, ENDS_BLOCK, 1), CLOSED),
    ("5.1", "reset: DATA", OPEN + LOST + f(DATA, b"x", END, 1), CLOSED),
    ("5.1", "reset: HEADERS", OPEN + LOST + head(), CLOSED),
    ("5.1", "reset: CONTINUATION", OPEN + LOST + f(CONTINUATION, BEGUN, ENDS_BLOCK, 1), CLOSED),
    ("5.1.1", "an even stream", head(stream=2), P),
    ("5.1.1", "a stream before the last one", head(stream=5) + head(stream=3), CLOSED),
    ("5.3.1", "HEADERS that depend on themselves", head(flags=END | ENDS_BLOCK | PRIO, before=u32(1) + b"\xff"), SP),
    ("5.3.1", "PRIORITY that depends on itself", f(PRIORITY, u32(1) + b"\xff", 0, 1), SP),
    ("5.5", "an unknown frame in a block", head(flags=END) + f(0x16, bytes(8)), P),
    ("6.1", "DATA on stream 0", f(DATA, b"x"), P),
    ("6.1", "padding longer than DATA", OPEN + f(DATA, b"\x06" + b"Test", END | PADDED, 1), P),
    ("6.1", "DATA with padding", OPEN + f(DATA, b"\x06Test" + bytes(6), END | PADDED, 1), OK),
    ("6.2", "HEADERS on stream 0", head(stream=0), P),
    ("6.2", "padding longer than HEADERS", f(HEADERS, b"\xff" + BEGUN, END | ENDS_BLOCK | PADDED, 1), P),
    ("6.2", "HEADERS with padding", f(HEADERS, b"\x08" + BEGUN + bytes(8), END | ENDS_BLOCK | PADDED, 1), OK),
    ("6.2", "HEADERS with priority", head(flags=END | ENDS_BLOCK | PRIO, before=u32(0) + b"\xff"), OK),
    ("6.3", "PRIORITY on stream 0", f(PRIORITY, u32(0) + b"\xff"), P),
    ("6.3", "PRIORITY of 4 bytes", OPEN + f(PRIORITY, u32(0), 0, 1), {("rst", FRAME_SIZE), *FS}),
    ("6.3", "PRIORITY of an idle stream", f(PRIORITY, u32(0) + b"\xff", 0, 1) + head(stream=3), {("ok", 3)}),
    ("6.4", "RST_STREAM on stream 0", f(RST, u32(8)), P),
    ("6.4", "RST_STREAM of 3 bytes", OPEN + f(RST, bytes(3), 0, 1), FS),
    ("6.5", "ACK with a payload", f(SETTINGS, setting(3, 1), 1), FS),
    ("6.5", "SETTINGS on a stream", f(SETTINGS, setting(3, 1), 0, 1), P),
    ("6.5", "SETTINGS of 3 bytes", f(SETTINGS, bytes(3)), FS),
    ("6.5.2", "ENABLE_PUSH of 2", f(SETTINGS, setting(2, 2)), P),
    ("6.5.2", "a window of 2^31", f(SETTINGS, setting(4, 2**31)), {("goaway", FLOW)}),
    ("6.5.2", "frames of 16 383 bytes", f(SETTINGS, setting(5, 16_383)), P),
    ("6.5.2", "frames of 2^24 bytes", f(SETTINGS, setting(5, 2**24)), P),
    ("6.5.2", "an unknown setting", f(SETTINGS, setting(0xFF, 1)) + PING_OK, PONG),
    ("6.5.3", "two values of a window", f(SETTINGS, setting(4, 100) + setting(4, 1)) + head(), {("data", 1)}),
    ("6.5.3", "SETTINGS are acknowledged", f(SETTINGS), {("ack", 0)}),
    ("6.7", "PING on a stream", f(PING, bytes(8), 0, 1), P),
    ("6.7", "PING of 6 bytes", f(PING, bytes(6)), FS),
    ("6.8", "GOAWAY on a stream", f(GOAWAY, bytes(8), 0, 1), P),
    ("6.9", "an increment of 0", f(WINDOW, u32(0)), P),
    ("6.9", "an increment of 0 on a stream", OPEN + f(WINDOW, u32(0), 0, 1), SP),
    ("6.9", "WINDOW_UPDATE of 3 bytes", f(WINDOW, bytes(3)), FS),
    ("6.9.1", "a window of 1", f(SETTINGS, setting(4, 1)) + head(), {("data", 1)}),
    ("6.9.1", "a window that overflows", f(WINDOW, u32(2**31 - 1)) * 2, {("goaway", FLOW)}),
    ("6.9.1", "a stream's that overflows", OPEN + f(WINDOW, u32(2**31 - 1), 0, 1) * 2, SF),
    ("6.9.2", "a window that opens later", f(SETTINGS, setting(4, 0)) + head() + f(SETTINGS, setting(4, 1)),
     {("data", 1)}),
    ("6.9.2", "a window below zero",
     f(SETTINGS, setting(4, 3)) + head() + f(SETTINGS, setting(4, 2)) + f(WINDOW, u32(2), 0, 1),
     {("data", 4)}),
    ("6.10", "a block in three parts",
     f(HEADERS, BEGUN[:2], END, 1) + f(CONTINUATION, BEGUN[2:4], 0, 1) + f(CONTINUATION, BEGUN[4:], ENDS_BLOCK, 1), OK),
    ("6.10", "DATA in a block", head(*POST, flags=0) + f(DATA, b"x", END, 1), P),
    ("6.10", "CONTINUATION on stream 0", head(flags=END) + f(CONTINUATION, b"", ENDS_BLOCK), P),
    ("6.10", "CONTINUATION behind a whole block", OPEN + f(CONTINUATION, BEGUN, ENDS_BLOCK, 1), P),
    ("6.10", "CONTINUATION behind DATA", OPEN + f(DATA, b"x", 0, 1) + f(CONTINUATION, BEGUN, ENDS_BLOCK, 1), P),
    ("7", "GOAWAY with an unknown code", f(GOAWAY, u32(0) + u32(0xFF)) + PING_OK, {*PONG, ("closed", 0), *P}),
    ("7", "RST_STREAM with an unknown code", OPEN + f(RST, u32(0xFF), 0, 1) + PING_OK, PONG),
    ("8.1", "trailers that do not end", OPEN + head(("x", "y"), flags=ENDS_BLOCK), SP),
    ("8.1", "trailers", OPEN + f(DATA, b"x", 0, 1) + head(("x", "y")), OK),
    ("8.1.2", "a name in capitals", head(*GOOD, after=b"\x00\x01X\x01y"), SP),
    ("8.1.2.1", "an unknown pseudo field", head(*GOOD, (":x", "y")), SP),
    ("8.1.2.1", "that of a response", head(*GOOD, (":status", "200")), SP),
    ("8.1.2.1", "one in trailers", OPEN + head((":method", "GET")), SP),
    ("8.1.2.1", "one behind the others", head(GOOD[0], ("x", "y"), *GOOD[1:]), SP),
    ("8.1.2.2", "Connection", head(*GOOD, ("connection", "keep-alive")), SP),
    ("8.1.2.2", "TE", head(*GOOD, ("te", "trailers, deflate")), SP),
    ("8.1.2.2", "TE: trailers", head(*GOOD, ("te", "trailers")), OK),
    *(("8.1.2.3", f"{name} is not there", head(*(one for one in GOOD if one[0] != name)), SP)
      for name in (":method", ":scheme", ":path")),
    *(("8.1.2.3", f"{one[0]} twice", head(*GOOD, one), SP) for one in GOOD[:3]),
    ("8.1.2.3", "an empty :path", head(GOOD[0], GOOD[1], (":path", ""), GOOD[3]), SP),
    ("8.1.2.6", "less than Content-Length", head(*POST, ("content-length", "1"), flags=ENDS_BLOCK)
     + f(DATA, b"test", END, 1), SP),
    ("8.1.2.6", "more than Content-Length", head(*POST, ("content-length", "9"), flags=ENDS_BLOCK)
     + f(DATA, b"te", 0, 1) + f(DATA, b"st", END, 1), SP),
    ("8.2", "PUSH_PROMISE", OPEN + f(PUSH, u32(2) + BEGUN, ENDS_BLOCK, 1), P),
    ("HPACK 2.3.3", "an index beyond the table", head(after=b"\xc6"), {("goaway", COMPRESSION)}),
    ("HPACK 4.2", "an update behind a field", head(after=b"\x21"), {("goaway", COMPRESSION)}),
    ("HPACK 5.2", "padding of a byte", head(after=b"\x00\x81\xff\x81\xff"), {("goaway", COMPRESSION)}),
    ("HPACK 5.2", "padding of zeros", head(after=b"\x00\x83\xf2\xb2\x10\x83\xf2\xb2\x10"), {("goaway", COMPRESSION)}),
    ("HPACK 5.2", "the end of a string in it", head(after=b"\x00\x84\xff\xff\xff\xff\x01x"), {("goaway", COMPRESSION)}),
    ("HPACK 6.1", "index 0", head(after=b"\x80"), {("goaway", COMPRESSION)}),
    ("HPACK 6.3", "a table beyond what we allow", head(before=b"\x3f\xe1\x7f"), {("goaway", COMPRESSION)}),
    ("HPACK 6.3", "a smaller table", head(before=b"\x3f\xe1\x0f"), OK),
]  # fmt: skip


async def answer(request: Request) -> Response:
    while await request.body.receive():
        pass
    return Response(200, (), BODY)


def said(  # noqa: PLR0911 - a table.
    kind: int, flags: int, stream: int, payload: bytes
) -> tuple[str, int]:
    match kind:
        case 0:
            return "data", len(payload)
        case 1:
            return "ok", stream
        case 3:
            return "rst", int.from_bytes(payload, "big")
        case 4 if flags & 1:
            return "ack", 0
        case 6 if flags & 1:
            return "pong", 0
        case 7:
            return "goaway", int.from_bytes(payload[4:8], "big")
        case _:
            return "other", kind


async def answers(stream: trio.SocketStream, allowed: set[tuple[str, int]]) -> list[tuple[str, int]]:
    """What the server says, up to what is *allowed* or the end."""
    found: list[tuple[str, int]] = []
    data = bytearray()
    while not allowed & set(found):
        try:
            received = await stream.receive_some()
        except trio.BrokenResourceError:
            received = b""
        if not received:
            return [*found, ("closed", 0)]
        data += received
        while len(data) >= 9 + (length := int.from_bytes(data[:3], "big")):
            found.append(said(data[3], data[4], int.from_bytes(data[5:9], "big"), bytes(data[9 : 9 + length])))
            del data[: 9 + length]
    return found


@pytest.mark.parametrize(("section", "what", "sent", "allowed"), CASES, ids=[f"{one[0]} {one[1]}" for one in CASES])
async def test_what_rfc_9113_says(
    start: Start, section: str, what: str, sent: bytes, allowed: set[tuple[str, int]]
) -> None:
    server = await start(answer)
    stream = await server.connect()
    await stream.send_all(PREFACE + f(SETTINGS) + sent)
    with trio.fail_after(5):
        found = await answers(stream, allowed)
    assert allowed & set(found) or (found[-1][0] == "closed" and any(one[0] == "goaway" for one in allowed)), found
    if ("ok", 1) in allowed:
        assert not {one for one in found if one[0] in {"goaway", "rst"}}
    assert not server.bugs
    await stream.aclose()


async def test_more_streams_than_a_client_was_told_of_are_refused(start: Start) -> None:
    """RFC 9113, 5.1.2."""
    server = await start(answer)
    stream = await server.connect()
    await stream.send_all(PREFACE + f(SETTINGS, setting(4, 0)) + f(SETTINGS, b"", 1))
    await stream.send_all(b"".join(head(stream=number) for number in range(1, 40, 2)))
    with trio.fail_after(5):
        found = await answers(stream, {("rst", REFUSED)})
    assert ("rst", REFUSED) in found
    await stream.aclose()
