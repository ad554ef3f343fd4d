"""Clients that push.

``send_blob`` sends one large blob from a file by sendfile. ``push_images`` pushes many small images at once from one
thread: every request is prepared before the clock starts, each connection is a generator that is resumed by epoll, and
of a response only the status and the location are looked at; so it does some twenty thousand requests a second, well
above what is measured. One push is what clients do: HEAD, POST, PATCH, PUT for each blob, then PUT of the manifest.
"""

import selectors
import socket
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.e2e.images import Blob, Image
from tests.e2e.pushes import Client, expect
from tests.e2e.servers import Server


class PushFailed(Exception):
    """The server refused a step of a push."""


def send_blob(server: Server, repository: str, file: Path, digest: str, *, streamed: bool) -> float:
    """Push *file*; return seconds from the POST to the last answer: one PUT, or, *streamed*, one PATCH and a PUT."""
    client, size = Client(server), file.stat().st_size
    begun = time.perf_counter()
    upload = client.open_upload(repository)
    final = f"{upload}{'&' if '?' in upload else '?'}digest={digest}"
    if streamed:
        upload = _send_file(server, "PATCH", upload, file, size, status=202)
        final = f"{upload}{'&' if '?' in upload else '?'}digest={digest}"
        expect(client.call("PUT", final, Content_Length="0"), 201)
    else:
        _send_file(server, "PUT", final, file, size, status=201)
    seconds = time.perf_counter() - begun
    client.close()
    return seconds


def _send_file(server: Server, method: str, path: str, file: Path, size: int, *, status: int) -> str:
    """Send a request with *file* as its body; return the path of the answer's location."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {server.address}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Length: {size}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((server.host, server.port), 120) as connection, file.open("rb") as body:
        connection.sendall(head.encode())
        connection.sendfile(body)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
    found = _parse(answer, bodiless=False)
    if found.status != status:
        raise PushFailed(answer[:500])
    return found.location


@dataclass(frozen=True, slots=True)
class Head:
    """What a push looks at in a response."""

    status: int
    location: str
    length: int  # Of head and body together.


Conversation: TypeAlias = Generator[bytes, Head]
"""Yields a request, is sent the head of its response."""


@dataclass(slots=True)
class _Talk:
    """One connection."""

    socket: socket.socket
    conversation: Conversation
    arrived: bytes = b""
    bodiless: bool = False  # What is awaited answers a HEAD.

    def send(self, request: bytes) -> None:
        self.arrived, self.bodiless = b"", request.startswith(b"HEAD ")
        self.socket.sendall(request)


def push_images(server: Server, repository: str, images: Sequence[Image], *, connections: int) -> float:
    """Push all *images* over *connections* at once; return seconds."""
    queue = [_push(server, repository, f"t{number}", image) for number, image in enumerate(images)]
    selector = selectors.DefaultSelector()
    begun = time.perf_counter()
    for _ in range(connections):
        talk = _Talk(socket.create_connection((server.host, server.port), 60), queue.pop())
        talk.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk.send(next(talk.conversation))
        selector.register(talk.socket, selectors.EVENT_READ, talk)
    while selector.get_map():
        for key, _ in selector.select(60):
            if not _resume(key.data, queue):
                selector.unregister(key.fileobj)
                key.data.socket.close()
    return time.perf_counter() - begun


def _resume(talk: _Talk, queue: list[Conversation]) -> bool:
    """Take what has arrived and send what follows; whether there is anything left to do on this connection."""
    arrived = talk.socket.recv(65_536)
    if not arrived:
        raise PushFailed("the server closed the connection")
    talk.arrived += arrived
    if b"\r\n\r\n" not in talk.arrived:
        return True
    head = _parse(talk.arrived, bodiless=talk.bodiless)
    if len(talk.arrived) < head.length:
        return True
    try:
        talk.send(talk.conversation.send(head))
    except StopIteration:
        if not queue:
            return False
        talk.conversation = queue.pop()
        talk.send(next(talk.conversation))
    return True


def _push(server: Server, repository: str, tag: str, image: Image) -> Conversation:
    host = f"HTTP/1.1\r\nHost: {server.address}\r\n"
    for blob in image.blobs:
        _expect((yield f"HEAD /v2/{repository}/blobs/{blob.digest} {host}\r\n".encode()), 404)
        answer = yield f"POST /v2/{repository}/blobs/uploads/ {host}Content-Length: 0\r\n\r\n".encode()
        upload = _expect(answer, 202).location
        answer = yield _with_body("PATCH", upload, host, blob, "application/octet-stream")
        upload = _expect(answer, 202).location
        final = f"{upload}{'&' if '?' in upload else '?'}digest={blob.digest}"
        _expect((yield f"PUT {final} {host}Content-Length: 0\r\n\r\n".encode()), 201)
    path = f"/v2/{repository}/manifests/{tag}"
    _expect((yield _with_body("PUT", path, host, image.manifest, image.manifest.media_type)), 201)


def _with_body(method: str, path: str, host: str, blob: Blob, media_type: str) -> bytes:
    head = f"{method} {path} {host}Content-Type: {media_type}\r\nContent-Length: {len(blob.data)}\r\n\r\n"
    return head.encode() + blob.data


def _parse(data: bytes, *, bodiless: bool) -> Head:
    head, _, _ = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    found = headers.get("location", "")
    path = "/" + found.split("/", 3)[3] if "://" in found else found
    length = 0 if bodiless else int(headers.get("content-length", 0))
    return Head(int(status.split(" ", 2)[1]), path, len(head) + 4 + length)


def _expect(head: Head, status: int) -> Head:
    if head.status != status:
        raise PushFailed(f"{head.status}, not {status}")
    return head
