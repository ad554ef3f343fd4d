"""A blob of 1 GB, by one PUT and by one PATCH. entrepot answers when it is on disk; docker-registry does not sync.

Beside them a loop that copies the same bytes to a file and syncs it as often as entrepot commits: what the machine
gives to anyone who wants them on disk.
"""

import hashlib
import os
import random
import time
from functools import partial
from pathlib import Path

from bench.contestants import Bench
from bench.rounds import Figure, take_turns
from bench.source import send_blob
from tests.e2e.servers import Server

SIZE = 10**9
ROUNDS = 3
PIECE, COMMIT = 2**20, 16 * 2**20  # Bytes.


def measure(bench: Bench) -> list[Figure]:
    """Bytes per second, from the POST to the last answer. Each upload has a content of its own."""
    file = bench.folder / "1GB"
    content = random.Random(1).randbytes(10**8)
    with file.open("wb") as output:
        for _ in range(SIZE // len(content)):
            output.write(content)
    figures: list[Figure] = []
    with bench.both() as servers:
        for streamed, form in ((False, "POST, PUT"), (True, "POST, PATCH, PUT")):
            turns = {name: partial(_upload, server, file, streamed=streamed) for name, server in servers.items()}
            turns["a file synced each 16 MiB"] = partial(_copy, file, bench.folder / "copy")
            found = take_turns(turns, ROUNDS)
            method = "one connection, sendfile; the disk is synced before each"
            figures.append(Figure(f"1 GB blob, {form}", "B/s", found, "docker-registry", 3, method))
    file.unlink()
    return figures


def _copy(file: Path, copy: Path) -> float:
    os.sync()
    begun, written = time.perf_counter(), 0
    with file.open("rb") as content, copy.open("wb", buffering=0) as output:
        while piece := content.read(PIECE):
            output.write(piece)
            written += len(piece)
            if written % COMMIT == 0 or written == SIZE:
                os.fdatasync(output.fileno())
    seconds = time.perf_counter() - begun
    copy.unlink()
    return SIZE / seconds


def _upload(server: Server, file: Path, *, streamed: bool) -> float:
    with file.open("r+b") as content:
        content.write(os.urandom(16))
    with file.open("rb") as content:
        digest = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    os.sync()  # What the one before left to be written is not paid for by this one.
    return SIZE / send_blob(server, "bench/upload", file, digest, streamed=streamed)
