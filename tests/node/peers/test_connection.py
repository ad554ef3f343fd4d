"""The dialling side of HTTP/2: what a listener says that is no answer ends the connection, and nothing else."""

import struct
from collections.abc import Sequence
from typing import cast

import pytest
import trio
from hpack import Encoder
from trio.testing import memory_stream_pair

from node.peers.connection import Connection
from node.peers.tls import TlsStream

HEADERS, SETTINGS, END_HEADERS, END = 1, 4, 4, 1


class Plain:
    """What a connection uses of a TLS stream, without TLS."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def receive_into(self, buffer: memoryview) -> int:
        data = await self._stream.receive_some(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        pass


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


async def answered(fields: Sequence[tuple[bytes, bytes]]) -> tuple[int, dict[str, str]]:
    """Return what becomes of a request that is answered with *fields*."""
    ours, theirs = memory_stream_pair()
    connection = Connection(cast(TlsStream, Plain(ours)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        stream = await connection.request("/ask/hello", body=b"")
        block = Encoder().encode(fields)
        await theirs.send_all(frame(SETTINGS, 0, 0) + frame(HEADERS, END | END_HEADERS, 1, block))
        try:
            return await stream.response(), stream.headers
        finally:
            nursery.cancel_scope.cancel()


async def test_bytes_that_are_no_utf_8_are_a_header_like_others() -> None:
    status, headers = await answered([(b":status", b"200"), (b"x", b"\xff")])
    assert (status, headers["x"]) == (200, "\xff")


@pytest.mark.parametrize("status", [b"abc", b"", b"-12", b"99999", b"\xb2\xb2\xb2"])
async def test_a_status_that_is_none_ends_the_connection(status: bytes) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await answered([(b":status", status)])
    assert raised.group_contains(trio.BrokenResourceError, match="status")
