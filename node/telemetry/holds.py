"""Who holds up the event loop: the task that runs when a pass of the loop takes long, and where it is.

Theory of operation
===================
A task that computes where it should wait lets nobody else run, nor anything on the loop that could say so. So an
instrument notes when a pass of the loop began: two calls for each pass, none for each task, which no measurement of
requests shows. A thread looks at that note twenty times a second; where a pass is older than ``LATE`` it takes the
stack of the loop's thread, waits for the pass to end, and tells of it. One sample of a pass is one guess; over many
holds the guesses add up to the truth.

A process that was stopped, or that got no CPU, is late without a culprit. Then the thread was late as well.
"""

import sys
import threading
from collections.abc import Callable
from math import inf
from time import monotonic
from types import FrameType

import msgspec
import trio

LATE = 0.1  # Seconds.
POLL = 0.05  # Seconds between two looks.
_STARVED = 0.5  # Seconds by which the thread itself is late where the process did not run.

_KINDS = (
    ("node.http.", "request"),
    ("node.peers.", "peer"),
    ("node.store.", "store"),
    ("node.daemon.supervise", "job"),
    ("node.telemetry.", "telemetry"),
    ("node.", "node"),
)
"""Where the function lies with which a task began -> what the task is counted as."""
KINDS = (*(kind for _, kind in _KINDS), "loop", "process")


class Hold(msgspec.Struct, frozen=True):
    """One pass of the loop that took long."""

    kind: str  # One of ``KINDS``; ``loop``: nothing of ours; ``process``: it did not run at all.
    seconds: float
    task: str  # The function with which the task began.
    where: tuple[str, ...]  # What it did, innermost first: ``module:line function``.


class LoopWatch(trio.abc.Instrument):
    """Notes when a pass of the loop began, for a thread to look at."""

    def __init__(self) -> None:
        self.since = inf
        self.counts: dict[str, int] = dict.fromkeys(KINDS, 0)
        """Holds by kind."""

    def before_io_wait(self, _timeout: float) -> None:  # type: ignore[explicit-override]  # 3.12 has it.
        """The loop has nothing to do."""
        self.since = inf

    def after_io_wait(self, _timeout: float) -> None:  # type: ignore[explicit-override]  # 3.12 has it.
        """A pass begins."""
        self.since = monotonic()

    def watch(self, thread: int, report: Callable[[Hold], None], ended: threading.Event) -> None:
        """Tell *report* of each hold of the loop that runs on *thread*, until *ended*; runs on a thread of its own."""
        while not ended.is_set():
            late = _wait(ended)
            began = self.since
            if ended.is_set():
                return  # What ends the loop may take its time.
            if late > _STARVED:
                self._tell(report, Hold("process", late, "", ()))
            elif monotonic() - began > LATE:
                frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, and the only way.
                hold = _hold(frame)
                del frame
                while self.since == began and not ended.is_set():
                    late = max(late, _wait(ended))
                if late > _STARVED:
                    hold = Hold("process", 0.0, "", ())
                self._tell(report, msgspec.structs.replace(hold, seconds=monotonic() - began))

    def _tell(self, report: Callable[[Hold], None], hold: Hold) -> None:
        self.counts[hold.kind] += 1
        report(hold)


def _wait(ended: threading.Event) -> float:
    """Wait for ``POLL``; return by how much longer it took."""
    planned = monotonic() + POLL
    ended.wait(POLL)
    return monotonic() - planned


def _hold(frame: FrameType | None) -> Hold:
    """Read a stack of the loop's thread."""
    where: list[str] = []
    task, module = "", ""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", "?"))
        if name.startswith("trio._core._run"):
            break
        task, module = frame.f_code.co_qualname, name
        if name.startswith(("node.", "protocol.")) or not where:
            where.append(f"{name}:{frame.f_lineno} {frame.f_code.co_qualname}")
        frame = frame.f_back
    kind = next((kind for prefix, kind in _KINDS if f"{module}.".startswith(prefix)), "loop")
    return Hold(kind, 0.0, f"{module}.{task}" if task else "", tuple(where[:8]))
