"""What connections cost: idle ones, readers that stop, streams whose windows let nothing through, many large uploads.

The functions are also what ``tests/e2e/attacks/test_soak_engine.py`` holds to their bounds.
"""

import random
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.contestants import Bench
from bench.memory import MEBI, resident
from bench.rounds import Figure
from bench.sink import slow_readers
from tests.e2e import processes
from tests.e2e.attacks.hostile import WINDOW_UPDATE, Hostile, frame, hostile, settings
from tests.e2e.images import Blob
from tests.e2e.pushes import Client
from tests.e2e.servers import Server

IDLE, READERS, STALLED, STREAMS, UPLOADS = 1000, 1000, 200, 100, 64
SIZE = 200_000_000
KIBI = 1024


def measure(bench: Bench) -> list[Figure]:
    """Kibibytes for each idle connection and slow reader, mebibytes for what others hold."""
    blob = Blob("", random.Random(2).randbytes(SIZE))
    with bench.entrepot() as server:
        client = Client(server)
        client.put_blob("bench/engine", blob)
        client.close()
        path = f"/v2/bench/engine/blobs/{blob.digest}"
        return [
            _figure(f"{IDLE} idle HTTP/2 connections", "KiB each", idle_connections(server) / KIBI, 40),
            _figure(f"{READERS} slow readers, RSS", "MiB", (readers := read_slowly(server, path))[0] / MEBI, 200),
            _figure(f"{READERS} slow readers, send queues", "KiB each", readers[1] / KIBI, 400),
            _figure(
                f"{STALLED} connections with {STREAMS} streams and no window", "MiB", stall(server, path) / MEBI, 200
            ),
        ]


def idle_connections(server: Server, count: int = IDLE) -> float:
    """Return bytes of the node for each of *count* HTTP/2 connections behind their prefaces."""
    before = resident(server.process.pid).own
    with ExitStack() as stack:
        for _ in range(count):
            _greet(stack.enter_context(hostile(server)))
        return (_settled(server) - before) / count


def read_slowly(server: Server, path: str, count: int = READERS) -> tuple[int, float]:
    """Return what the node has with *count* readers that stop, and what the kernel holds for each on its side."""
    _settled(server)  # Who was there before has left.
    with slow_readers(server, path, count=count):
        return _settled(server), queued(server.port) / count


def stall(server: Server, path: str, count: int = STALLED, streams: int = STREAMS, seconds: float = 3.0) -> int:
    """Return what the node has with *count* connections of *streams* answers that no window lets go."""
    _settled(server)
    most = 0
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(hostile(server, began=settings(initial_window_size=0)))
            client.send(frame(WINDOW_UPDATE, struct.pack("!I", 2**30)))
            client.send(b"".join(client.head(path) for _ in range(streams)))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            most = max(most, resident(server.process.pid).own)
            time.sleep(0.2)
    return most


def queued(port: int) -> int:
    """Return the bytes in the send queues of all connections of *port*, sent or not."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] != "0A":  # Not the one that listens.
            total += int(fields[4].partition(":")[0], 16)
    return total


@contextmanager
def uploading(
    server: Server, file: Path, digest: str, count: int = UPLOADS
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Send *file* by *count* uploads at once, from processes of curl; the block waits for them."""
    client = Client(server)
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            upload = client.open_upload(f"bench/upload{number}")
            url = f"{server.url}{upload}{'&' if '?' in upload else '?'}digest={digest}"
            command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "-T", str(file), url]
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=processes.environment()))
        yield running
    finally:
        client.close()
        for one in running:
            if one.poll() is None:
                one.kill()
            one.wait()


def _greet(client: Hostile) -> None:
    client.send(frame(4, b"", flags=1))
    next(client.frames(), None)


def _settled(server: Server) -> int:
    seen = []
    for _ in range(4):
        time.sleep(0.5)
        seen.append(resident(server.process.pid).own)
    return max(seen)


def _figure(name: str, unit: str, value: float, target: float) -> Figure:
    return Figure(f"engine, {name}", unit, {"entrepot": (value,)}, "", target, "RssAnon + RssShmem; /proc/net/tcp")
