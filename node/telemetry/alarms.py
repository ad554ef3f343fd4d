"""Conditions that somebody has to look at: raised where they are noticed, shown until they are over.

An alarm is a state and not an event: it is raised again each time that it is noticed and cleared by whoever notices
that it is over, so nothing has to be matched up. It goes to the log when it is raised and when it ends; ``/readyz``,
``/metrics``, ``entrepot doctor`` and ``entrepot top`` show what is raised now. The table holds all of them, each with
what to do; a name that is not in it cannot be raised.
"""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import msgspec
import structlog

AlarmName: TypeAlias = Literal[
    "disk-full",
    "disk-failed",
    "damaged-content",
    "old-reader",
    "webhook-failing",
    "reload-refused",
    "certificate-refused",
    "certificate-expiring",
    "clock-wrong",
    "descriptors-low",
    "job-failing",
    "log-lost",
    "loop-late",
    "memory-low",
]

REMEDIES: Mapping[AlarmName, str] = {
    "disk-full": "delete images or add room; pushes go on by themselves as soon as there is some",
    "disk-failed": "look at the disk and its log; pulls go on, and pushes as soon as a write comes through",
    "damaged-content": "see `entrepot scrub --status`; what another node has is mended from there, the rest by a push",
    "webhook-failing": "`entrepot webhook show NAME` says more, `entrepot webhook test NAME` tries it; events wait",
    "old-reader": "look at the disk: a read hangs on it, and the store grows meanwhile; a restart ends the read",
    "reload-refused": "correct what is named, then `entrepot reload`; the node runs on with what it had",
    "certificate-refused": "put a certificate and its key in place that belong together; clients see the old one",
    "certificate-expiring": "renew it; files of a client certificate that are replaced are taken within a minute",
    "clock-wrong": "set the clock (NTP); pushes and collection go on by themselves then, pulls do meanwhile",
    "descriptors-low": "raise the limit (LimitNOFILE, ulimit -n), or lower limits.connections",
    "job-failing": "look for `job failed` in the log; the rest of the node works, this job is tried again each minute",
    "log-lost": "make room for the log, or start what reads it; requests are answered meanwhile",
    "loop-late": "look for `the loop was held up` in the log, and at the CPU: another program may take it",
    "memory-low": "give the node more (MemoryMax, the limit of the container), or lower limits.connections",
}
"""name -> what an operator does about it."""


class Alarm(msgspec.Struct, frozen=True):
    """One condition that holds."""

    name: AlarmName
    since: float  # UTC, seconds since 1970.
    what: str
    remedy: str


class Alarms:
    """What is raised now; used on the event loop's thread alone.

    Args:
        now: the time, seconds since 1970, UTC.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._raised: dict[AlarmName, Alarm] = {}

    def raise_(self, name: AlarmName, what: str) -> None:
        """Say that the condition holds; *what* names the thing, for people."""
        before = self._raised.get(name)
        since = self._now() if before is None else before.since
        self._raised[name] = Alarm(name, since, what, REMEDIES[name])
        if before is None:
            structlog.get_logger().error("alarm raised", alarm=name, what=what, remedy=REMEDIES[name])

    def clear(self, name: AlarmName) -> None:
        """Say that the condition is over, or never was."""
        before = self._raised.pop(name, None)
        if before is not None:
            structlog.get_logger().info("alarm cleared", alarm=name, seconds=round(self._now() - before.since, 1))

    def keep(self, name: AlarmName, what: str) -> None:
        """Raise the alarm where *what* says something, and clear it where it is empty."""
        if what:
            self.raise_(name, what)
        else:
            self.clear(name)

    def raised(self) -> list[Alarm]:
        """Return all that hold, the oldest first."""
        return sorted(self._raised.values(), key=lambda alarm: alarm.since)
