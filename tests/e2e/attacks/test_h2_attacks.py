"""Attacks on HTTP/2, each beside an honest client: S47, a row for each of reliability.md, "The server engine".

The attacker gets the protocol's refusal, the honest client its answers within 100 ms, and the memory comes back. On a
machine that is busy with other things an honest client is slow by itself, so an attack may be tried three times.
"""

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from bench.memory import MEBI, resident
from tests.e2e import servers
from tests.e2e.attacks.honest import measuring
from tests.e2e.attacks.hostile import (
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    WINDOW_UPDATE,
    Hostile,
    frame,
    hostile,
    settings,
)
from tests.e2e.images import make_image
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client
from tests.e2e.servers import RIVAL, Server

pytestmark = pytest.mark.skipif(RIVAL, reason="what the rival takes is its own business")

IMAGE = make_image(80, layers=(3000,))
PATH = "/v2/e2e/attacked/manifests/v1"
PATIENCE = 0.1  # Seconds for 99 of 100 honest requests.
MORE = 2 * MEBI  # Bytes that may be left of an attack.
TRIMMED = 75.0  # Seconds until the node has given back what the C library keeps: it does each minute.
BARRAGE = 0.6  # Seconds in which the attack is begun again and again.
TRIES = 3


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with servers.registry(tmp_path_factory.mktemp("attacked") / "data") as server:
        with closing(Client(server)) as client:
            client.put_image("e2e/attacked", "v1", IMAGE)
            for _ in range(200):
                client.get_manifest("e2e/attacked", "v1")
        yield server


def big_frame(client: Hostile) -> None:
    client.send(frame(DATA, stream=1, length=2**24 - 1) + bytes(2**20))


def continuations(client: Hostile) -> None:
    client.send(frame(HEADERS, b"\x82", stream=1))
    while client.send(frame(CONTINUATION, bytes(16_384), stream=1)):
        pass


def table_updates(client: Hostile) -> None:
    block = b"\x20\x3f\xe1\x1f" * 3000 + client.encoder.encode([(":method", "GET")])
    client.send(frame(HEADERS, block, stream=1, flags=END_HEADERS | END_STREAM))


def compressed_bomb(client: Hostile) -> None:
    """CVE-2016-6581: one large field in the table, named again and again."""
    large = client.encoder.encode([("x", "y" * 3500)])
    block = client.encoder.encode([(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")])
    client.send(frame(HEADERS, block + large + b"\xbe" * 12_000, stream=1, flags=END_HEADERS | END_STREAM))


def tiny_fields(client: Hostile) -> None:
    """CVE-2026-49975: many tiny indexed fields, and a window that lets no answer go."""
    client.send(settings(initial_window_size=0))
    for number in range(400):
        fields = [("a", "b")] * 90
        if not client.send(client.head(f"{PATH}?{number}", *fields)):
            return


def rapid_reset(client: Hostile) -> None:
    """CVE-2023-44487."""
    for _ in range(5000):
        head = client.head(PATH)
        if not client.send(head + frame(RST_STREAM, struct.pack("!I", 8), stream=client.stream)):
            return


def made_you_reset(client: Hostile) -> None:
    """CVE-2025-8671: the server resets, for a window that overflows."""
    for _ in range(5000):
        head = client.head(PATH, method="PUT", ends=False)
        if not client.send(head + frame(WINDOW_UPDATE, struct.pack("!I", 2**31 - 1), stream=client.stream)):
            return


def made_you_reset_by_data(client: Hostile) -> None:
    for _ in range(5000):
        head = client.head(PATH)
        if not client.send(head + frame(DATA, b"x", stream=client.stream)):
            return


def flood(one: bytes) -> Callable[[Hostile], None]:
    def send(client: Hostile) -> None:
        for _ in range(200):
            if not client.send(one * 500):
                return

    return send


def window_flips(client: Hostile) -> None:
    for _ in range(20):
        client.send(client.head("/v2/e2e/attacked/blobs/uploads/", method="POST", ends=False))
    for number in range(20_000):
        if not client.send(settings(initial_window_size=number % 2 * 60_000)):
            return


def data_on_a_stream(one: bytes, *, flags: int = 0) -> Callable[[Hostile], None]:
    def send(client: Hostile) -> None:
        client.send(client.head("/v2/e2e/attacked/blobs/uploads/", method="POST", ends=False))
        for _ in range(400):
            if not client.send(frame(DATA, one, stream=client.stream, flags=flags) * 500):
                return

    return send


def nonsense_heads(client: Hostile) -> None:
    """Blocks of the largest size that decompress slowly: refused each, and paid for by nobody."""
    for _ in range(200):
        client.stream += 2
        block = client.encoder.encode([(":method", "GET")]) + b"\x40\x01a\x01b" * 3000
        if not client.send(frame(HEADERS, block, stream=client.stream, flags=END_HEADERS | END_STREAM)):
            return


ATTACKS: dict[str, tuple[Callable[[Hostile], None], frozenset[int]]] = {
    "a frame of 16 MiB": (big_frame, frozenset({FRAME_SIZE_ERROR})),
    "CONTINUATION": (continuations, frozenset({ENHANCE_YOUR_CALM})),
    "table size updates": (table_updates, frozenset({COMPRESSION_ERROR})),
    "a compressed bomb": (compressed_bomb, frozenset({ENHANCE_YOUR_CALM, COMPRESSION_ERROR})),
    "rapid reset": (rapid_reset, frozenset({ENHANCE_YOUR_CALM})),
    "made you reset": (made_you_reset, frozenset({ENHANCE_YOUR_CALM})),
    "made you reset by DATA": (made_you_reset_by_data, frozenset({ENHANCE_YOUR_CALM})),
    "PING": (flood(frame(PING, bytes(8))), frozenset({ENHANCE_YOUR_CALM})),
    "SETTINGS": (flood(settings(initial_window_size=70_000)), frozenset({ENHANCE_YOUR_CALM})),
    "PRIORITY": (flood(frame(PRIORITY, b"\0\0\0\3\x10", stream=1)), frozenset({ENHANCE_YOUR_CALM})),
    "WINDOW_UPDATE": (flood(frame(WINDOW_UPDATE, b"\0\0\0\1")), frozenset({ENHANCE_YOUR_CALM})),
    "unknown frames": (flood(frame(0x77, b"x")), frozenset({ENHANCE_YOUR_CALM})),
    "empty DATA": (data_on_a_stream(b""), frozenset({ENHANCE_YOUR_CALM})),
    "DATA of one byte": (data_on_a_stream(b"x"), frozenset({ENHANCE_YOUR_CALM, 3})),
    "padding": (data_on_a_stream(b"\xff" + bytes(255), flags=8), frozenset({ENHANCE_YOUR_CALM, 3})),
    "window flips": (window_flips, frozenset({ENHANCE_YOUR_CALM})),
    "heads that decompress slowly": (nonsense_heads, frozenset({ENHANCE_YOUR_CALM, COMPRESSION_ERROR, 1})),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_and_nobody_else_notices(attacked: Server, attack: str) -> None:
    send, codes = ATTACKS[attack]
    before, slowest = resident(attacked.process.pid).own, 0.0
    for _ in range(TRIES):
        with measuring(attacked, PATH) as honest:
            end = time.monotonic() + BARRAGE
            while time.monotonic() < end:
                with hostile(attacked) as client:
                    send(client)
                    assert client.farewell() in codes
        assert not honest.failed
        slowest = honest.percentile(0.99)
        if slowest <= PATIENCE:
            break
    assert slowest <= PATIENCE
    assert wait_until(lambda: resident(attacked.process.pid).own <= before + MORE, patience=TRIMMED), (
        f"{(resident(attacked.process.pid).own - before) / MEBI:.1f} MiB are left of it"
    )


def test_tiny_fields_hold_little_memory(attacked: Server) -> None:
    """CVE-2026-49975: 185 KiB on the wire were 13.4 MiB in one connection."""
    before = resident(attacked.process.pid).own
    with measuring(attacked, PATH) as honest:
        clients = [hostile(attacked) for _ in range(10)]
        opened = [client.__enter__() for client in clients]
        for one in opened:
            tiny_fields(one)
        during = resident(attacked.process.pid).own
        for client in clients:
            client.__exit__(None, None, None)
    assert not honest.failed
    assert during - before < 30 * MEBI
    assert wait_until(lambda: resident(attacked.process.pid).own <= before + 10 * MORE, patience=20)


def test_a_client_that_asks_for_a_huge_table_is_answered_as_fast(attacked: Server) -> None:
    """It cost 33 ms for each answer after 6 000 of them."""
    began = settings(header_table_size=2**32 - 1) + frame(WINDOW_UPDATE, struct.pack("!I", 2**30))
    with hostile(attacked, began=began) as client, measuring(attacked, PATH) as honest:
        for _ in range(30):
            client.send(b"".join(client.head(PATH) for _ in range(50)))
            ended = 0
            for _, flags, stream, _ in client.frames():
                ended += bool(stream and flags & END_STREAM)
                if ended == 50:
                    break
            assert ended == 50
    assert not honest.failed
