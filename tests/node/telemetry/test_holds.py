"""What holds up the event loop is told with the task that did, and nothing else is told."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from node.http import h1guard
from node.telemetry.holds import KINDS, LATE, Hold, LoopWatch


@contextmanager
def watched(told: list[Hold]) -> Iterator[LoopWatch]:
    watch, ended = LoopWatch(), threading.Event()
    thread = threading.Thread(target=watch.watch, args=(threading.get_ident(), told.append, ended))
    trio.lowlevel.add_instrument(watch)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
        trio.lowlevel.remove_instrument(watch)


def compute(until: Callable[[], bool]) -> None:
    while not until():
        pass


async def hold_up(seconds: float) -> None:
    end = time.monotonic() + seconds
    compute(lambda: time.monotonic() > end)


async def told_of(told: list[Hold]) -> None:
    while not told:  # noqa: ASYNC110 - a thread tells.
        await trio.sleep(0.01)


async def test_the_task_and_the_place_are_told() -> None:
    told: list[Hold] = []
    with watched(told) as watch:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_up, 5 * LATE)
        await told_of(told)
    [hold] = [one for one in told if one.kind == "loop"]  # Nothing of the node's.
    assert hold.seconds > 2 * LATE
    assert hold.task.endswith("hold_up")
    assert watch.counts["loop"] == 1
    assert set(watch.counts) == set(KINDS)


async def test_a_function_of_the_node_is_named() -> None:
    source = "async def serve(body, seconds):\n    await body(seconds)\n"
    scope: dict[str, object] = {"__name__": h1guard.__name__}
    exec(compile(source, "h1guard.py", "exec"), scope)  # noqa: S102 - a task that begins in a module of the engine.
    told: list[Hold] = []
    with watched(told):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scope["serve"], hold_up, 5 * LATE)  # type: ignore[arg-type]
        await told_of(told)
    assert [one.kind for one in told if one.kind != "process"] == ["request"]
    assert told[0].where[-1] == "node.http.h1guard:2 serve"


async def test_a_loop_that_waits_is_not_late() -> None:
    told: list[Hold] = []
    with watched(told):
        await trio.sleep(3 * LATE)
    assert [one for one in told if one.kind != "process"] == []
