"""Sockets to accept on: TCP and Unix."""

import os
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

BACKLOG = 1024  # A burst of pulls after a deployment; the kernel caps it at net.core.somaxconn.
LOW_WATER = 128 * 1024
"""Bytes of unsent data that a socket may queue. With the kernel's default 1 000 stalled readers pin 3.8 GB of its
memory, with this 264 MB."""
HIGH_WATER = 2 * LOW_WATER
"""The same for a client that keeps up, as long as it does: it is waited for less often."""
KEEPALIVE = 60  # Seconds of silence before the kernel asks whether the client is still there.
STALLED_MS = 60_000  # Unacknowledged data for so long ends a connection, even one that has been handed over.


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to accept, and what holds for the connections of it."""

    sock: socket.socket
    tls: ssl.SSLContext | None = None
    hosts: frozenset[str] | None = None
    """Names by which an open node may be addressed; ``None``: any. See ``engine.refuse_foreign``."""

    @property
    def address(self) -> str:
        """Where clients connect: ``host:port`` or a path."""
        name = self.sock.getsockname()
        if isinstance(name, str):
            return name
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen_tcp(host: str, port: int) -> socket.socket:
    """Return a socket that listens on *host*, an IPv4 or IPv6 address or a name, and *port*; 0 is any free one.

    Raises:
        OSError: the address is in use, not ours, or no address.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    with ExitStack() as on_failure:
        on_failure.callback(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host in {"", "::"} else 1)
        try:
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError as error:  # Which of several addresses it was, python does not say.
            raise OSError(error.errno, error.strerror, f"{host}:{port}") from error
        on_failure.pop_all()
    return sock


def listen_unix(path: Path) -> socket.socket:
    """Return a socket that listens at *path*, for its owner only (0600). A file that is there is replaced.

    The caller holds a lock that says that no other process listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with ExitStack() as on_failure:
        on_failure.callback(sock.close)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            path.unlink(missing_ok=True)
            # The address holds 107 bytes, and data directories are longer than that: so by way of the folder.
            os.fchmod(sock.fileno(), 0o600)  # Before bind, so that there is no moment with a wider mode.
            sock.bind(f"/proc/self/fd/{folder}/{path.name}")
            sock.listen(BACKLOG)
        finally:
            os.close(folder)
        on_failure.pop_all()
    return sock


def tune(sock: socket.socket) -> None:
    """Set on an accepted socket what every connection needs."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, LOW_WATER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
