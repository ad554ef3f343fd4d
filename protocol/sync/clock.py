"""The hybrid logical clock: stamps that only rise, near the wall clock, at all nodes.

    stamp: 48 bits of milliseconds since 1970 | 16 bits of counter

Theory of operation
===================
A stamp is the wall clock where that has moved on, else one more than the last stamp; a full counter runs into the
next millisecond by itself. Seeing a stamp of another node raises the last one, so what is written after seeing
something is also stamped after it. Equal stamps of two nodes are told apart by node, which is the merge's business.

Wall clocks lie, each in its way. One that went *back* changes nothing, also across a restart: the clock starts at
its *ceiling*, which is stored before a stamp above it is used. One that *leaps* more than an hour past the ceiling
and all that was seen since is not believed, for a single stamp from next year would win every conflict till then:
stamps run on from the last, until ``believe``. One that is *ahead* of its peers is held to their median by
*limit*. And a stamp of another node more than a minute ahead is not taken: its record waits.
"""

COUNTER_BITS = 16
AHEAD_MS = 60_000  # A remote stamp further ahead of the wall than this is held.
CEILING_MS = 10_000  # Stored this far ahead, so that it is stored once for many stamps.
EARLIEST = 1_735_689_600.0  # 2025: this program is younger.
LATEST = 4_102_444_800.0  # 2100: some formats of time end in 2106, and no machine of today runs until then.
LEAP_MS = 3_600_000  # The wall may be this far past what is known before it is doubted.


def is_sane(now: float) -> bool:
    """Whether a wall clock can say *now*: machines without a battery start in 1970."""
    return EARLIEST <= now <= LATEST


def stamp_ms(stamp: int) -> int:
    """Return the milliseconds since 1970 of *stamp*."""
    return stamp >> COUNTER_BITS


def stamp_of(ms: int) -> int:
    """Return the first stamp of a millisecond."""
    return ms << COUNTER_BITS


class Clock:
    """One node's clock. *now* is the wall clock: seconds since 1970, UTC.

    Stamps are given and taken on one thread; ``tick`` and ``believe`` may come from another one.
    """

    def __init__(self, ceiling: int = 0) -> None:
        """Start at the stored *ceiling*; a node without one believes its first wall clock."""
        self.last = ceiling
        """The greatest stamp given or taken."""
        self.ceiling = ceiling
        """Has to be durable before a stamp that was given with it is used: with the record is soon enough."""
        self._known_ms = stamp_ms(ceiling)

    def tick(self, now: float) -> bool:
        """Take note that time goes by, at least every few minutes; return whether *now* is believed."""
        wall = _ms(now)
        if self._known_ms and wall > self._known_ms + LEAP_MS:
            return False
        self._known_ms = max(self._known_ms, wall)
        return True

    def believe(self, now: float) -> None:
        """Accept *now* though it leaps: a peer agrees, the kernel's clock is synchronised, or a person says so."""
        self._known_ms = max(self._known_ms, _ms(now))

    def stamp(self, now: float, *, limit: float | None = None) -> int:
        """Return a stamp greater than all before; *limit* is the median of the peers' clocks and 10 s."""
        wall = _ms(now if limit is None else min(now, limit))
        self._raise(max(self.last + 1, stamp_of(wall)) if self.tick(now) else self.last + 1)
        return self.last

    def observe(self, stamp: int, now: float) -> bool:
        """Take a stamp of another node; ``False`` if it is too far ahead, and its record has to wait until due."""
        wall = _ms(now) if self.tick(now) else self._known_ms
        if stamp_ms(stamp) > wall + AHEAD_MS:
            return False
        if stamp > self.last:
            self._raise(stamp)
        return True

    def _raise(self, stamp: int) -> None:
        self.last = stamp
        if stamp > self.ceiling:
            self.ceiling = stamp_of(stamp_ms(stamp) + CEILING_MS)


def _ms(now: float) -> int:
    return max(0, int(now * 1000))
