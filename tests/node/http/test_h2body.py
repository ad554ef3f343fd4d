"""A body that outlives its stream: whoever still reads it neither waits for ever nor takes a part for the whole."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from node.http.failures import ClientGone
from node.http.h2body import Http2Body
from node.http.limits import Limits
from node.http.transport import Pace


async def acknowledge(_size: int) -> None:
    """Nobody counts here."""


def body() -> Http2Body:
    made = Http2Body(None, Pace(trio.CancelScope(), Limits()), acknowledge)
    made.converse()
    return made


async def test_who_waits_is_told(nursery: trio.Nursery) -> None:
    given, told = body(), trio.Event()

    async def read() -> None:
        with pytest.raises(ClientGone):
            await given.receive()
        told.set()

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    given.abandon()
    with trio.fail_after(5):
        await told.wait()


async def test_what_was_thrown_away_is_missed() -> None:
    given = body()
    given.arrived(memoryview(b"all"), 3)
    given.finish()
    assert given.abandon() == 3
    with pytest.raises(ClientGone):
        await given.receive()


async def test_what_was_read_to_its_end_stays_so() -> None:
    given = body()
    given.arrived(memoryview(b"all"), 3)
    given.finish()
    assert (await given.receive(), given.abandon(), await given.receive()) == (b"all", 0, b"")


async def test_small_pieces_are_joined() -> None:
    async def acknowledge(size: int) -> None:
        credited.append(size)

    credited: list[int] = []
    body = Http2Body(None, Pace(trio.CancelScope(), Limits()), acknowledge)
    for number in range(10_000):
        body.arrived(memoryview(bytes([number % 251])), 2)
    body.finish()
    parts = []
    while part := await body.receive():
        parts.append(part)
    assert b"".join(parts) == bytes(number % 251 for number in range(10_000))
    assert len(parts) < 10
    assert sum(credited) == 20_000
