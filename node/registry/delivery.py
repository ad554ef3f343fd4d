"""What one webhook has come to since the node started."""

from dataclasses import dataclass, field

from protocol.events.queue import Ref


@dataclass(slots=True)
class Delivery:
    """Counted by who delivers, on the event loop's thread."""

    delivered: int = 0
    failed: int = 0  # Tries, not events.
    last_delivered: float | None = None  # Seconds since 1970, UTC.
    failing_since: float | None = None  # When tries began to fail that were not made good; the same.
    reason: str = ""  # Of the last failure.
    aside: set[Ref] = field(default_factory=set)  # Events that were set aside.
