"""Pulls while 100 000 images are deleted and collected: their p99 must not rise above twice that of a quiet node.

The images lie in one repository and are filled in without requests, by ``bench.fill``; a small one beside it is pulled
from all the time, at a steady rate. Then the large repository is deleted, what lay in it is buried by the node itself,
and the blobs are collected by the command that does not wait for the day of grace, faster than the node would.

And how large the files of a node are whose images are evicted and pushed anew, ten times what it holds.
"""

import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

from bench.contestants import Bench
from bench.fill import Filling, fill
from bench.rounds import Figure
from tests.e2e import processes
from tests.e2e.churn import Filled, churn
from tests.e2e.images import Image, make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import Server, command, entrepot, node_environment, start_node

IMAGES = 100_000
CONNECTIONS = 4
RATE = 20.0  # Pulls a second on each connection: a manifest by tag, and the first layer.
QUIET = 20.0  # Seconds.
CAPACITY = 200 * 2**20  # Bytes.


def measure(bench: Bench) -> list[Figure]:
    """Milliseconds of the p99 of pulls: of a quiet node, while rows are buried, while blobs are collected."""
    data = bench.folder / "collection"
    fill(data, [Filling("many/images", IMAGES, IMAGES), Filling("few/images", 10, 10)])
    image = make_image(1, layers=[200_000])
    with _running(data) as server:
        client = Client(server)
        client.put_image("few/pulled", "1", image)
        client.close()
        with _Pulls(server, image) as pulls:
            quiet = pulls.p99_while(lambda: False)
            began = time.monotonic()
            command("repo", "rm", "many/images", "--force", "--data", data)
            burying = pulls.p99_while(lambda: _waiting(server, "buried") > 0)
            seconds = time.monotonic() - began
        with _Pulls(server, image) as pulls:
            began = time.monotonic()
            collect = subprocess.Popen(
                entrepot("collect", "--grace", "0", "--data", data), env=node_environment(), stdout=subprocess.DEVNULL
            )
            collecting = pulls.p99_while(lambda: collect.poll() is None)
            collected = time.monotonic() - began
            assert _metric(server, "entrepot_collected_blobs_total") >= IMAGES
            after = pulls.p99_while(lambda: False)
    ratios = _churn(bench)
    method = f"{CONNECTIONS} connections, {RATE:g} pulls a second each, of a manifest by tag and a layer of 200 KB"
    return [
        Figure(
            f"p99 of pulls while {IMAGES:,} images are buried",
            "ms",
            {"entrepot": (burying,), "a quiet node": (quiet,)},
            "",
            2 * quiet,
            f"{method}; the repository was deleted before; it took {seconds:.0f} s; the bound is twice the quiet node",
        ),
        Figure(
            f"p99 of pulls while {IMAGES:,} images are collected",
            "ms",
            {"entrepot": (collecting,), "a quiet node": (after,)},
            "",
            2 * after,
            f"{method}; by `entrepot collect --grace 0`; it took {collected:.0f} s; the bound as before",
        ),
        Figure(
            "file / live after ten capacities",
            "x",
            {"entrepot": (max(ratios.values()),), **{name: (ratio,) for name, ratio in ratios.items()}},
            "",
            1.3,
            f"{CAPACITY // 2**20} MiB of images of three layers, an eighth of it evicted and pushed anew at a time; "
            "less what is in flight; chunks and meta by pages, bytes by the bytes of blobs",
        ),
    ]


def _churn(bench: Bench) -> dict[str, float]:
    with bench.entrepot() as server:
        filled = Filled(server, Client(server))
        try:
            return churn(filled, capacity=CAPACITY, rounds=10, seed=1)
        finally:
            filled.client.close()


@contextmanager
def _running(data: Path) -> Iterator[Server]:
    server = start_node(data, port=processes.free_port())
    try:
        yield server
    finally:
        processes.stop(server.process)


class _Pulls:
    """Clients that pull at a steady rate, each on a connection of its own, for as long as the block."""

    def __init__(self, server: Server, image: Image) -> None:
        self._server, self._image = server, image
        self._ended = threading.Event()
        self._seconds: list[float] = []
        self._threads = [threading.Thread(target=self._pull) for _ in range(CONNECTIONS)]

    def __enter__(self) -> "_Pulls":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def p99_while(self, is_going_on: Callable[[], bool]) -> float:
        """Return the p99 in milliseconds of what is pulled while it goes on, and for some seconds at least."""
        self._seconds.clear()
        time.sleep(QUIET)
        while is_going_on():
            time.sleep(0.5)
        return quantiles(self._seconds, n=100)[98] * 1000

    def _pull(self) -> None:
        connection = http.client.HTTPConnection(self._server.host, self._server.port)
        paths = "manifests/1", f"blobs/{self._image.layers[0].digest}"
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            began = time.perf_counter()
            for path in paths:
                connection.request("GET", f"/v2/few/pulled/{path}")
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200, answer.status
            self._seconds.append(time.perf_counter() - began)
            due = max(due + 1 / RATE, time.monotonic())
        connection.close()


def _waiting(server: Server, kind: str) -> float:
    return _metric(server, f'entrepot_collection_waiting{{kind="{kind}"}}')


def _metric(server: Server, name: str) -> float:
    connection = http.client.HTTPConnection(server.host, server.port)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return float(json.loads(next(line for line in lines if line.startswith(name + " ")).split()[-1]))
