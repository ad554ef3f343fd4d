"""HTTP/1.1 byte by byte, for requests that no client library would send: what goes out is what the test wrote.

Answers are read by h11, which is strict about where one ends and the next begins: a server that answers once too
often, or with a body that it did not announce, fails here.
"""

import socket
import ssl
from dataclasses import dataclass

import h11

from tests.e2e.servers import Server

PATIENCE = 20.0  # Seconds for the whole of an answer.


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(server: Server, sent: bytes, *, method: str = "GET", end: bool = True) -> list[RawAnswer]:
    """Send *sent* on a connection of its own; return all answers until the server closes or has no more to say.

    Args:
        server: to send to.
        sent: everything, however many requests that is to whoever reads it.
        method: of the requests, as far as it decides whether answers have bodies.
        end: half-close afterwards, so that the server closes when it has answered.
    """
    with _connect(server) as sock:
        try:
            sock.sendall(sent)
            if end and not isinstance(sock, ssl.SSLSocket):
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It was refused before it was all sent; what was said is still to be read.
        return _answers(sock, method)


def request(method: str, target: str, *fields: tuple[str, str], host: str, body: bytes = b"") -> bytes:
    """Return a request as it should be, but for what the arguments say; nothing is added but Host and a length."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _connect(server: Server) -> socket.socket:
    sock = socket.create_connection((server.host, server.port), PATIENCE)
    if server.ca is None:
        return sock
    context = ssl.create_default_context(cafile=str(server.ca))
    return context.wrap_socket(sock, server_hostname=server.host)


def _answers(sock: socket.socket, method: str) -> list[RawAnswer]:
    found: list[RawAnswer] = []
    reader = _reader(method)
    head: h11.Response | None = None
    body = bytearray()
    while True:
        match reader.next_event():
            case h11.NEED_DATA:
                data = _receive(sock)
                if not data:
                    assert head is None, f"it ended in the middle of an answer: {head}"
                    return found
                reader.receive_data(data)
            case h11.Response() as response:
                head = response
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage() if head is not None:
                headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                found.append(RawAnswer(head.status_code, headers, bytes(body)))
                left = reader.trailing_data[0]
                reader, head, body = _reader(method), None, bytearray()
                if left:
                    reader.receive_data(left)
            case _:
                pass


def _reader(method: str) -> h11.Connection:
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    reader.send(h11.EndOfMessage())
    return reader


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except ConnectionError:
        return b""
