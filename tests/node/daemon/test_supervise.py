"""A job that fails is told of once and started again, less and less often; the others do not notice."""

from itertools import pairwise

import pytest
import structlog
import structlog.testing
import trio
from trio.testing import MockClock

from node.daemon.supervise import supervise
from protocol.errors import StoreReadOnly


async def test_a_job_that_fails_is_started_again_after_a_pause_that_grows(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    started: list[float] = []
    failed: list[str] = []

    async def job() -> None:
        started.append(trio.current_time() - begun)
        raise LookupError

    begun = trio.current_time()
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(supervise, "test", job, failed.append)
        await trio.sleep(400)
    pauses = [round(after - before) for before, after in pairwise(started)]
    assert pauses[:7] == [2, 4, 8, 16, 32, 60, 60]
    assert [(log["event"], log["job"]) for log in logs] == [("job failed", "test")] * len(started)
    assert failed == ["test"] * len(started)


async def test_what_is_expected_to_fail_is_told_without_a_traceback(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def job() -> None:
        raise StoreReadOnly("the disk failed")

    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(supervise, "test", job, lambda _: None)
        await trio.sleep(1)
    [log] = logs
    assert (log["event"], log["reason"]) == ("job failed", "the disk failed")
    assert "exc_info" not in log


async def test_one_that_ran_for_long_is_started_again_at_once(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    started: list[float] = []

    async def job() -> None:
        started.append(trio.current_time() - begun)
        await trio.sleep(100)
        raise LookupError

    begun = trio.current_time()
    with structlog.testing.capture_logs():
        nursery.start_soon(supervise, "test", job, lambda _: None)
        await trio.sleep(350)
    assert [round(one) for one in started] == [0, 101, 202, 303]


async def test_a_failure_in_a_group_is_a_failure(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    started = trio.Event(), trio.Event()

    async def fail() -> None:
        raise LookupError

    async def job() -> None:
        started[started[0].is_set()].set()
        async with trio.open_nursery() as inner:
            inner.start_soon(fail)

    with structlog.testing.capture_logs():
        nursery.start_soon(supervise, "test", job, lambda _: None)
        await started[1].wait()


async def test_a_job_ends_with_its_nursery(autojump_clock: MockClock) -> None:
    with trio.move_on_after(10) as scope:
        await supervise("test", trio.sleep_forever, lambda _: None)
    assert scope.cancelled_caught


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_is_no_error_is_passed_on(error: type[BaseException]) -> None:
    async def job() -> None:
        raise error

    with pytest.raises(error):
        await supervise("test", job, lambda _: None)
