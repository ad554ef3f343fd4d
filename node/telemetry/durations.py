"""How long something took, counted in buckets: what a histogram of Prometheus is made of.

Whoever measures owns one and adds to it; the metrics read it when they are asked. ``observe`` takes a third of a
microsecond and belongs to one thread.
"""

from bisect import bisect_left
from itertools import accumulate

REQUESTS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds, for what clients wait for."""

COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds, for what waits for a disk."""

LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Seconds, for what should take none."""


class Durations:
    """Counts of durations up to each of *bounds*, in seconds, and their sum."""

    __slots__ = ("_bounds", "_counts", "seconds")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.seconds = 0.0
        """The sum."""

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.seconds += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def buckets(self) -> list[tuple[str, float]]:
        """Return (bound, how many took at most so long), as Prometheus has it: cumulative, ``+Inf`` last."""
        return list(zip([*map(str, self._bounds), "+Inf"], accumulate(self._counts), strict=True))
