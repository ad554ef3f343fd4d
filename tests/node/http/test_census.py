"""Who only holds connections open loses them, and a client that comes and asks is served."""

from collections import Counter

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.http.census import PATIENCE, Census
from node.http.counts import Counts
from node.http.limits import Limits
from node.http.message import Request, Response
from tests.node.http.serving import Start


def open_census(hits: Counter[str], **limits: int) -> Census:
    return Census(lambda: Limits(**limits), lambda name: hits.update([name]), Counts())


async def test_the_stranger_that_is_silent_for_longest_goes(mock_clock: MockClock) -> None:
    hits: Counter[str] = Counter()
    census, ended = open_census(hits, strangers_each=3), list[int]()
    guests = [census.admit("a") for _ in range(3)]
    for number, guest in enumerate(guests):
        assert guest is not None
        guest.end = lambda number=number: ended.append(number)  # type: ignore[misc]
    assert census.admit("a") is not None
    assert ended == []  # A burst: they had no time to ask.
    mock_clock.jump(PATIENCE * 2)
    assert guests[0] is not None
    guests[0].asks()
    assert census.admit("a") is not None
    assert ended == [1]
    assert census.admit("b") is not None
    assert ended == [1]
    assert hits == {"strangers_each": 1}


async def test_who_was_answered_well_is_no_stranger_any_more(mock_clock: MockClock) -> None:
    census = open_census(Counter(), strangers=1, strangers_each=1)
    known, refused = census.admit("a"), census.admit("b")
    assert known is not None
    assert refused is not None
    for guest, trusted in ((known, True), (refused, False)):
        guest.asks()
        guest.answered(trusted=trusted)
        guest.rests()
    assert (known.is_stranger, refused.is_stranger) == (False, True)
    ended: list[str] = []
    known.end, refused.end = lambda: ended.append("known"), lambda: ended.append("refused")
    mock_clock.jump(PATIENCE * 2)
    assert census.admit("a") is not None
    assert ended == ["refused"]
    for guest in (known, refused):
        census.left(guest)
    assert census.admit("a") is not None


async def test_idle_connections_are_kept_for_a_shorter_time_when_many_are_open() -> None:
    census = open_census(Counter(), connections_each=4)
    times = []
    for _ in range(4):
        assert census.admit("a") is not None
        times.append(census.idle("a"))
    assert times == [75, 75, 75, 10]
    assert census.idle("b") == 75


async def test_silent_connections_make_room_for_who_asks(start: Start, autojump_clock: MockClock) -> None:
    async def hello(request: Request) -> Response:
        return Response(200, (), b"hello")

    allowed = [Limits(strangers_each=10, connections_each=20)]
    server = await start(hello, limits=lambda: allowed[-1])
    silent = [await server.connect() for _ in range(10)]
    await wait_all_tasks_blocked()
    await trio.sleep(PATIENCE * 2)
    for _ in range(3):
        assert b"hello" in await server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert server.hits == {"strangers_each": 1}
    with pytest.raises(trio.BrokenResourceError):
        await silent[0].receive_some()
    allowed.append(Limits(strangers_each=2))
    assert b"hello" in await server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert server.hits["strangers_each"] > 7
    for stream in silent:
        await stream.aclose()
