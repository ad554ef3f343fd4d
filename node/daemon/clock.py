"""Whether the wall clock can be right.

A machine without a battery starts in 1970 and learns the time when it finds a network; a bad battery or a typing error
gives any year. Pulls need no time. Pushes do, since what is due to be collected is worked out from it: so a node whose
clock cannot be right takes none, collects nothing, and signs no invitation, until the clock is set.

A clock that is *behind* what this node has seen is told of and otherwise harmless: stamps go on from where they were.
One that *leaps* ahead while the node runs is not believed by the stamps until the kernel says that it is synchronised,
or a person who looks at the alarm says so with a reload or a restart.
"""

import ctypes
import time

from node.registry.registry import Registry
from protocol.sync.clock import is_sane, stamp_ms

BEHIND = 300.0  # Seconds behind the latest stamp that is known: more than what peers may be ahead.
_UNSYNCHRONISED = 5  # TIME_ERROR, of adjtimex(2).


class WallClock:
    """Looks at the clock of the registry, and keeps its gate and its stamps in accord with it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._was_sane = is_sane(registry.now())
        if self._was_sane:
            registry.author.clock.believe(registry.now())  # A node may have been off for any time.
        self.look()

    def look(self) -> str:
        """Close or open the gate; return what is wrong with the clock, for people, or nothing."""
        registry, now = self._registry, self._registry.now()
        if not is_sane(now):
            self._was_sane = False
            why = f"the clock says {_date(now)}"
            registry.gate.close("clock", why)
            return f"{why}, which cannot be; pushes are refused, pulls go on"
        registry.gate.open("clock")
        clock = registry.author.clock
        if not self._was_sane or (not clock.tick(now) and is_synchronised()):
            clock.believe(now)
        self._was_sane = True
        if not clock.tick(now):
            return f"the clock leapt to {_date(now)}; stamps go on from before, until a reload says that it is right"
        seen = stamp_ms(clock.last) / 1000
        if now < seen - BEHIND:
            return f"the clock says {_date(now)}, and this node has seen {_date(seen)}"
        return ""

    def now(self) -> float:
        """Return what the clock says: seconds since 1970, UTC."""
        return self._registry.now()

    def believe(self) -> None:
        """A person says that the clock is right."""
        if is_sane(self._registry.now()):
            self._registry.author.clock.believe(self._registry.now())


def is_synchronised() -> bool:
    """Whether the kernel says that its clock follows others (NTP)."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    buffer = ctypes.create_string_buffer(256)  # struct timex, of which modes (0: only ask) is the first field.
    return adjtimex is not None and 0 <= adjtimex(buffer) < _UNSYNCHRONISED


def _date(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds:.0f} s since 1970"
