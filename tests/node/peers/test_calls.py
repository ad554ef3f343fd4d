"""Replies to calls: what is sent, and that the body is given back whatever becomes of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from node.http.message import Extent, Piece, Pieces
from node.peers.calls import SLICE, Reply, send_reply


class Body:
    """A body of *pieces* that notes what becomes of it."""

    def __init__(self, *pieces: Piece) -> None:
        self.closed = 0
        self.released = 0
        self._pieces = pieces

    def reply(self) -> Reply:
        return Reply(200, Pieces(self._iterate(), None, self._release))

    async def _iterate(self) -> AsyncIterator[Piece]:
        try:
            for piece in self._pieces:
                yield piece
        finally:
            self.closed += 1

    def _release(self) -> None:
        self.released += 1


class Wire:
    """Takes *room* sends and breaks at the next."""

    def __init__(self, room: int = 100) -> None:
        self.sent = b""
        self._room = room

    async def send(self, data: bytes | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if not self._room:
            raise trio.BrokenResourceError
        self._room -= 1
        self.sent += data


async def test_a_reply_is_its_status_and_then_its_body(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * (SLICE // 128))
    wire = Wire()
    with file.open("rb") as opened:
        body = Body(b"head", Extent(opened.fileno(), 10, SLICE + 7))
        await send_reply(body.reply(), wire.send)
    assert wire.sent == b"\0\xc8head" + file.read_bytes()[10 : SLICE + 17]
    assert (body.closed, body.released) == (1, 1)


async def test_a_short_reply_is_bytes() -> None:
    wire = Wire()
    await send_reply(Reply(404, b"no such method"), wire.send)
    assert wire.sent == b"\x01\x94no such method"


@pytest.mark.parametrize("room", [0, 1, 2])
async def test_the_body_is_released_where_the_reader_goes_away(room: int) -> None:
    body = Body(b"one", b"two")
    with pytest.raises(trio.BrokenResourceError):
        await send_reply(body.reply(), Wire(room).send)
    assert body.released == 1


async def test_the_body_is_released_where_the_reader_is_cancelled() -> None:
    body = Body(b"one")
    with trio.CancelScope() as scope:
        scope.cancel()
        await send_reply(body.reply(), Wire().send)
    assert (scope.cancelled_caught, body.released) == (True, 1)
