"""What a node occupies: idle, and while 200 clients that have stopped reading hold a blob of 200 MB each."""

import random
import time

from bench.contestants import Bench
from bench.memory import MEBI, Resident, resident
from bench.rounds import Figure
from bench.sink import slow_readers
from tests.e2e.images import Blob
from tests.e2e.pushes import Client
from tests.e2e.servers import Server

READERS = 200
SIZE = 200_000_000


def measure(bench: Bench) -> list[Figure]:
    """MiB that are the process's own (RssAnon + RssShmem); file pages are told beside them."""
    idle: dict[str, Resident] = {}
    slow: dict[str, Resident] = {}
    blob = Blob("", random.Random(2).randbytes(SIZE))
    with bench.both() as servers:
        for name, server in servers.items():
            idle[name] = _settled(server)
        for name, server in servers.items():
            client = Client(server)
            client.put_blob("bench/slow", blob)
            client.close()
            with slow_readers(server, f"/v2/bench/slow/blobs/{blob.digest}", count=READERS):
                slow[name] = _settled(server)
    return [
        _figure("idle", idle, 80),
        _figure(f"{READERS} slow readers of a 200 MB blob", slow, 120),
    ]


def _settled(server: Server) -> Resident:
    """Return the most that was seen in three seconds."""
    seen: list[Resident] = []
    for _ in range(6):
        time.sleep(0.5)
        seen.append(resident(server.process.pid))
    return max(seen, key=lambda one: one.own)


def _figure(name: str, found: dict[str, Resident], target: float) -> Figure:
    files = ", ".join(f"{contestant} {one.file / MEBI:.0f}" for contestant, one in found.items())
    values = {contestant: (one.own / MEBI,) for contestant, one in found.items()}
    return Figure(f"memory, {name}", "MiB", values, "", target, f"RssAnon + RssShmem; RssFile beside it: {files}")
