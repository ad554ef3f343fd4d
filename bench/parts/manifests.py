"""Manifests by tag: what every pull begins with, and what a cluster asks all day."""

import re
import subprocess
from functools import partial

from bench.contestants import Bench
from bench.rounds import Figure, take_turns
from tests.e2e.images import MANIFEST, make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import Server

ROUNDS = 5
SECONDS = 3
REQUESTS = 6000  # Of ab, which counts requests, not seconds.


def measure(bench: Bench) -> list[Figure]:
    """Requests per second at 16 connections: GET by wrk and ab, HEAD by ab."""
    with bench.both() as servers:
        for server in servers.values():
            client = Client(server)
            client.put_image("bench/app", "1", make_image(1, layers=(1000,) * 8))
            client.close()
        with_wrk = take_turns({name: partial(_wrk, server) for name, server in servers.items()}, ROUNDS)
        with_ab = take_turns({name: partial(_ab, server) for name, server in servers.items()}, ROUNDS)
        heads = take_turns({name: partial(_ab, server, "-i") for name, server in servers.items()}, ROUNDS)
    rival = "docker-registry"
    return [
        Figure("manifest GET by tag, wrk", "requests/s", with_wrk, rival, 8, f"wrk -t1 -c16 -d{SECONDS}s"),
        Figure("manifest GET by tag, ab", "requests/s", with_ab, rival, 8, f"ab -k -c16 -n {REQUESTS}"),
        Figure(
            "manifest HEAD by tag, ab", "requests/s", heads, rival, 8,
            f"ab -i -k -c16 -n {REQUESTS} (wrk waits for a body that a HEAD does not have)",
        ),
    ]  # fmt: skip


def _wrk(server: Server) -> float:
    command = ["wrk", "-t1", "-c16", f"-d{SECONDS}s", "-H", f"Accept: {MANIFEST}", _url(server)]
    said = _run(command)
    assert "Non-2xx" not in said, said
    return _number(r"Requests/sec:\s+([\d.]+)", said)


def _ab(server: Server, *options: str) -> float:
    command = ["ab", "-q", "-k", "-c16", f"-n{REQUESTS}", *options, "-H", f"Accept: {MANIFEST}", _url(server)]
    said = _run(command)
    assert "Non-2xx" not in said, said
    assert re.search(r"Failed requests:\s+0\b", said), said
    return _number(r"Requests per second:\s+([\d.]+)", said)


def _url(server: Server) -> str:
    return f"{server.url}/v2/bench/app/manifests/1"


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, text
    return float(found[1])
