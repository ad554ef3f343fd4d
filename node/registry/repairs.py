"""What this node remembers of repairs while it runs."""

from dataclasses import dataclass, field
from pathlib import Path

import trio


@dataclass(slots=True)
class Repairs:
    """Used on the event loop's thread alone."""

    repaired: int = 0
    """Places that were mended since the start."""
    backup: Path | None = None
    """A backup of this node that an operator named, which may have what nobody else has."""
    is_asked: bool = False
    """Everything from ``after`` on is to be tried again now, whenever it was tried last."""
    after: bytes = b""
    """Where the next round goes on in the list of damage; empty: at its beginning."""
    placeless: str = ""
    """Damage that was met and that no place on the list accounts for ..."""
    placeless_until: float = 0.0
    """... and when it counts as over, unless it is met again: seconds since 1970, UTC."""
    is_busy: bool = False
    """Something is being tried at the moment."""
    wake: trio.Event = field(default_factory=trio.Event)
    """Set when there is something to do before the next look."""

    def retry_all(self) -> None:
        """Have everything that is damaged tried again now."""
        self.is_asked, self.after = True, b""
        self.hurry()

    def hurry(self) -> None:
        """Have what was noticed looked at now."""
        self.wake.set()
        self.wake = trio.Event()
