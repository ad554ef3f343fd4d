"""A source that stalls is left, not waited for."""

import pytest
import trio
from trio.testing import MockClock

from node.peers.fetch import patient


async def stall(view: memoryview) -> int:
    await trio.Event().wait()  # Nobody sets it.
    return len(view)


async def send_slowly(view: memoryview) -> int:
    await trio.sleep(9)
    return len(view)


async def test_a_source_that_stalls_breaks_off(autojump_clock: MockClock) -> None:
    begun = trio.current_time()
    with pytest.raises(trio.BrokenResourceError):
        await patient(stall, 10)(memoryview(bytearray(3)))
    assert trio.current_time() - begun == 10


async def test_a_slow_one_may_go_on(autojump_clock: MockClock) -> None:
    receive = patient(send_slowly, 10)
    assert [await receive(memoryview(bytearray(3))) for _ in range(3)] == [3, 3, 3]
