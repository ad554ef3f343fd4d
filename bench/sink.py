"""Clients that receive.

``drain`` reads a response and lets the kernel throw the bytes away (``MSG_TRUNC``): no copy, so that it is the server
that is measured; on loopback a copying client costs as much as the server does. ``SlowReaders`` read a little and stop.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.servers import Server

PIECE = 4 * 2**20


class ShortResponse(Exception):
    """The server closed, or answered with another status."""


def drain(server: Server, path: str) -> int:
    """GET *path* over plain HTTP on a new connection; return the size of the body, which was thrown away."""
    with socket.create_connection((server.host, server.port), 60) as connection:
        _ask(connection, server, path)
        size, got = _head(connection)
        untouched = bytearray(PIECE)  # Has to be there, and is not written to.
        while got < size:
            received = connection.recv_into(untouched, min(PIECE, size - got), socket.MSG_TRUNC)
            if not received:
                raise ShortResponse(f"{got} of {size} bytes")
            got += received
        return size


def drain_rate(server: Server, path: str, *, clients: int) -> float:
    """Return bytes per second of *clients* that drain at once, from the first request to the last byte."""
    sizes: list[int] = []
    threads = [threading.Thread(target=lambda: sizes.append(drain(server, path))) for _ in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(sizes) != clients:
        raise ShortResponse(f"{clients - len(sizes)} of {clients} clients failed")
    return sum(sizes) / (time.perf_counter() - begun)


@contextmanager
def slow_readers(server: Server, path: str, *, count: int) -> Iterator[None]:
    """Hold *count* connections that asked for *path* and read the first 64 KiB of it."""
    connections: list[socket.socket] = []
    try:
        for _ in range(count):
            connection = socket.create_connection((server.host, server.port), 60)
            connections.append(connection)
            _ask(connection, server, path)
        for connection in connections:
            _, got = _head(connection)
            while got < 65_536:
                got += len(connection.recv(65_536 - got)) or _closed(got)
        yield
    finally:
        for connection in connections:
            connection.close()


def _closed(got: int) -> int:
    raise ShortResponse(f"closed after {got} bytes")


def _ask(connection: socket.socket, server: Server, path: str) -> None:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {server.address}\r\nConnection: close\r\n\r\n".encode())


def _head(connection: socket.socket) -> tuple[int, int]:
    """Read the head of the response; return the size of the body, and how much of it came with the head."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(16_384) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().splitlines()
    if not lines or " 200" not in lines[0]:
        raise ShortResponse(lines[0] if lines else "closed")
    [size] = [int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")]
    return size, len(body)
