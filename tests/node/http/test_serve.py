"""Accepting, refusing and ending: one connection's trouble is no other's."""

import resource
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from trio.testing import MockClock, wait_all_tasks_blocked

from node.http.limits import Limits
from node.http.listen import Listener, listen_tcp, listen_unix
from node.http.message import Request, Response
from node.http.tls import Pair, client_context
from tests.node.http.serving import Server, Start, read_all

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


async def hello(request: Request) -> Response:
    who = (
        ""
        if request.certificate is None
        else x509.load_der_x509_certificate(request.certificate).subject.rfc4514_string()
    )
    return Response(200, (), f"{request.scheme} {request.version} {request.client} {who}".encode())


async def test_idle_connections_end_at_once_and_busy_ones_finish(start: Start, autojump_clock: MockClock) -> None:
    async def slow(request: Request) -> Response:
        await trio.sleep(5)
        return Response(200)

    server = await start(slow, grace=8)
    silent, idle, busy = [await server.connect() for _ in range(3)]
    await idle.send_all(GET + b"\r\n")
    await idle.receive_some()
    await busy.send_all(GET + b"\r\n")
    await wait_all_tasks_blocked()
    begun = trio.current_time()
    server.stopping.set()
    assert await silent.receive_some() == b""
    assert await idle.receive_some() == b""
    assert trio.current_time() - begun < 1
    assert b"connection: close" in await busy.receive_some()
    assert trio.current_time() - begun == pytest.approx(5, abs=0.1)
    for stream in (silent, idle, busy):
        await stream.aclose()
    await server.ended.wait()
    with pytest.raises(OSError, match="connect"):
        await server.connect()


async def test_what_does_not_finish_is_cut(start: Start, autojump_clock: MockClock) -> None:
    async def endless(request: Request) -> Response:
        await trio.sleep(3600)
        return Response(200)

    server = await start(endless, grace=8)
    async with await server.connect() as stream:
        await stream.send_all(GET + b"\r\n")
        await wait_all_tasks_blocked()
        server.stopping.set()
        begun = trio.current_time()
        await server.ended.wait()
        assert trio.current_time() - begun == pytest.approx(8, abs=0.1)


async def test_connections_of_one_address_are_limited(start: Start) -> None:
    server = await start(hello, limits=Limits(connections_each=2))
    async with await server.connect() as first, await server.connect(), await server.connect() as third:
        assert await read_all(third) in {b"", b"<reset>"}
        await first.send_all(GET + b"\r\n")
        assert b" 200 " in await first.receive_some()
    assert server.hits == {"connections_each": 1}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Host: localhost:5000\r\n", 200),
        (b"Host: 127.0.0.1\r\nOrigin: http://localhost:5000\r\n", 200),
        (b"Host: attacker.example\r\n", 403),
        (b"Host: localhost\r\nOrigin: https://attacker.example\r\n", 403),
        (b"Host: localhost\r\nOrigin: null\r\n", 403),
        (b"Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 403),
        (b"Host: localhost\r\nSec-Fetch-Site: same-origin\r\n", 200),
    ],
)
async def test_an_open_node_refuses_other_sites(start: Start, headers: bytes, status: int) -> None:
    listener = Listener(listen_tcp("127.0.0.1", 0), hosts=frozenset({"localhost", "127.0.0.1", "::1"}))
    server = await start(hello, listener=listener)
    received = await server.exchange(b"GET / HTTP/1.1\r\n" + headers + b"\r\n")
    assert received.startswith(b"HTTP/1.1 %d" % status)


async def test_a_unix_socket_with_a_long_path(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    path = folder / "control.sock"
    path.write_bytes(b"left over")
    await start(hello, listener=Listener(listen_unix(path)))
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "s").symlink_to(folder)
    async with await trio.open_unix_socket(tmp_path / "s" / "control.sock") as stream:
        await stream.send_all(GET + b"\r\n")
        assert (await stream.receive_some()).endswith(b"http 1.1  ")


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_identity(tmp_path_factory.mktemp("tls"), "localhost")


def make_identity(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name.from_rfc4514_string(f"CN={name}")
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, begin, begin.replace(year=2099))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, pkcs8, bare = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(pem, pkcs8, bare))
    return paths


def pair(identity: tuple[Path, Path]) -> Pair:
    certificate, key = identity
    return Pair(certificate.read_bytes(), key.read_bytes())


def trusting(identity: tuple[Path, Path], *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(identity[0]))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def secure(server: Server, context: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream]:
    stream = trio.SSLStream(await server.connect(), context, server_hostname="localhost", https_compatible=True)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError:
        await trio.aclose_forcefully(stream)
        raise
    return stream


@pytest.mark.parametrize(("offer", "chosen"), [((), None), (("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "h2")])
async def test_tls(start: Start, identity: tuple[Path, Path], offer: tuple[str, ...], chosen: str | None) -> None:
    server = await start(hello, listener=Listener(listen_tcp("127.0.0.1", 0), client_context(pair(identity))))
    stream = await secure(server, trusting(identity, *offer))
    assert stream.selected_alpn_protocol() == chosen
    if chosen != "h2":
        await stream.send_all(GET + b"\r\n")
        assert (await stream.receive_some()).endswith(b"https 1.1 127.0.0.1 ")
    await stream.aclose()


async def test_old_tls_is_refused(start: Start, identity: tuple[Path, Path]) -> None:
    server = await start(hello, listener=Listener(listen_tcp("127.0.0.1", 0), client_context(pair(identity))))
    context = trusting(identity)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA")
    with pytest.raises(trio.BrokenResourceError):
        await secure(server, context)
    assert not server.bugs


async def test_a_handshake_has_ten_seconds(
    start: Start, identity: tuple[Path, Path], autojump_clock: MockClock
) -> None:
    server = await start(hello, listener=Listener(listen_tcp("127.0.0.1", 0), client_context(pair(identity))))
    async with await server.connect() as stream:
        begun = trio.current_time()
        await stream.send_all(b"\x16\x03\x01\x02\x00\x01")
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        assert trio.current_time() - begun == pytest.approx(10, abs=0.1)
    assert server.hits == {"handshake": 1}


async def test_a_peer_may_show_a_certificate(start: Start, identity: tuple[Path, Path], tmp_path: Path) -> None:
    seen: list[bytes | None] = []

    async def note(request: Request) -> Response:
        seen.append(request.certificate)
        return Response(200)

    context = client_context(pair(identity))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=identity[0].read_text())
    server = await start(note, listener=Listener(listen_tcp("127.0.0.1", 0), context))
    for shows in (True, False):
        client = trusting(identity)
        if shows:
            client.load_cert_chain(*identity)
        stream = await secure(server, client)
        await stream.send_all(GET + b"\r\n")
        await stream.receive_some()
        await stream.aclose()
    assert seen == [ssl.PEM_cert_to_DER_cert(identity[0].read_text()), None]
    stranger = trusting(identity)
    stranger.load_cert_chain(*make_identity(tmp_path, "stranger"))
    stream = await secure(server, stranger)  # In TLS 1.3 the client is done before the server has judged it.
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    await trio.aclose_forcefully(stream)


async def test_the_server_outlives_running_out_of_descriptors(start: Start) -> None:
    server = await start(hello)
    async with await server.connect() as stream:
        await stream.send_all(GET + b"\r\n")
        await stream.receive_some()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        client = socket.socket()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.connect(("127.0.0.1", server.port))
            while not server.hits["descriptors"]:
                await trio.lowlevel.checkpoint()
            await stream.send_all(GET + b"\r\n")
            assert b" 200 " in await stream.receive_some()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        late = trio.SocketStream(trio.socket.from_stdlib_socket(client))
        await late.send_all(GET + b"\r\n")
        assert b" 200 " in await late.receive_some()
        await late.aclose()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_an_address_can_be_connected_to(start: Start, host: str) -> None:
    listener = Listener(listen_tcp(host, 0))
    await start(hello, listener=listener)
    name, _, port = listener.address.rpartition(":")
    async with await trio.open_tcp_stream(name.strip("[]"), int(port)) as stream:
        await stream.send_all(GET + b"\r\n")
        assert b" 200 " in await stream.receive_some()
