"""Watches who holds up the event loop, for as long as there is one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import structlog
import trio

from node.daemon.vitals import Vitals
from node.telemetry.holds import Hold, LoopWatch
from node.telemetry.metrics import Metrics

_LINE_INTERVAL = 10.0  # Seconds between two lines about the same kind of task.


@contextmanager
def watching_holds(metrics: Metrics, vitals: Vitals) -> Iterator[None]:
    """Count, log and tell *vitals* what holds up the loop that this is called on."""
    watch, ended = LoopWatch(), threading.Event()
    told: dict[str, float] = {}

    def report(hold: Hold) -> None:
        vitals.held(hold)
        now = monotonic()
        if now - told.get(hold.kind, -_LINE_INTERVAL) >= _LINE_INTERVAL:
            told[hold.kind] = now
            structlog.get_logger().warning(
                "the loop was held up", kind=hold.kind, seconds=round(hold.seconds, 3), task=hold.task, where=hold.where
            )

    metrics.watch("entrepot_loop_holds_total", lambda: watch.counts)
    arguments = threading.get_ident(), report, ended
    thread = threading.Thread(target=watch.watch, args=arguments, name="holds", daemon=True)
    trio.lowlevel.add_instrument(watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        trio.lowlevel.remove_instrument(watch)
