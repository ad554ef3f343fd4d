"""Attacks on HTTP/1.1 and on accepting, each beside an honest client: S35 in small, S50, S52, and a good end."""

import signal
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from tests.e2e import processes, servers
from tests.e2e.attacks.honest import measuring
from tests.e2e.attacks.hostile import PREFACE, close, connect
from tests.e2e.images import make_image
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client
from tests.e2e.servers import RIVAL, Server

pytestmark = pytest.mark.skipif(RIVAL, reason="what the rival takes is its own business")

IMAGE = make_image(81, layers=(3000,))
PATH = "/v2/e2e/attacked/manifests/v1"
PATIENCE = 0.1  # Seconds for 99 of 100 honest requests.
TRIES = 3
LIMITS = "[limits]\nstrangers_each = 40\nconnections_each = 60\nreceiving_head = 1\npatience = 2\ndrain_delay = 0.5\n"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("attacked") / "data"
    server = servers.start_node(data, port=processes.free_port(), configuration=LIMITS)
    try:
        with closing(Client(server)) as client:
            client.put_image("e2e/attacked", "v1", IMAGE)
        yield server
    finally:
        processes.stop(server.process)


def exchanged(server: Server, sent: bytes) -> bytes:
    """Send and receive at once, for a server that refuses stops reading; return all that came."""
    with connect(server) as sock:

        def send() -> None:
            with suppress(OSError):  # It was refused before it was all sent.
                sock.sendall(sent)

        sending = threading.Thread(target=send)
        sending.start()
        received = b""
        try:
            while data := sock.recv(65_536):
                received += data
        except OSError:
            pass
        sending.join()
        return received


PUT = f"PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {IMAGE.manifest.media_type}\r\n".encode()
GET = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n".encode()
LAST = GET + b"Connection: close\r\n\r\n"

ATTACKS: dict[str, tuple[bytes, tuple[bytes, ...]]] = {
    "ten thousand fields": (GET + b"a: b\r\n" * 10_000 + b"\r\n", (b"HTTP/1.1 431",)),
    "a head of a megabyte": (GET + b"a: " + b"b" * 2**20 + b"\r\n\r\n", (b"HTTP/1.1 431",)),
    "an extension of a megabyte": (PUT + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 2**20, (b"HTTP/1.1 400",)),
    "chunks of one byte": (
        PUT + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 200_000 + b"0\r\n\r\n",
        (b"HTTP/1.1 400",),
    ),
    "a thousand pipelined requests": ((GET + b"\r\n") * 999 + LAST, (b"HTTP/1.1 200",)),
    "expecting something else": (PUT + b"Expect: 200-ok\r\nContent-Length: 5\r\n\r\n", (b"HTTP/1.1 417",)),
    "expecting to go on twice": (
        PUT + b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        (b"HTTP/1.1 4",),
    ),
}


def beside(server: Server, attack: Callable[[], None]) -> None:
    """Fail where the honest client is slower than it may be, three times."""
    slowest = 0.0
    for _ in range(TRIES):
        with measuring(server, PATH) as honest:
            end = time.monotonic() + 0.6
            while time.monotonic() < end:
                attack()
        assert not honest.failed
        slowest = honest.percentile(0.99)
        if slowest <= PATIENCE:
            return
    pytest.fail(f"an honest request took {slowest:.2f} s")


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_and_nobody_else_notices(attacked: Server, attack: str) -> None:
    sent, begins = ATTACKS[attack]

    def run() -> None:
        received = exchanged(attacked, sent)
        assert received.startswith(begins), received[:200]
        if b"pipelined" in attack.encode():
            assert received.count(b"HTTP/1.1 200") == 1000

    beside(attacked, run)


def test_silent_and_trickling_clients_lose_their_connections_and_newcomers_are_served(attacked: Server) -> None:
    """S35: more than may be open, all from one address; who asks comes through on a connection of its own."""
    silent: list[socket.socket] = []
    try:
        with measuring(attacked, PATH, fresh=True) as honest:
            for number in range(120):
                silent.append(connect(attacked))
                if number % 3 == 1:
                    silent[-1].sendall(b"GET /v2/ HT")
                if number % 3 == 2:
                    silent[-1].sendall(b"\x16\x03\x01\x02\x00")
                time.sleep(0.02)
            time.sleep(1.5)
    finally:
        close(silent)
    assert honest.failed <= len(honest.seconds) // 10
    assert honest.percentile(0.9) < 1

    def connections() -> float:
        with closing(Client(attacked)) as client:
            lines = client.call("GET", "/metrics").body.decode().splitlines()
        return sum(float(one.split()[-1]) for one in lines if one.startswith('entrepot_connections{door="oci"'))

    assert wait_until(lambda: connections() <= 3, patience=20, interval=0.2)


def test_the_preface_of_http2_is_none_on_http1_of_tls(tls_server: Server) -> None:
    """S50."""
    context = ssl.create_default_context(cafile=str(tls_server.ca))
    context.set_alpn_protocols(["http/1.1"])
    raw = socket.create_connection(("127.0.0.1", tls_server.port), 20)
    with context.wrap_socket(raw, server_hostname="localhost") as sock:
        sock.sendall(PREFACE + struct.pack("!I", 0)[1:] + bytes(6))
        assert sock.recv(65_536)[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 501", b"HTTP/1.1 505", b""}


def test_a_node_that_stops_says_so_first_and_finishes_what_it_began(attacked: Server) -> None:
    """The last of this file: it ends the server."""
    with closing(attacked.connect()) as kept, closing(Client(attacked)) as client:
        kept.request("GET", PATH)
        kept.getresponse().read()
        attacked.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: client.call("GET", "/readyz").status == 503, patience=5)
        kept.request("GET", PATH)  # Within limits.drain_delay all goes on.
        assert kept.getresponse().read() == IMAGE.manifest.data
    assert attacked.process.wait(30) == 0
