"""HTTP/1.1 as clients see it: each request has one answer, and nothing broken looks whole."""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.http.failures import ClientGone
from node.http.limits import Limits
from node.http.message import Extent, Piece, Pieces, Request, Response
from node.http.waiting import HALF_CLOSED
from tests.node.http.serving import Start

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
MARKER = b"GET /marker HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def echo(request: Request) -> Response:
    body = b""
    while data := await request.body.receive():
        body += data
    return Response(200, (), b"%s %s %s" % (request.method.encode(), request.path.encode(), body))


def pieces(*parts: Piece | Exception, length: int | None = None, release: Callable[[], None] | None = None) -> Pieces:
    async def iterate() -> AsyncIterator[Piece]:
        for part in parts:
            if isinstance(part, Exception):
                raise part
            yield part

    return Pieces(iterate(), length, release)


def answers(received: bytes) -> int:
    return received.count(b"HTTP/1.1 ")


async def test_an_answer(start: Start) -> None:
    server = await start(echo)
    received = await server.exchange(GET + b"\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"content-length: 6" in lines
    assert {line.split(b":")[0] for line in lines[1:]} == {b"content-length", b"date", b"x-request-id"}
    assert body == b"GET / "
    [answered] = server.answered
    assert (answered.status, answered.sent, answered.request.client) == (200, 6, "127.0.0.1")
    assert answered.request.id.encode() in head


@pytest.mark.parametrize(
    ("request_bytes", "body"),
    [
        (b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"PUT /x abc"),
        (
            b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
            b"PUT /x abc",
        ),
        (b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"y" * 200_000, b"PUT /x " + b"y" * 200_000),
    ],
    ids=["length", "chunks", "long"],
)
async def test_a_body_and_the_request_behind_it(start: Start, request_bytes: bytes, body: bytes) -> None:
    server = await start(echo)
    received = await server.exchange(request_bytes + MARKER)
    assert body + b"HTTP/1.1 200 OK" in received
    assert received.endswith(b"GET /marker ")
    assert answers(received) == 2


async def test_a_body_received_into_a_buffer(start: Start) -> None:
    async def count(request: Request) -> Response:
        buffer, counts = memoryview(bytearray(100_000)), []
        while size := await request.body.receive_into(buffer):
            counts.append(size)
        return Response(200, (), repr(counts).encode())

    server = await start(count)
    body = b"z" * 250_000
    plain = await server.exchange(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 250000\r\n\r\n" + body)
    chunked = await server.exchange(
        b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3d090\r\n" + body + b"\r\n0\r\n\r\n"
    )
    assert plain.endswith(b"[100000, 100000, 50000]")
    assert chunked.endswith(b"[100000, 100000, 50000]")


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    server = await start(echo)
    received = await server.exchange(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(1000)))
    assert [int(part.split(b"GET /")[1].split()[0]) for part in received.split(b"HTTP/1.1 200")[1:]] == list(
        range(1000)
    )


@pytest.mark.parametrize(
    "hostile",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;" + b"x" * 1000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 30 + b"\r\n\r\n",
    ],
)
async def test_smuggling(start: Start, hostile: bytes) -> None:
    server = await start(echo)
    received = await server.exchange(hostile + MARKER)
    assert answers(received) == 1
    assert received.split()[1][:1] == b"4"
    assert b"connection: close" in received
    assert b"/marker" not in received
    assert not server.bugs


async def test_continue_is_sent_when_the_body_is_wanted(start: Start) -> None:
    server = await start(echo)
    async with await server.connect() as stream:
        await stream.send_all(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert await stream.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await stream.send_all(b"abc")
        assert (await stream.receive_some()).endswith(b"PUT / abc")


async def test_a_body_that_is_not_wanted_is_not_asked_for(start: Start) -> None:
    async def refuse(request: Request) -> Response:
        return Response(401)

    server = await start(refuse)
    async with await server.connect() as stream:
        await stream.send_all(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        received = await read_to_end(stream)
    assert received.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in received


async def read_to_end(stream: trio.SocketStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


@pytest.mark.parametrize(("size", "count"), [(1000, 2), (200_000, 1)], ids=["drained", "closed"])
async def test_a_body_that_nobody_read(start: Start, size: int, count: int) -> None:
    async def ignore(request: Request) -> Response:
        return Response(200)

    server = await start(ignore)
    received = await server.exchange(
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (size, b"x" * size) + MARKER
    )
    assert answers(received) == count


@pytest.mark.parametrize("length", [6, None], ids=["length", "chunks"])
async def test_head_is_answered_like_get_without_its_body(start: Start, length: int | None) -> None:
    released = []

    async def handler(request: Request) -> Response:
        return Response(200, (), pieces(b"abc", b"def", length=length, release=lambda: released.append(request.method)))

    server = await start(handler)
    get = await server.exchange(GET + b"\r\n")
    head = await server.exchange(GET.replace(b"GET", b"HEAD") + b"\r\n")
    assert [line.split(b":")[0] for line in head.split(b"\r\n")] == [
        line.split(b":")[0] for line in get.partition(b"\r\n\r\n")[0].split(b"\r\n")
    ] + [b"", b""]
    assert get.endswith(b"abcdef" if length else b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
    assert released == ["GET", "HEAD"]


async def test_a_handlers_own_length_for_head(start: Start) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, (("content-length", "12345"),))

    server = await start(handler)
    assert b"content-length: 12345\r\n" in await server.exchange(GET.replace(b"GET", b"HEAD") + b"\r\n")


@pytest.mark.parametrize(
    "failing",
    [
        lambda: Response(200, (), pieces(ValueError("before"), length=3)),
        lambda: Response(200, (("x", "a\r\nset-cookie: b"),)),
        lambda: Response(200, (("x", "a\nb"),), pieces(b"abc", length=3)),
        lambda: 1 / 0,
    ],
    ids=["body", "header", "header with pieces", "handler"],
)
async def test_a_bug_before_the_head_is_a_500_or_a_reset(start: Start, failing: Callable[[], Response]) -> None:
    async def handler(request: Request) -> Response:
        return failing()

    server = await start(handler)
    received = await server.exchange(GET + b"\r\n")
    assert received.startswith(b"HTTP/1.1 500") or received in {b"", b"<reset>"}
    assert b"set-cookie" not in received
    assert len(server.bugs) == 1
    assert answers(await server.exchange(GET + b"\r\n")) <= 1  # It is still there.


@pytest.mark.parametrize(
    "body",
    [
        lambda: pieces(b"x" * 100_000, ValueError("after"), length=200_000),
        lambda: pieces(b"x" * 100_000, length=200_000),
        lambda: pieces(b"x" * 100_000, b"y", length=100_000),
        lambda: pieces(b"x" * 100_000, ValueError("after")),
    ],
    ids=["exception", "short", "long", "chunks"],
)
async def test_a_body_that_breaks_never_ends_as_if_whole(start: Start, body: Callable[[], Pieces]) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, (), body())

    server = await start(handler)
    received = await server.exchange(GET + b"\r\n")
    assert received.endswith(b"<reset>")
    assert not received.removesuffix(b"<reset>").endswith(b"0\r\n\r\n")
    assert len(server.bugs) == 1


async def test_a_client_that_goes_away_is_no_bug(start: Start) -> None:
    seen = trio.Event()

    async def handler(request: Request) -> Response:
        try:
            while await request.body.receive():
                pass
        except ClientGone:
            seen.set()
            raise
        return Response(200)

    server = await start(handler)
    await server.exchange(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nabc")
    await seen.wait()
    await server.exchange(MARKER)
    assert not server.bugs
    assert [answered.status for answered in server.answered] == [499, 200]


async def test_extents_are_sent_and_released(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    content = bytes(range(256)) * 8000
    path.write_bytes(content)
    released = trio.Event()
    with path.open("rb") as file:

        async def handler(request: Request) -> Response:
            extents: list[Piece | Exception] = [
                Extent(file.fileno(), 0, 1_000_000),
                b"--",
                Extent(file.fileno(), 1_000_000, len(content) - 1_000_000),
            ]
            return Response(200, (), pieces(*extents, length=len(content) + 2, release=released.set))

        server = await start(handler)
        received = await server.exchange(GET + b"\r\n")
        assert received.partition(b"\r\n\r\n")[2] == content[:1_000_000] + b"--" + content[1_000_000:]
        await released.wait()


async def test_a_file_that_is_too_short_is_a_reset(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"x" * 5000)
    released = trio.Event()
    with path.open("rb") as file:

        async def handler(request: Request) -> Response:
            return Response(200, (), pieces(Extent(file.fileno(), 0, 6000), length=6000, release=released.set))

        server = await start(handler)
        assert (await server.exchange(GET + b"\r\n")).endswith(b"<reset>")
        await released.wait()
    assert len(server.bugs) == 1


SILENT = [
    (b"", 75, b"", "a connection that says nothing"),
    (b"GET / HT", 10, b"HTTP/1.1 408", "half a head"),
    (MARKER.replace(b"close", b"keep"), 75, b"HTTP/1.1 200", "a connection kept alive"),
    (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab", 30, b"", "half a body"),
]


@pytest.mark.parametrize(("sent", "seconds", "answer", "why"), SILENT)
async def test_a_client_that_stops_is_let_go(
    start: Start, autojump_clock: MockClock, sent: bytes, seconds: float, answer: bytes, why: str
) -> None:
    server = await start(echo, limits=Limits())
    async with await server.connect() as stream:
        begun = trio.current_time()
        if sent:
            await stream.send_all(sent)
        received = b""
        try:
            async for data in stream:
                received += data
        except trio.BrokenResourceError:
            pass
        assert trio.current_time() - begun == pytest.approx(seconds, abs=1.5)
    assert received.startswith(answer)
    assert set(server.hits) == {"half a head": {"receiving_head"}, "half a body": {"patience"}}.get(why, set())
    assert not server.bugs


@pytest.mark.parametrize("how", ["reset", "half closed"])
async def test_a_client_that_leaves_stops_the_handler(start: Start, autojump_clock: MockClock, how: str) -> None:
    stopped = trio.Event()

    async def handler(request: Request) -> Response:
        try:
            await trio.sleep(3600)
        finally:
            stopped.set()
        return Response(200)

    server = await start(handler)
    stream = await server.connect()
    await stream.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await wait_all_tasks_blocked()
    begun = trio.current_time()
    if how == "reset":
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
    else:
        await stream.send_eof()
    await stopped.wait()
    assert trio.current_time() - begun == pytest.approx(2 if how == "reset" else HALF_CLOSED + 2, abs=1.1)
    await stream.aclose()
    assert not server.hits
    assert not server.bugs


async def test_a_head_that_is_refused_is_observed_too(start: Start) -> None:
    server = await start(echo)
    assert (await server.exchange(b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 400")
    [answered] = server.answered
    assert (answered.refused, answered.status, answered.request.method) == (True, 400, "-")


async def test_many_tiny_chunks_are_refused_unless_large_ones_pay_for_them(start: Start) -> None:
    server = await start(echo)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    large = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    tiny = b"1\r\nx\r\n" * 2000
    assert (await server.exchange(head + tiny + large * 2 + tiny + b"0\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert (await server.exchange(head + tiny + tiny + large + b"0\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert server.hits == {"small_chunks": 1}
