"""One way out: what is dialled was checked, nothing is followed, and what comes back is bounded."""

import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from node.upstream.client import MAX_BODY, MAX_HEAD, Answer, Client, retry_after
from node.upstream.dial import Dialer, is_own_address, system_dialer, tls_context
from protocol.errors import NotReached, UpstreamFault
from protocol.rules.outbound import allowed_network, target
from tests.e2e.certificates import make_certificates

LOOPBACK = (allowed_network("127.0.0.1"), allowed_network("::1"))
Handle = Callable[[trio.abc.Stream], Awaitable[None]]


@asynccontextmanager
async def server(handle: Handle, *, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve connections on loopback for as long as the block."""
    async with trio.open_nursery() as nursery:

        async def serve(stream: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await handle(trio.SSLStream(stream, context, server_side=True) if context else stream)

        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def read_request(stream: trio.abc.Stream) -> bytes:
    """Return one request with a Content-Length; ``b""`` where the client went away."""
    found = b""
    while b"\r\n\r\n" not in found:
        data = await stream.receive_some()
        if not data:
            return b""
        found += data
    head, _, body = found.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += await stream.receive_some()
    return head + b"\r\n\r\n" + body


def answering(*answers: bytes, seen: list[bytes] | None = None) -> Handle:
    """Return a handler that gives these answers to the requests of a connection, and closes it then."""

    async def handle(stream: trio.abc.Stream) -> None:
        for answer in answers:
            request = await read_request(stream)
            if not request:
                return
            if seen is not None:
                seen.append(request)
            await stream.send_all(answer)
        await stream.aclose()

    return handle


def client(
    port: int, *, scheme: str = "http", host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> Client:
    return Client(system_dialer(), target(f"{scheme}://{host}:{port}/x?y=1", allow_http=True), LOOPBACK, context)


async def ask(one: Client, body: bytes = b"hello", *, patience: float = 10, again: bool = True) -> Answer:
    with trio.fail_after(10):
        return await one.request("POST", (("content-type", "text/plain"),), body, patience=patience, again=again)


async def test_a_request_and_its_answer() -> None:
    seen: list[bytes] = []
    async with server(answering(b"HTTP/1.1 201 Created\r\nX-Y: Z\r\ncontent-length: 4\r\n\r\nbody", seen=seen)) as port:
        one = client(port)
        answer = await ask(one)
        one.close()
    assert (answer.status, answer.headers["x-y"], answer.body) == (201, "Z", b"body")
    head = f"POST /x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 5\r\ncontent-type: text/plain\r\n\r\n"
    assert seen[0].lower().decode() == f"{head}hello".lower()


async def test_a_connection_is_kept_and_replaced_when_it_was_closed() -> None:
    seen: list[bytes] = []
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    async with server(answering(ok, ok, seen=seen)) as port:
        one = client(port)
        assert [(await ask(one)).status for _ in range(5)] == [200] * 5
        one.close()
    assert len(seen) == 5


async def test_what_must_not_be_done_twice_goes_over_a_new_connection() -> None:
    connections = 0
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

    async def handle(stream: trio.abc.Stream) -> None:
        nonlocal connections
        connections += 1
        await answering(ok, ok)(stream)

    async with server(handle) as port:
        one = client(port)
        await ask(one)
        await ask(one, again=False)
        assert connections == 2
        one.close()


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data/", "/elsewhere"])
async def test_a_redirect_is_an_answer_and_is_not_followed(location: str) -> None:
    seen: list[bytes] = []
    redirect = f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
    async with server(answering(redirect, redirect, seen=seen)) as port:
        one = client(port)
        assert (await ask(one)).status == 307
        one.close()
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", "broke|not speak HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD, "does not speak HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50, "no answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "does not speak HTTP"),
    ],
)
async def test_nonsense_is_a_fault_of_the_server(sent: bytes, expected: str) -> None:
    async with server(answering(sent)) as port:
        with pytest.raises(UpstreamFault, match=expected):
            await ask(client(port))


async def test_one_that_stalls_gets_no_second_request() -> None:
    seen: list[bytes] = []

    async def handle(stream: trio.abc.Stream) -> None:
        seen.append(await read_request(stream))
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        seen.append(await read_request(stream))
        await trio.sleep_forever()

    async with server(handle) as port:
        one = client(port)
        await ask(one)
        with pytest.raises(UpstreamFault, match=r"no answer in 0\.2 s"):
            await ask(one, patience=0.2)
        assert len(seen) == 2
        one.close()


async def test_a_server_of_names_that_stalls_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async def resolve(host: str, _port: int) -> list[str]:
        await trio.sleep(3600)
        return [host]

    began = trio.current_time()
    with pytest.raises(NotReached, match=r"no connection to stalls\.example in 15 s"):
        await Dialer(resolve, is_own_address).dial(target("https://stalls.example/", allow_http=False), (), None)
    assert trio.current_time() - began == 15


async def test_an_endless_body_is_not_read() -> None:
    ended = trio.Event()

    async def handle(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await stream.send_all(b"HTTP/1.1 500 Oops\r\n\r\n")
        try:
            while True:
                await stream.send_all(b"x" * 65536)
        finally:
            ended.set()

    async with server(handle) as port:
        answer = await ask(client(port))
        assert (answer.status, answer.body) == (500, b"x" * MAX_BODY)
        with trio.fail_after(5):
            await ended.wait()


async def test_an_answer_before_the_whole_request_was_read_counts() -> None:
    async def handle(stream: trio.abc.Stream) -> None:
        await stream.receive_some(10)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await trio.sleep(0.2)  # The client is in the middle of its request.

    async with server(handle) as port:
        assert (await ask(client(port), b"x" * 2**22)).status == 413


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 59),
        ("Fri, 31 Dec 1999 23:00:00 GMT", 0),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("9" * 400, 999_999_999),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 0),
    ],
)
def test_how_long_it_asks_to_be_left_alone(text: str, seconds: float) -> None:
    assert retry_after(Answer(503, {"retry-after": text}, b""), 946_684_740.0) == seconds
    assert retry_after(Answer(503, {}, b""), 946_684_740.0) == 0


# Where to.


def dialer(**names: list[str]) -> tuple[Dialer, list[str]]:
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        asked.append(host)
        # A server of names that says something else each time: whoever asks twice is caught.
        answers = names[host.partition(".")[0]]
        return answers if len(asked) == 1 else ["127.0.0.1"]

    return Dialer(resolve, is_own_address), asked


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/",
        "http://[::1]:9/",
        "http://[::ffff:127.0.0.1]:9/",
        "http://0.0.0.0:9/",
        "http://169.254.169.254/",
        "http://10.0.0.1/",
        "http://loop.example:9/",
        "http://both.example:9/",
        "http://mapped.example:9/",
        "http://metadata.example/",
    ],
)
async def test_what_only_this_machine_reaches_is_not_dialled(url: str) -> None:
    """No address is tried: with any, the time-out would be another error."""
    resolving, _ = dialer(
        loop=["127.0.0.1"], both=["93.184.216.34", "127.0.0.1"], mapped=["::ffff:7f00:1"], metadata=["169.254.169.254"]
    )
    with pytest.raises(NotReached, match="the rule has to allow that"):
        await resolving.dial(target(url, allow_http=True), (), None)


async def test_an_address_of_this_machine_is_not_dialled() -> None:
    public = Dialer(system_dialer().resolve, lambda address: address == ipaddress.ip_address("93.184.216.34"))
    with pytest.raises(NotReached, match="this machine itself"):
        await public.dial(target("http://93.184.216.34/", allow_http=True), (), None)
    assert is_own_address(ipaddress.ip_address("127.0.0.1"))
    assert not is_own_address(ipaddress.ip_address("93.184.216.34"))


async def test_a_name_is_resolved_once_and_what_was_checked_is_dialled() -> None:
    async with server(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) as port:
        resolving, asked = dialer(here=["127.0.0.1"])
        one = Client(resolving, target(f"http://here.example:{port}/", allow_http=True), LOOPBACK, None)
        assert (await ask(one)).status == 200
        one.close()
    assert asked == ["here.example"]


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with server(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as port:
        one = client(port)
        assert (await ask(one)).status == 204
        one.close()


@pytest.mark.parametrize("names", [[], OSError(-2, "Name or service not known")])
async def test_a_name_without_an_address(names: list[str] | OSError) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        if isinstance(names, OSError):
            raise names
        return names

    with pytest.raises(NotReached, match=r"nowhere\.example has no address"):
        await Dialer(resolve, is_own_address).dial(target("http://nowhere.example/", allow_http=True), (), None)


async def test_nobody_listens() -> None:
    with trio.socket.socket() as sock:
        await sock.bind(("127.0.0.1", 0))
        with pytest.raises(NotReached, match="refused"):
            await ask(client(sock.getsockname()[1]))


async def test_the_server_proves_who_it_is(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(certificates.certificate, certificates.key)
    ok = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    async with server(ok, context=theirs) as port:
        ours = tls_context(certificates.ca.read_text())
        resolving, _ = dialer(localhost=["127.0.0.1"], other=["127.0.0.1"])
        url = f"https://localhost:{port}/"
        one = Client(resolving, target(url, allow_http=False), LOOPBACK, ours)
        assert (await ask(one)).body == b"ok"
        one.close()
        with pytest.raises(NotReached, match=r"[Hh]ostname mismatch"):
            await ask(
                Client(resolving, target(url.replace("localhost", "other.example"), allow_http=False), LOOPBACK, ours)
            )
        with pytest.raises(NotReached, match=r"self-signed|self signed|unable to get"):
            await ask(client(port, scheme="https", context=tls_context("")))


async def test_plain_text_where_tls_should_be() -> None:
    async def handle(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"220 smtp.example ESMTP\r\n")
        await stream.receive_some()

    async with server(handle) as port:
        with pytest.raises(NotReached, match="no TLS with"):
            await ask(client(port, scheme="https", context=tls_context("")))


def test_an_authority_that_is_none() -> None:
    with pytest.raises(NotReached, match="not a certificate"):
        tls_context("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
