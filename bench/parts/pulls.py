"""A 200 MB blob: plain beside nginx, over TLS beside docker-registry."""

import random
import subprocess
import time
from functools import partial

from bench.contestants import Bench
from bench.rounds import Figure, take_turns
from bench.sink import drain_rate
from tests.e2e.images import Blob
from tests.e2e.pushes import Client
from tests.e2e.servers import Server

SIZE = 200_000_000
ROUNDS = 7
REPOSITORY = "bench/blob"


def measure(bench: Bench) -> list[Figure]:
    """Bytes per second."""
    blob = Blob("", random.Random(1).randbytes(SIZE))
    return [*_plain(bench, blob), *_tls(bench, blob)]


def _plain(bench: Bench, blob: Blob) -> list[Figure]:
    figures: list[Figure] = []
    with bench.both() as servers, bench.nginx(blob.data) as nginx:
        path = _push(servers, blob)
        for clients in (1, 8):
            turns = {name: partial(drain_rate, server, path, clients=clients) for name, server in servers.items()}
            turns["nginx"] = partial(drain_rate, nginx, "/blob", clients=clients)
            label = "1 client" if clients == 1 else f"{clients} clients"
            method = "a client that lets the kernel drop what arrives (MSG_TRUNC)"
            figures.append(Figure(f"200 MB blob GET, {label}", "B/s", take_turns(turns, ROUNDS), "nginx", 1, method))
    return figures


def _tls(bench: Bench, blob: Blob) -> list[Figure]:
    figures: list[Figure] = []
    with bench.both(tls=True) as servers:
        path = _push(servers, blob)
        for version in ("1.1", "2"):
            turns = {name: partial(_curl, server, path, version) for name, server in servers.items()}
            found = take_turns(turns, ROUNDS)
            name, method = f"200 MB blob GET, TLS, HTTP/{version}", f"curl --http{version} -o /dev/null"
            figures.append(Figure(name, "B/s", found, "docker-registry", 1, method))
    return figures


def _push(servers: dict[str, Server], blob: Blob) -> str:
    for server in servers.values():
        client = Client(server)
        client.put_blob(REPOSITORY, blob)
        client.close()
    return f"/v2/{REPOSITORY}/blobs/{blob.digest}"


def _curl(server: Server, path: str, version: str) -> float:
    command = ["curl", "-sS", "--fail", f"--http{version}", "--cacert", str(server.ca), "-o", "/dev/null"]
    command += ["-w", "%{http_version} %{size_download}", f"{server.url}{path}"]
    begun = time.perf_counter()
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    seconds = time.perf_counter() - begun
    assert said == f"{version} {SIZE}", said
    return SIZE / seconds
