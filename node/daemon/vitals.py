"""The node's own condition, looked at every few seconds: what goes wrong with no request to show it.

Each look keeps one alarm in accord with what it finds. Whatever has a threshold is raised at one value and cleared at a
lower one, so that an alarm does not flicker.
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from time import monotonic

import trio

from node.daemon.clock import WallClock
from node.telemetry.alarms import AlarmName, Alarms
from node.telemetry.holds import Hold
from node.telemetry.lines import Lines
from node.telemetry.usage import Usage, descriptors, memory

INTERVAL = 10.0  # Seconds between two looks.
WEEK, DAY = 7 * 86_400.0, 86_400.0
LATE = 2.0  # Seconds by which the loop is late that are an alarm: promised are 0.5 at most.
APART = 60.0  # Seconds between our clock and most peers': further ahead, and they hold our records back.
_KEPT = 60.0  # Seconds that an alarm about something that happened stays.
_HIGH, _LOW = 0.9, 0.8  # Shares of a limit at which an alarm is raised and cleared.
_OFTEN = 3  # Failures of a job, each within ``_SOON`` seconds of the one before.
_SOON = 150.0


class Vitals:
    """Looks after one node."""

    def __init__(
        self,
        alarms: Alarms,
        clock: WallClock,
        certificates: Mapping[str, Callable[[], float]],
        lines: Lines,
        ahead: Callable[[], Sequence[float]],
    ) -> None:
        """Look after what is given.

        Args:
            alarms: that are kept in accord with what is found.
            clock: of the node.
            certificates: when those run out that are shown, by who sees them: seconds since 1970, 0 for none.
            lines: of the log.
            ahead: by how many seconds the clock of each peer is ahead of ours.
        """
        self._ahead = ahead
        self._alarms = alarms
        self._clock = clock
        self._certificates = certificates
        self._lines = lines
        self._dropped, self._dropped_at = 0, -inf
        self._late, self._late_at = "", -inf
        self._failures: dict[str, tuple[int, float]] = {}  # job -> (one after the other, when the last was)

    async def watch_forever(self) -> None:
        """Look, for ever."""
        while True:
            self.look()
            await trio.sleep(INTERVAL)

    def look(self) -> None:
        """Look once."""
        now = monotonic()
        self._alarms.keep("clock-wrong", self._clock.look() or self._apart())
        self._alarms.keep("certificate-expiring", self._expiring())
        self._keep_share("descriptors-low", descriptors(), "file descriptors")
        self._keep_share("memory-low", memory(), "bytes of memory")
        if self._lines.dropped != self._dropped:
            self._dropped, self._dropped_at = self._lines.dropped, now
        lost = f"{self._dropped} lines of the log were lost since the start" if now - self._dropped_at < _KEPT else ""
        self._alarms.keep("log-lost", lost)
        self._alarms.keep("loop-late", self._late if now - self._late_at < _KEPT else "")
        self._alarms.keep("job-failing", self._failing(now))

    def held(self, hold: Hold) -> None:
        """The loop was held up; may be told on any thread."""
        if hold.seconds >= LATE:
            who = f"{hold.task} ({hold.where[0]})" if hold.where else "nothing of the node's: it got no CPU"
            self._late, self._late_at = f"the loop stood still for {hold.seconds:.1f} s, held up by {who}", monotonic()

    def job_failed(self, name: str) -> None:
        """A job ended with an error."""
        now = monotonic()
        count, last = self._failures.get(name, (0, -inf))
        self._failures[name] = (count + 1 if now - last < _SOON else 1, now)

    def _apart(self) -> str:
        """Return how far the peers' clocks are from ours, where most of them are far: it is ours then."""
        ahead = sorted(self._ahead())
        middle = ahead[len(ahead) // 2] if len(ahead) > 1 else 0.0  # Of two clocks nobody knows which is wrong.
        if abs(middle) <= APART:
            return ""
        return f"the clocks of most peers are {abs(middle):.0f} s {'ahead of' if middle > 0 else 'behind'} this one"

    def _failing(self, now: float) -> str:
        names = [name for name, (count, last) in self._failures.items() if count >= _OFTEN and now - last < _SOON]
        return f"{', '.join(sorted(names))}: failed several times, one after the other" if names else ""

    def _expiring(self) -> str:
        found: list[str] = []
        now = self._clock.now()
        for shown_to, expires in self._certificates.items():
            left = expires() - now
            if expires() and left < WEEK:
                found.append(f"the certificate for {shown_to} {_ends(left)}")
        return "; ".join(found)

    def _keep_share(self, name: AlarmName, usage: Usage, unit: str) -> None:
        limit = _LOW if name in {alarm.name for alarm in self._alarms.raised()} else _HIGH
        what = f"{usage.used} of {usage.limit} {unit} are in use" if usage.share >= limit else ""
        self._alarms.keep(name, what)


def _ends(left: float) -> str:
    if left < 0:
        return "has expired: handshakes fail"
    return f"expires in {left / 3600:.0f} hours" if left < DAY else f"expires in {left / DAY:.0f} days"
