"""Requests and replies of a session, alike on both of its sides.

Either side calls *methods* of the other: a name, a body that is small, and a reply whose body is streamed. How it
travels depends on who dialled, for only that side can open an HTTP/2 stream:

* the dialler asks by ``POST /ask/method``, and the response is the reply;
* the listener sends ``open(id)`` on the control stream and the dialler comes with ``POST /call/id``. The response
  carries the listener's request (``entrepot-method``, ``entrepot-length``, and the body), the body of that POST
  carries the reply: u16 status, big-endian, then its bytes. The listener ends the response when it has read all.

A reply that breaks off is ``trio.BrokenResourceError`` for its reader, never a short body that looks whole.
"""

import os
import re
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import msgspec
import trio

from node.http.message import Pieces
from node.http.outgoing import close_iterator
from protocol.auth.names import NodeName, RegistryName
from protocol.errors import PeerFault, Refusal

MAX_REQUEST = 1024 * 1024  # Bytes of a request's body.
MAX_CALLS = 64  # Requests of one side under way in one session.
SLICE = 262_144  # Bytes of an extent that are read at once.
_METHOD = re.compile(r"[a-z][a-z-]{0,31}", re.ASCII)


class Peer(msgspec.Struct, frozen=True):
    """The node at the other end, as its certificate says."""

    name: NodeName
    certificate: bytes  # DER.

    @property
    def registry(self) -> RegistryName:
        """The registry that it serves."""
        return self.name.registry


class Reply(msgspec.Struct, frozen=True):
    """What a call is answered with. A status is HTTP's; from 400 on the body is a message for people."""

    status: int
    body: bytes | Pieces = b""


Answer: TypeAlias = Callable[[Peer, str, bytes], Awaitable[Reply]]
"""``await answer(peer, method, body)``. A ``Refusal`` becomes a reply with its status, and
``PeerFault`` ends the session."""


Send: TypeAlias = Callable[[bytes | memoryview], Awaitable[None]]
"""``await send(data)``: done with *data* when it returns."""


class Source(Protocol):
    """Where the body of a reply comes from: a response of the dialling side, or a request body of the engine."""

    async def receive(self) -> bytes: ...  # noqa: D102 - see Received.

    async def receive_into(self, buffer: memoryview) -> int: ...  # noqa: D102


class Received:
    """A reply that is arriving. What is not read holds up the sender."""

    def __init__(self, status: int, source: Source) -> None:
        self.status = status
        self._source = source

    async def receive(self) -> bytes:
        """Return the next bytes, ``b""`` at the end."""
        return await self._source.receive()

    async def receive_into(self, buffer: memoryview) -> int:
        """Fill *buffer*; return how much was there, less than its size at the end only."""
        return await self._source.receive_into(buffer)

    async def read(self, limit: int) -> bytes:
        """Return the whole body; ``PeerFault`` where it is longer than *limit* bytes."""
        return await read_all(self._source, limit)


async def read_all(source: Source, limit: int) -> bytes:
    """Return all that *source* has; ``PeerFault`` where it is more than *limit* bytes."""
    body = bytearray()
    while piece := await source.receive():
        body += piece
        if len(body) > limit:
            raise PeerFault(f"a body of more than {limit} bytes")
    return bytes(body)


def is_method(text: str) -> bool:
    """Whether *text* can be the name of a method."""
    return _METHOD.fullmatch(text) is not None


async def reply_to(answer: Answer, peer: Peer, method: str, body: bytes) -> Reply:
    """Return what *answer* says, a refusal as a reply."""
    try:
        return await answer(peer, method, body)
    except Refusal as refusal:
        return Reply(refusal.status, str(refusal).encode())


async def send_reply(reply: Reply, send: Send) -> None:
    """Send the status in two bytes, then the body, extents read from their file.

    Releases the body at the end, whatever happens: also where nobody wanted to have the status.
    """
    body = reply.body
    try:
        await send(reply.status.to_bytes(2, "big"))
        if isinstance(body, bytes):
            await send(body)
        else:
            await _send_pieces(body, send)
    finally:
        if isinstance(body, Pieces):
            try:
                await close_iterator(body)
            finally:
                if body.release is not None:
                    body.release()


async def _send_pieces(pieces: Pieces, send: Send) -> None:
    buffer = memoryview(bytearray())
    async for piece in pieces.iterator:
        if isinstance(piece, bytes):
            await send(piece)
            continue
        buffer = buffer or memoryview(bytearray(SLICE))
        for at in range(0, piece.length, SLICE):
            part = buffer[: min(SLICE, piece.length - at)]
            await _read(piece.fd, piece.offset + at, part)
            await send(part)


async def _read(fd: int, offset: int, buffer: memoryview) -> None:
    """Fill *buffer*, without a thread where the page cache has it all, which it says at once."""
    try:
        count = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except OSError:
        count = 0
    if count < len(buffer):
        rest = buffer[count:]
        if await trio.to_thread.run_sync(os.preadv, fd, [rest], offset + count) < len(rest):
            raise OSError("a file is shorter than it should be")
