"""HTTP/2 as clients see it, honest ones and others; h2 is the client."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import pytest
import trio
from h2.settings import SettingCodes
from trio.testing import MockClock, wait_all_tasks_blocked

from node.http.frameguard import PREFACE
from node.http.limits import Limits
from node.http.message import Extent, Piece, Pieces, Request, Response
from tests.node.http.serving import Server, Start


class Client:
    """A connection of h2 over a socket; what arrives is kept in ``events``."""

    def __init__(self, stream: trio.SocketStream, *, checks: bool = True) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=checks))
        self.events: list[h2.events.Event] = []
        self.bodies: dict[int, bytes] = {}

    async def begin(self, settings: dict[SettingCodes | int, int] | None = None) -> "Client":
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        await self.flush()
        return self

    async def flush(self, extra: bytes = b"") -> None:
        await self.stream.send_all(self.h2.data_to_send() + extra)

    async def request(self, method: str = "GET", path: str = "/", *more: tuple[str, str], ends: bool = True) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "a"), *more]
        self.h2.send_headers(stream_id, headers, end_stream=ends)
        await self.flush()
        return stream_id

    async def send_body(self, stream_id: int, body: bytes) -> None:
        while body:
            size = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size, len(body))
            if size:
                self.h2.send_data(stream_id, body[:size])
                body = body[size:]
                await self.flush()
            else:
                await self.receive()
        self.h2.end_stream(stream_id)
        await self.flush()

    async def receive(self, *, acknowledge: bool = True) -> bool:
        data = await self.stream.receive_some(65536)
        for event in self.h2.receive_data(data):
            self.events.append(event)
            if isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                if acknowledge:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        await self.flush()
        return bool(data)

    async def until(self, kind: type[h2.events.Event], stream_id: int | None = None) -> Any:  # noqa: ANN401 - an instance of *kind*.
        seen = 0
        while True:
            for event in self.events[seen:]:
                if isinstance(event, kind) and stream_id in {None, getattr(event, "stream_id", None)}:
                    return event
            seen = len(self.events)
            assert await self.receive(), f"the connection ended before {kind.__name__}"

    async def status(self, stream_id: int) -> int:
        event = await self.until(h2.events.ResponseReceived, stream_id)
        return int(dict(event.headers)[b":status"])

    async def farewell(self) -> int:
        """The code of the GOAWAY with which the server ends the connection."""
        event = await self.until(h2.events.ConnectionTerminated)
        try:
            while await self.receive():
                pass
        except (trio.BrokenResourceError, h2.exceptions.ProtocolError):
            pass
        return int(event.error_code)


async def connect(server: Server, *, checks: bool = True) -> Client:
    return await Client(await server.connect(), checks=checks).begin()


async def echo(request: Request) -> Response:
    body = b""
    while data := await request.body.receive():
        body += data
    return Response(
        200, (("etag", "x"),), b"%s %s %d " % (request.method.encode(), request.path.encode(), len(body)) + body[-3:]
    )


async def wait(request: Request) -> Response:
    await trio.sleep(3600)
    return Response(200)


@pytest.mark.parametrize("cut", range(1, len(PREFACE) + 1))
async def test_both_protocols_on_one_port(start: Start, cut: int) -> None:
    server = await start(echo)
    for data in (b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", PREFACE + b"\0\0\0\4\0\0\0\0\0"):
        async with await server.connect() as stream:
            await stream.send_all(data[:cut])
            await wait_all_tasks_blocked()
            await stream.send_all(data[cut:])
            received = await stream.receive_some()
            assert received.startswith(b"HTTP/1.1 200" if data.startswith(b"GET") else b"\0\0")
    assert not server.bugs


async def test_requests_and_their_answers(start: Start) -> None:
    server = await start(echo)
    client = await connect(server)
    streams = [await client.request(path=f"/{n}") for n in range(20)]
    for n, stream in enumerate(streams):
        assert await client.status(stream) == 200
        await client.until(h2.events.StreamEnded, stream)
        assert client.bodies[stream] == b"GET /%d 0 " % n
    head = await client.request("HEAD")
    assert dict((await client.until(h2.events.ResponseReceived, head)).headers)[b"content-length"] == b"9"
    await client.until(h2.events.StreamEnded, head)
    assert head not in client.bodies
    await client.stream.aclose()


async def test_an_upload_of_many_windows(start: Start) -> None:
    server = await start(echo)
    client = await connect(server)
    stream = await client.request("PUT", "/", ends=False)
    await client.send_body(stream, b"x" * 6_000_000 + b"end")
    await client.until(h2.events.StreamEnded, stream)
    assert client.bodies[stream] == b"PUT / 6000003 end"
    await client.stream.aclose()


async def test_what_nobody_reads_is_not_acknowledged(start: Start) -> None:
    server = await start(wait)
    client = await connect(server)
    await client.receive()
    stream = await client.request("PUT", "/", ends=False)
    sent = 0
    while size := min(client.h2.local_flow_control_window(stream), 16_384):
        client.h2.send_data(stream, bytes(size))
        await client.flush()
        sent += size
    assert sent == Limits().stream_window
    with trio.move_on_after(0.05):
        await client.receive()
    assert client.h2.local_flow_control_window(stream) == 0
    await client.stream.aclose()


async def test_receive_into(start: Start) -> None:
    async def count(request: Request) -> Response:
        buffer, counts = memoryview(bytearray(100_000)), []
        while size := await request.body.receive_into(buffer):
            counts.append(size)
        return Response(200, (), repr(counts).encode())

    client = await connect(await start(count))
    stream = await client.request("PUT", "/", ends=False)
    await client.send_body(stream, bytes(250_000))
    await client.until(h2.events.StreamEnded, stream)
    assert client.bodies[stream] == b"[100000, 100000, 50000]"
    await client.stream.aclose()


@pytest.mark.parametrize("frame_size", [16_384, 65_536, 1_000_000])
async def test_a_file_in_frames(start: Start, tmp_path: Path, frame_size: int) -> None:
    path, released = tmp_path / "blob", trio.Event()
    content = bytes(range(256)) * 8000 + b"end"
    path.write_bytes(content)
    with path.open("rb") as file:

        async def extents() -> AsyncIterator[Piece]:
            yield Extent(file.fileno(), 0, 1_048_560)
            yield b"between"
            yield Extent(file.fileno(), 1_048_560, len(content) - 1_048_560)

        async def handler(request: Request) -> Response:
            return Response(200, (), Pieces(extents(), len(content) + 7, released.set))

        client = Client(await (await start(handler)).connect())
        await client.begin({SettingCodes.MAX_FRAME_SIZE: frame_size, SettingCodes.INITIAL_WINDOW_SIZE: 300_000})
        stream = await client.request()
        await client.until(h2.events.StreamEnded, stream)
        assert client.bodies[stream] == content[:1_048_560] + b"between" + content[1_048_560:]
        await released.wait()
        await client.stream.aclose()


async def test_a_conversation(start: Start) -> None:
    async def converse(request: Request) -> Response:
        async def answers() -> AsyncIterator[Piece]:
            yield b"hello"
            while data := await request.body.receive():
                yield data.upper()

        return Response(200, (), Pieces(answers(), None))

    client = await connect(await start(converse))
    stream = await client.request("POST", "/", ends=False)
    assert await client.status(stream) == 200
    for word in (b"a", b"bc"):
        client.h2.send_data(stream, word)
        await client.flush()
        while not client.bodies.get(stream, b"").endswith(word.upper()):
            await client.receive()
    client.h2.end_stream(stream)
    await client.flush()
    await client.until(h2.events.StreamEnded, stream)
    assert client.bodies[stream] == b"helloABC"
    await client.stream.aclose()


@pytest.mark.parametrize("length", [200_000, None])
async def test_a_body_that_breaks_resets_its_stream_only(start: Start, length: int | None) -> None:
    async def broken() -> AsyncIterator[Piece]:
        yield b"x" * 20_000
        raise ValueError

    async def handler(request: Request) -> Response:
        return Response(200, (), Pieces(broken(), length) if request.path == "/broken" else b"fine")

    server = await start(handler)
    client = await connect(server)
    bad = await client.request(path="/broken")
    assert (await client.until(h2.events.StreamReset, bad)).error_code == 2
    good = await client.request()
    await client.until(h2.events.StreamEnded, good)
    assert client.bodies[good] == b"fine"
    assert len(server.bugs) == 1
    await client.stream.aclose()


async def test_a_reset_stops_the_handler(start: Start) -> None:
    stopped = trio.Event()

    async def handler(request: Request) -> Response:
        try:
            await trio.sleep(3600)
        finally:
            stopped.set()
        return Response(200)

    server = await start(handler)
    client = await connect(server)
    stream = await client.request()
    await wait_all_tasks_blocked()
    client.h2.reset_stream(stream)
    await client.flush()
    await stopped.wait()
    await client.stream.aclose()
    assert not server.bugs


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((("x", "y"),) * 100, 431),
        ((("expect", "more"),), 417),
        ((("authorization", "a"), ("authorization", "b")), 400),
        ((("cookie", "a"), ("cookie", "b")), 200),
    ],
)
async def test_heads_that_are_refused(start: Start, headers: tuple[tuple[str, str], ...], status: int) -> None:
    server = await start(echo)
    client = await connect(server, checks=False)
    assert await client.status(await client.request("GET", "/", *headers)) == status
    await client.stream.aclose()


async def test_a_length_with_a_sign_ends_the_connection(start: Start) -> None:
    client = await connect(await start(echo), checks=False)
    await client.request("PUT", "/", ("content-length", "+1"))
    assert await client.farewell() == 1
    await client.stream.aclose()


@pytest.mark.parametrize(("path", "status"), [("/a%2fb", 400), ("/%00", 400), ("*", 400), ("/" + "a" * 9000, 414)])
async def test_targets_that_are_refused(start: Start, path: str, status: int) -> None:
    client = await connect(await start(echo), checks=False)
    assert await client.status(await client.request("GET", path)) == status
    await client.stream.aclose()


FLOODS = [
    (b"\0\0\x08\6\0\0\0\0\0" + bytes(8), 300, 11, "pings"),
    (b"\0\0\0\4\0\0\0\0\0", 100, 11, "settings"),
    (b"\0\0\5\2\0\0\0\0\1" + b"\0\0\0\3\x10", 300, 11, "priorities"),
    (b"\0\0\4\x08\0\0\0\0\0" + b"\0\0\0\1", 300, 11, "window updates"),
    (b"\0\0\1\x77\0\0\0\0\0x", 300, 11, "unknown frames"),
    (b"\xff\xff\xff\0\0\0\0\0\1", 1, 6, "a frame of 16 MiB"),
    (b"\0\0\4\x08\0\0\0\0\0" + b"\x7f\xff\xff\xff", 2, 3, "a window that overflows"),
]


@pytest.mark.parametrize(("frame", "times", "code", "why"), FLOODS)
async def test_floods_end_the_connection(start: Start, frame: bytes, times: int, code: int, why: str) -> None:
    server = await start(echo)
    client = await connect(server)
    await client.flush(frame * times)
    assert await client.farewell() == code
    await client.stream.aclose()
    assert not server.bugs


async def test_rapid_reset(start: Start) -> None:
    server = await start(wait)
    client = await connect(server)
    with suppress(trio.BrokenResourceError):
        for _ in range(300):
            stream = await client.request()
            client.h2.reset_stream(stream)
            await client.flush()
    assert await client.farewell() == 11
    assert server.hits == {"resets": 1}
    await client.stream.aclose()


async def test_made_you_reset(start: Start) -> None:
    server = await start(wait)
    client = await connect(server)
    overflow = b"\0\0\4\x08\0" + b"%s" + b"\x7f\xff\xff\xff"
    with suppress(trio.BrokenResourceError):
        for _ in range(300):
            stream = await client.request()
            await client.flush(overflow % stream.to_bytes(4, "big"))
    assert await client.farewell() == 11
    assert server.hits == {"resets": 1}
    await client.stream.aclose()


async def test_more_streams_than_allowed(start: Start) -> None:
    running = 0

    async def handler(request: Request) -> Response:
        nonlocal running
        running += 1
        try:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.2)  # Such as a commit: it does not end with its stream.
        finally:
            running -= 1
        return Response(200)

    server = await start(handler, limits=Limits(streams=5))
    client = await connect(server)
    await client.receive()
    for _ in range(5):
        client.h2.reset_stream(await client.request())
    last = await client.request()
    assert (await client.until(h2.events.StreamReset, last)).error_code == 7
    assert running == 5
    await client.stream.aclose()


async def test_the_encoder_table_stays_small(start: Start) -> None:
    numbers = iter(range(100_000))

    async def handler(request: Request) -> Response:
        return Response(200, (("x-new", str(next(numbers))),))

    client = Client(await (await start(handler)).connect())
    await client.begin({SettingCodes.HEADER_TABLE_SIZE: 2**32 - 1})
    for _ in range(200):
        await client.status(await client.request())
    assert client.h2.decoder.header_table.maxsize <= 4096 or len(client.h2.decoder.header_table.dynamic_entries) < 120
    await client.stream.aclose()


@pytest.mark.parametrize("window", [0, 1, 1000])
async def test_a_client_that_takes_nothing_is_let_go(start: Start, autojump_clock: MockClock, window: int) -> None:
    async def handler(request: Request) -> Response:
        return Response(200, (), b"x" * 50_000)

    server = await start(handler)
    client = Client(await server.connect())
    await client.begin({SettingCodes.INITIAL_WINDOW_SIZE: window})
    begun = trio.current_time()
    stream = await client.request()
    assert (await client.until(h2.events.StreamReset, stream)).error_code == 8
    assert trio.current_time() - begun == pytest.approx(30, abs=0.5)
    await client.request()
    assert await client.farewell() == 0
    assert server.hits == {"patience": 2}
    await client.stream.aclose()


async def test_an_open_header_block_has_ten_seconds(start: Start, autojump_clock: MockClock) -> None:
    server = await start(echo)
    client = await connect(server)
    await client.receive()
    begun = trio.current_time()
    await client.flush(b"\0\0\1\1\0\0\0\0\1\x82")
    await client.farewell()
    assert trio.current_time() - begun == pytest.approx(10, abs=0.5)
    await client.stream.aclose()


async def test_an_idle_connection_is_let_go(start: Start, autojump_clock: MockClock) -> None:
    server = await start(echo)
    client = await connect(server)
    await client.status(await client.request())
    begun = trio.current_time()
    assert await client.farewell() == 0
    assert trio.current_time() - begun == pytest.approx(75, abs=1)
    await client.stream.aclose()


async def test_a_drain_finishes_what_runs(start: Start, autojump_clock: MockClock) -> None:
    async def slow(request: Request) -> Response:
        await trio.sleep(3)
        return Response(200, (), b"done")

    server = await start(slow, grace=8)
    client = await connect(server)
    stream = await client.request()
    await wait_all_tasks_blocked()
    begun = trio.current_time()
    server.stopping.set()
    told = await client.until(h2.events.ConnectionTerminated)
    assert (told.error_code, told.last_stream_id) == (0, stream)
    assert trio.current_time() - begun < 0.5
    client.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN  # To h2 it is the end; to others not.
    await client.until(h2.events.StreamEnded, stream)
    assert client.bodies[stream] == b"done"
    client.events.clear()
    assert await client.farewell() == 0
    await client.stream.aclose()
    await server.ended.wait()
    assert trio.current_time() - begun == pytest.approx(3, abs=0.5)


async def test_head_and_reset_in_one_read(start: Start) -> None:
    server = await start(echo)
    client = await connect(server)
    for _ in range(20):
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")],
                               end_stream=True)  # fmt: skip
        client.h2.reset_stream(stream)
        await client.flush()
    assert await client.status(await client.request()) == 200
    assert not server.bugs
    await client.stream.aclose()


@pytest.mark.parametrize(
    ("length", "body", "code"),
    [("5", b"abcdef", 1), ("5", b"abc", 1), ("3", b"abc", None)],
    ids=["longer", "shorter", "as announced"],
)
async def test_a_body_has_the_length_it_announced(start: Start, length: str, body: bytes, code: int | None) -> None:
    server = await start(echo)
    client = await connect(server)
    stream = await client.request("PUT", "/", ("content-length", length), ends=False)
    await client.flush(data_frame(stream, body, ends=True))
    if code is None:
        assert await client.status(stream) == 200
    else:
        assert (await client.until(h2.events.StreamReset, stream)).error_code == code
    assert await client.status(await client.request()) == 200
    assert not server.bugs
    await client.stream.aclose()


def data_frame(stream_id: int, body: bytes, *, ends: bool = False) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([0, ends]) + stream_id.to_bytes(4, "big") + body


async def test_more_than_the_window_ends_the_connection(start: Start) -> None:
    client = await connect(await start(wait))
    stream = await client.request("PUT", "/", ends=False)
    await client.flush(data_frame(stream, bytes(16_384)) * 65)
    assert await client.farewell() == 3
    await client.stream.aclose()


async def test_data_behind_the_end_of_a_body(start: Start) -> None:
    client = await connect(await start(wait))
    stream = await client.request("PUT", "/", ends=False)
    await client.flush(data_frame(stream, b"a", ends=True) + data_frame(stream, b"b"))
    assert (await client.until(h2.events.StreamReset, stream)).error_code == 5
    await client.stream.aclose()


async def test_a_body_that_is_not_wanted_ends_in_a_reset_without_error(start: Start) -> None:
    async def refuse(request: Request) -> Response:
        return Response(401, (), b"no")

    client = await connect(await start(refuse))
    stream = await client.request("PUT", "/", ends=False)
    assert await client.status(stream) == 401
    assert (await client.until(h2.events.StreamReset, stream)).error_code == 0
    await client.flush(data_frame(stream, b"a"))
    assert await client.status(await client.request()) == 401
    await client.stream.aclose()


async def test_an_unknown_client_has_few_requests_at_work_and_none_is_refused(start: Start) -> None:
    running = 0
    go_on = trio.Event()

    async def handler(request: Request) -> Response:
        nonlocal running
        running += 1
        if request.path == "/first":
            return Response(200)
        await go_on.wait()
        return Response(404)

    server = await start(handler)
    client = await connect(server)
    streams = [await client.request() for _ in range(30)]  # Before it has read our settings.
    await wait_all_tasks_blocked(0.05)
    assert running == 16
    first = await client.until(h2.events.RemoteSettingsChanged)
    assert first.changed_settings[SettingCodes.MAX_CONCURRENT_STREAMS].new_value == 16
    client.h2.reset_stream(streams[0])
    await client.flush()
    await wait_all_tasks_blocked(0.05)
    assert running == 17
    go_on.set()
    for stream in streams[1:]:
        assert await client.status(stream) == 404
    assert client.h2.remote_settings.max_concurrent_streams == 16
    assert await client.status(await client.request(path="/first")) == 200
    await client.until(h2.events.RemoteSettingsChanged)
    assert client.h2.remote_settings.max_concurrent_streams == 100
    assert not server.hits
    await client.stream.aclose()


async def test_frames_of_one_byte_are_work_for_nothing(start: Start) -> None:
    server = await start(wait)
    client = await connect(server)
    stream = await client.request("PUT", "/", ends=False)
    with suppress(trio.BrokenResourceError):
        for _ in range(100):
            await client.flush(data_frame(stream, b"x") * 1000)
    assert await client.farewell() == 11
    assert server.hits == {"work": 1}
    await client.stream.aclose()


async def test_heads_in_memory_are_bounded_over_all_connections(start: Start) -> None:
    server = await start(wait, limits=Limits(heads=3000))
    clients = [await connect(server) for _ in range(2)]
    kept = await clients[0].request("GET", "/", ("x", "y" * 2000))
    await wait_all_tasks_blocked()
    refused = await clients[1].request("GET", "/", ("x", "y" * 2000))
    assert (await clients[1].until(h2.events.StreamReset, refused)).error_code == 7
    clients[0].h2.reset_stream(kept)
    await clients[0].flush()
    await wait_all_tasks_blocked()
    stream = await clients[1].request("GET", "/", ("x", "y" * 2000))
    await wait_all_tasks_blocked()
    assert not [event for event in clients[1].events if getattr(event, "stream_id", None) == stream]
    assert server.hits == {"heads": 1}
    for client in clients:
        await client.stream.aclose()


GET_HEAD = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")]


@pytest.mark.parametrize("cut", [65536, 7], ids=["whole", "in parts"])
async def test_a_client_that_says_goodbye_gets_its_answers(start: Start, cut: int) -> None:
    server = await start(echo)
    client = await connect(server)
    client.h2.send_headers(1, [(":method", "PUT"), *GET_HEAD[1:]])
    sent = client.h2.data_to_send() + b"\0\0\x0b\7\0\0\0\0\0" + bytes(8) + b"bye"
    client.h2.ping(b"12345678")  # What comes behind it is looked at.
    client.h2.send_data(1, b"body", end_stream=True)
    sent += client.h2.data_to_send()
    for at in range(0, len(sent), cut):
        await client.stream.send_all(sent[at : at + cut])
        await wait_all_tasks_blocked()
    await client.until(h2.events.PingAckReceived)
    assert await client.status(1) == 200
    await client.until(h2.events.StreamEnded, 1)
    assert client.bodies[1].endswith(b" 4 ody")
    assert not server.bugs
    await client.stream.aclose()


async def test_a_connection_that_is_broken_behind_its_request_is_no_bug(start: Start) -> None:
    server = await start(echo)
    client = await connect(server)
    for stream in (1, 3, 5):
        client.h2.send_headers(stream, GET_HEAD, end_stream=True)
    await client.flush(b"\0\0\x08\7\0\0\0\0\1" + bytes(8))  # A GOAWAY on a stream.
    assert await client.farewell() == 1
    await client.stream.aclose()
    assert not server.bugs
