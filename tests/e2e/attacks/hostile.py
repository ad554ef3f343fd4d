"""A hostile client: frames and bytes as no library would send them, and what the server says to it.

Everything goes out on blocking sockets from the thread of the test; the daemon and the honest client are processes of
their own. A server that ends the connection while more is being sent makes sending fail: that is what is tested, so
``send`` says whether it got through and never raises.

Source: RFC 9113, 4.1 and 6; RFC 7541 by ``hpack``.
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hpack import Encoder

from tests.e2e.servers import Server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE, HEADER_TABLE_SIZE = 4, 1
NO_ERROR, PROTOCOL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0, 1, 6, 9, 11


def frame(kind: int, payload: bytes = b"", *, stream: int = 0, flags: int = 0, length: int | None = None) -> bytes:
    """Return a frame; *length* is what its header announces, where that is not what it has."""
    size = len(payload) if length is None else length
    return struct.pack("!I", size)[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


def settings(**values: int) -> bytes:
    """Return SETTINGS; names as in RFC 9113, 6.5.2, in small letters."""
    numbers = {"header_table_size": HEADER_TABLE_SIZE, "initial_window_size": INITIAL_WINDOW_SIZE}
    return frame(SETTINGS, b"".join(struct.pack("!HI", numbers[name], value) for name, value in values.items()))


@dataclass(slots=True)
class Hostile:
    """One HTTP/2 connection, its preface sent."""

    sock: socket.socket
    encoder: Encoder = field(default_factory=Encoder)
    stream: int = -1  # The last one that was opened.
    received: bytearray = field(default_factory=bytearray)

    def send(self, data: bytes) -> bool:
        """Send all of *data*; false where the server would not have it."""
        try:
            self.sock.sendall(data)
        except OSError:
            return False
        return True

    def head(self, path: str, *more: tuple[str, str], method: str = "GET", ends: bool = True) -> bytes:
        """Return the HEADERS of a request on a stream of its own."""
        self.stream += 2
        fields = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "localhost"), *more]
        flags = END_HEADERS | (END_STREAM if ends else 0)
        return frame(HEADERS, self.encoder.encode(fields), stream=self.stream, flags=flags)

    def frames(self, seconds: float = 10) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield kind, flags, stream and payload of what the server sends, to its end or for so long."""
        deadline = time.monotonic() + seconds
        while True:
            while len(self.received) >= 9 + (length := int.from_bytes(self.received[:3], "big")):
                kind, flags = self.received[3], self.received[4]
                stream = int.from_bytes(self.received[5:9], "big")
                payload = bytes(self.received[9 : 9 + length])
                del self.received[: 9 + length]
                yield kind, flags, stream, payload
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self.sock.recv(65_536)
            except OSError:
                return
            if not data:
                return
            self.received += data

    def farewell(self, seconds: float = 10) -> int:
        """Return the code of the server's GOAWAY; -1 where it ended the connection without one, -2 where it did not."""
        code = -1
        deadline = time.monotonic() + seconds
        for kind, _, _, payload in self.frames(seconds):
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8], "big")
        return code if time.monotonic() < deadline else -2


@contextmanager
def hostile(server: Server, *, began: bytes = b"") -> Iterator[Hostile]:
    """Connect, send the preface and *began*, by default empty SETTINGS; close in the end."""
    sock = connect(server)
    with sock:
        client = Hostile(sock)
        client.send(PREFACE + (began or settings()))
        yield client


def connect(server: Server, *, source: str = "127.0.0.1", receive: int = 0) -> socket.socket:
    """Return a connected socket; *receive*: the size of its receive buffer, where it is not the kernel's."""
    sock = socket.socket()
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    sock.settimeout(20)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", server.port))
    if server.ca is None:
        return sock
    context = ssl.create_default_context(cafile=str(server.ca))
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(sock, server_hostname="localhost")


def close(sockets: Iterable[socket.socket]) -> None:
    """Close them all."""
    for sock in sockets:
        sock.close()
