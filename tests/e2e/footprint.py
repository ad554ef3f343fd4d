"""What a node holds at a moment: file descriptors, memory, threads, readers of the store, and what it counts itself.

Memory is what is the node's own (``RssAnon``, ``RssShmem``): pages of the store that it mapped are the page cache's.
"""

import struct
from dataclasses import dataclass, fields
from pathlib import Path

from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client
from tests.e2e.servers import Server

_READERS = 128  # Where the slots begin in LMDB's lock.mdb (0.9 format, 64-bit Linux): two headers of a cache line.
_SLOT = 64
_FREE = 2**64 - 1  # The transaction of a slot whose reader has ended.
AT_REST = ("leases", "uploads", "in_flight", "waiting", "calls", "transits", "readers")  # All 0 where nothing goes on.


@dataclass(frozen=True, slots=True)
class Footprint:
    """Counts; ``memory`` in bytes."""

    descriptors: int
    memory: int
    threads: int
    readers: int
    connections: int
    tasks: int
    leases: int
    uploads: int
    in_flight: int
    waiting: int
    calls: int
    transits: int

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way."""
        return not any(getattr(self, name) for name in AT_REST)

    def __str__(self) -> str:
        return ", ".join(f"{one.name} {getattr(self, one.name)}" for one in fields(self))


def footprint(server: Server) -> Footprint:
    """Measure a node that runs."""
    pid, numbers = server.process.pid, metrics(server)
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Footprint(
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        memory=sum(int(status[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem")),
        threads=int(status["Threads"]),
        readers=sum(active_readers(server.data / name / "lock.mdb") for name in ("meta", "chunks")),
        connections=int(_sum(numbers, "entrepot_connections")),
        tasks=int(_sum(numbers, "entrepot_tasks")),
        leases=int(_sum(numbers, "entrepot_leased_blobs")),
        uploads=int(_sum(numbers, "entrepot_uploads_in_progress")),
        in_flight=int(_sum(numbers, "entrepot_chunks_in_flight")),
        waiting=int(_sum(numbers, "entrepot_store_writes_waiting")),
        calls=int(_sum(numbers, "entrepot_peer_calls_in_flight")),
        transits=int(_sum(numbers, "entrepot_transits")),
    )


def at_rest(server: Server, *, patience: float) -> Footprint:
    """Return what a node holds once nothing goes on in it any more, or after *patience* seconds."""
    last = footprint(server)

    def rests() -> bool:
        nonlocal last
        last = footprint(server)
        return last.is_at_rest

    wait_until(rests, patience=patience, interval=1)
    return last


def metrics(server: Server) -> dict[str, float]:
    """Return every sample of ``/metrics`` by its name with labels."""
    client = Client(server)
    text = client.call("GET", "/metrics").body.decode()
    client.close()
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def active_readers(lock: Path) -> int:
    """Return how many read transactions an LMDB environment has open, of live processes or dead ones."""
    data = lock.read_bytes()
    slots = (data[at : at + 12] for at in range(_READERS, len(data) - _SLOT + 1, _SLOT))
    return sum(pid != 0 and transaction != _FREE for transaction, pid in (struct.unpack("<QI", one) for one in slots))


def _sum(numbers: dict[str, float], name: str) -> float:
    return sum(value for key, value in numbers.items() if key.partition("{")[0] == name)
