"""What grows with a store must not be felt: pages of a long list of tags, and the time from exec to the first answer.

The store is filled without requests, by ``bench.fill``; that takes some minutes.
"""

import http.client
import json
import subprocess
import time
from pathlib import Path

from bench.contestants import Bench
from bench.fill import Filling, fill
from bench.rounds import Figure
from tests.e2e import processes
from tests.e2e.servers import entrepot, node_environment

TAGS = 100_000
PAGE = 1000
MANY, FEW = 1_000_000, 100
ROUNDS = 5


def measure(bench: Bench) -> list[Figure]:
    """Seconds for the last page as a multiple of the first; seconds to the first manifest."""
    few, many = bench.folder / "few", bench.folder / "many"
    fill(few, [Filling("scale/r0", FEW, FEW)])
    repositories = [Filling(f"scale/r{number}", 1000, 1000) for number in range(MANY // 1000)]
    fill(many, [*repositories, Filling("scale/tags", 10, TAGS)])
    starts: dict[str, list[float]] = {"few": [], "many": []}
    for _ in range(ROUNDS):
        starts["few"].append(_start(few))
        starts["many"].append(_start(many))
    first, last = _pages(many)
    return [
        Figure(
            f"start with {MANY:,} manifests",
            "s",
            {"entrepot": tuple(starts["many"]), f"entrepot with {FEW} manifests": tuple(starts["few"])},
            "",
            1.0,
            "exec to the first GET of a manifest, byte-code cached",
        ),
        Figure(
            f"last page of {TAGS:,} tags",
            "ms",
            {"entrepot": (last * 1000,), "the first page": (first * 1000,)},
            "",
            2 * first * 1000,
            f"n={PAGE}, best of {ROUNDS} walks through all pages; the bound is twice the first page",
        ),
    ]


def _start(data: Path) -> float:
    port = processes.free_port()
    began = time.perf_counter()
    process = _serve(data, port)
    try:
        _until_answered(port, "/v2/scale/r0/manifests/v0000001")
        return time.perf_counter() - began
    finally:
        processes.stop(process)


def _serve(data: Path, port: int) -> "subprocess.Popen[bytes]":
    command = entrepot("serve", "--data", data, "--listen", f"127.0.0.1:{port}")
    with (data / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=node_environment())


def _until_answered(port: int, path: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
        except ConnectionRefusedError:
            time.sleep(0.005)
            continue
        finally:
            connection.close()
        assert answer.status == 200, answer.status
        return
    raise TimeoutError(path)


def _pages(data: Path) -> tuple[float, float]:
    port = processes.free_port()
    process = _serve(data, port)
    try:
        _until_answered(port, "/v2/scale/r0/manifests/v0000001")
        walks = [_walk(port) for _ in range(ROUNDS)]
        return min(walk[0] for walk in walks), min(walk[-1] for walk in walks)
    finally:
        processes.stop(process)


def _walk(port: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    path: str | None = f"/v2/scale/tags/tags/list?n={PAGE}"
    seconds: list[float] = []
    found = 0
    while path is not None:
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        seconds.append(time.perf_counter() - began)
        found += len(json.loads(body)["tags"])
        link = answer.headers.get("link")
        path = None if link is None else link.partition("<")[2].partition(">")[0]
    assert found == TAGS, found
    connection.close()
    return seconds
