"""How much memory the manifests may take that are on their way in.

A manifest is read whole before anything can be said of it, so who sends many large ones, slowly, makes the node hold
them all. Nearly all manifests are small: those come in whatever happens. What is larger takes from a budget that all
pushes share, and is told to come again where that is used up.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from protocol.errors import Busy

BUDGET = 64 * 2**20  # Bytes of manifests beyond ``FREE`` each: sixteen of the largest that are taken as a rule.
FREE = 64 * 1024  # Bytes of each manifest that count for nothing.


class Incoming:
    """The budget that all pushes of manifests share."""

    def __init__(self, budget: int = BUDGET) -> None:
        """Begin with all of *budget*, in bytes."""
        self._budget = budget
        self.left = budget
        self.reading = trio.CapacityLimiter(1)
        """For the thread that reads a large one: JSON made for it takes 30 times its size while it is read."""

    @property
    def taken(self) -> int:
        """Bytes of the budget that are in use."""
        return self._budget - self.left

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Give a share of it for as long as the block; it begins empty."""
        share = Share(self)
        try:
            yield share
        finally:
            self.left += share.taken


class Share:
    """What one push has taken."""

    def __init__(self, incoming: Incoming) -> None:
        """Take nothing yet."""
        self.taken = 0
        self._incoming = incoming

    def grow(self, size: int) -> None:
        """Have room for *size* bytes in all, or raise ``Busy``."""
        more = size - FREE - self.taken
        if more <= 0:
            return
        if more > self._incoming.left:
            raise Busy("too many large manifests are being pushed at once; try again")
        self._incoming.left -= more
        self.taken += more
