"""When to ping, and when a silent peer counts as gone.

Any frame is a sign of life. After ``IDLE`` seconds without one the peer is pinged; after ``SUSPICION`` it counts
as gone. Whoever was itself late (its loop was stuck, its machine slept) distrusts itself first: it grants the
peer the time to be heard again. Answers to pings give a smoothed round trip, with the gains of RFC 6298.

Source: peers.md 5, "Liveness"; Lifeguard (Dadgar, Phillips, Currey 2018).
"""

import msgspec

IDLE = 5.0  # Seconds without a frame before a ping.
SUSPICION = 15.0  # Seconds without a frame before the peer counts as gone.
MEASURE = 30.0  # Seconds between pings where there is always something to hear.
LATE = 1.0  # Seconds by which a wake-up may be late before we distrust ourselves.
_GAIN = 1 / 8


class Heard(msgspec.Struct, frozen=True):
    """A frame arrived."""


class Answered(msgspec.Struct, frozen=True):
    """A pong with the number *n* arrived."""

    n: int


class Wake(msgspec.Struct, frozen=True):
    """``deadline`` was reached."""


class SendPing(msgspec.Struct, frozen=True):
    """Send a ping with the number *n*."""

    n: int


class GiveUp(msgspec.Struct, frozen=True):
    """The peer has been silent for *seconds*: end the session."""

    seconds: float


Event = Heard | Answered | Wake
Effect = SendPing | GiveUp


class Liveness:
    """The state of one session's pings. A step costs the same always."""

    def __init__(self, *, now: float) -> None:
        self.round_trip: float | None = None
        """Seconds, smoothed; ``None`` before the first answer."""
        self._heard = now
        self._pinged = now - MEASURE  # The first wake-up measures the round trip.
        self._n = 0

    @property
    def deadline(self) -> float:
        """When to deliver ``Wake``."""
        next_ping = max(self._pinged + IDLE, min(self._heard + IDLE, self._pinged + MEASURE))
        return min(next_ping, self._heard + SUSPICION)

    def handle(self, event: Event, *, now: float) -> list[Effect]:
        """Advance on one event and return what to do."""
        match event:
            case Heard():
                self._heard = now
            case Answered(n):
                self._on_answered(n, now)
            case Wake():
                return self._on_wake(now)
        return []

    def _on_answered(self, n: int, now: float) -> None:
        self._heard = now
        if n == self._n:  # An answer to an older ping measures nothing.
            sample = now - self._pinged
            self.round_trip = (
                sample if self.round_trip is None else self.round_trip + _GAIN * (sample - self.round_trip)
            )

    def _on_wake(self, now: float) -> list[Effect]:
        deadline = self.deadline
        if now < deadline:
            return []
        if now - deadline > LATE:
            self._heard = max(self._heard, now - IDLE)
        if now - self._heard >= SUSPICION:
            return [GiveUp(now - self._heard)]
        self._pinged = now
        self._n += 1
        return [SendPing(self._n)]
