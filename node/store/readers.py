"""Who reads an environment and for how long: a reader keeps every page from being used again that was freed since.

LMDB tells which transaction each reader sees, and not since when. A reader that sees an older one than the last is
noted when that is first noticed, and its age counts from there: reads of the newest state pin nothing, however often
they come.

No read is meant to be long: a backup, a check and a scrub read a page at a time.
"""

from collections.abc import Callable

import lmdb


class Readers:
    """The readers of one environment; used on the event loop's thread alone.

    Args:
        env: the environment.
        clock: seconds, monotonic.
    """

    def __init__(self, env: "lmdb.Environment", clock: Callable[[], float]) -> None:
        self._env = env
        self._clock = clock
        self._behind: dict[tuple[str, str, str], float] = {}  # (process, thread, transaction) -> when it was noticed.
        self.stale = 0
        """Readers whose process had ended and that were removed."""

    def look(self) -> float:
        """Note who reads what is not the last state; return the greatest age."""
        now, last = self._clock(), int(self._env.info()["last_txnid"])
        behind: dict[tuple[str, str, str], float] = {}
        for line in self._env.readers().splitlines():
            match line.split():
                case [process, thread, seen] if seen.isdecimal() and int(seen) < last:
                    key = process, thread, seen
                    behind[key] = self._behind.get(key, now)
        self._behind = behind
        return self.oldest()

    def oldest(self) -> float:
        """Return how long the oldest of those has been known, in seconds; 0 where there is none."""
        return max((self._clock() - since for since in self._behind.values()), default=0.0)

    def count(self) -> int:
        """Return how many read what is not the last state."""
        return len(self._behind)

    def remove_stale(self) -> int:
        """Forget readers whose process has ended; return how many there were."""
        gone = int(self._env.reader_check())
        self.stale += gone
        return gone
