"""An honest client in a process of its own: one GET each 50 ms on a kept connection, each with how long it took.

    python -m tests.e2e.probe HOST PORT PATH FILE

A line of *FILE* is: when it began (``time.monotonic``), seconds until the last byte, status; 0 where there was no
answer. It ends when it is told to, by TERM.
"""

import http.client
import sys
import time
from pathlib import Path

EVERY = 0.05  # Seconds.
PATIENCE = 10.0


def main() -> None:
    """Ask until somebody ends this process."""
    host, port, path, file = sys.argv[1:]
    client = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    with Path(file).open("a", buffering=1) as out:
        while True:
            began = time.monotonic()
            try:
                client.request("GET", path)
                answer = client.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                client.close()
                status = 0
            took = time.monotonic() - began
            out.write(f"{began:.4f} {took:.6f} {status}\n")
            time.sleep(max(0.0, EVERY - took))


if __name__ == "__main__":
    main()
