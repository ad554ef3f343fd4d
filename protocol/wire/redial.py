"""How long to wait before a peer is dialled again.

The delay doubles from one failure to the next and is drawn from its upper half, so that nodes that lost each other
at once do not meet at once again. A peer is never dialled more often than once a second.
"""

from collections.abc import Callable

FIRST, LAST = 2.0, 60.0  # Seconds: the delay after one failure, and at most.
LEAST = 1.0  # Seconds between two attempts.
STABLE = 30.0  # Seconds after which a session counts as good: the next delay is the first again.


class Redial:
    """The delays of one peer."""

    def __init__(self, draw: Callable[[], float]) -> None:
        """*draw* returns a random number from 0 to 1."""
        self._draw = draw
        self._delay = FIRST

    def first(self, *, has_lower_id: bool) -> float:
        """Seconds before the first attempt: of two that learn of each other at once, one dials and one waits."""
        return 0.0 if has_lower_id else LEAST + self._draw()

    def after_failure(self) -> float:
        """Seconds before the next attempt after one that led to no session."""
        delay = self._delay
        self._delay = min(LAST, 2 * delay)
        return delay * (1 + self._draw()) / 2

    def after_session(self, seconds: float) -> float:
        """Seconds before the next attempt after a session of *seconds*; one that was cut soon counts as a failure."""
        if seconds < STABLE:
            return self.after_failure()
        self._delay = FIRST
        return LEAST + self._draw()
