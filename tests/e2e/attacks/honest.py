"""An honest client in a process of its own: it pulls a manifest every 50 ms and tells how long each took.

In a process of its own, for an attacker in the same one would slow its clock down. ``measuring`` starts it and gives
what it found; run as a program it measures until its standard input ends.
"""

import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from select import select

from tests.e2e import processes
from tests.e2e.servers import ROOT, Server

INTERVAL = 0.05  # Seconds between two requests.


@dataclass(slots=True)
class Measured:
    """Filled when the block of ``measuring`` ends."""

    seconds: list[float] = field(default_factory=list)  # What each request took.
    failed: int = 0  # Requests that had another answer than 200, or none.

    def percentile(self, share: float) -> float:
        """Return the time that *share* of the requests did not exceed."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextmanager
def measuring(server: Server, path: str, *, source: str = "127.0.0.1", fresh: bool = False) -> Iterator[Measured]:
    """Pull *path* from another process for as long as the block.

    Args:
        server: to pull from.
        path: of a manifest.
        source: the loopback address that the client comes from.
        fresh: a connection for each request, as clients do that come anew; else one for all.
    """
    measured = Measured()
    command = [sys.executable, "-m", "tests.e2e.attacks.honest", server.host, str(server.port), path, source]
    command += ["fresh" if fresh else "kept", str(server.ca or "-")]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=processes.environment(PYTHONPATH=str(ROOT)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield measured
        found = json.loads(process.communicate(timeout=60)[0])
        measured.seconds, measured.failed = found["seconds"], found["failed"]
    finally:
        processes.kill(process)


def _connect(host: str, port: str, source: str, ca: str) -> http.client.HTTPConnection:
    if ca != "-":
        context = ssl.create_default_context(cafile=ca)
        return http.client.HTTPSConnection(host, int(port), timeout=10, source_address=(source, 0), context=context)
    return http.client.HTTPConnection(host, int(port), timeout=10, source_address=(source, 0))


def _measure(host: str, port: str, path: str, source: str, kept: str, ca: str) -> None:
    seconds: list[float] = []
    failed = 0
    client = _connect(host, port, source, ca)
    client.connect()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not select([sys.stdin], [], [], INTERVAL)[0]:
        began = time.perf_counter()
        try:
            client.request("GET", path)
            response = client.getresponse()
            response.read()
            failed += response.status != 200
        except (OSError, http.client.HTTPException):
            failed += 1
            client.close()
        seconds.append(time.perf_counter() - began)
        if kept == "fresh":
            client.close()
            client = _connect(host, port, source, ca)
    sys.stdout.write(json.dumps({"seconds": seconds, "failed": failed}))


if __name__ == "__main__":
    _measure(*sys.argv[1:])
