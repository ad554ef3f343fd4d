"""Whether the node in this container lives: 0 where its event loop answers, else 1 and why.

It asks over the control socket, so it knows neither ports nor certificates; the standard library does.
"""

import os
import socket
import sys
from pathlib import Path

PATIENCE = 4.0  # Seconds.


def main() -> int:
    """Ask, and return the exit code."""
    path = Path(os.environ.get("ENTREPOT_DATA", "/var/lib/entrepot")) / "control.sock"
    try:
        with socket.socket(socket.AF_UNIX) as node:
            node.settimeout(PATIENCE)
            node.connect(str(path))
            node.sendall(b"GET /admin/v1/healthz HTTP/1.0\r\nhost: localhost\r\n\r\n")
            answer = node.recv(64)
    except OSError as error:
        sys.stderr.write(f"{path}: {error.strerror or error}\n")
        return 1
    return 0 if answer.split(b" ")[1:2] == [b"200"] else 1


if __name__ == "__main__":
    sys.exit(main())
