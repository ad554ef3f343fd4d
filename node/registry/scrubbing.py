"""How far a scrub has come: what is written down of it, and what is known in memory."""

from dataclasses import dataclass, field

import msgspec
import trio


class Pass(msgspec.Struct, frozen=True, array_like=True):
    """How far a pass has come, or where it ended."""

    began: float = 0.0  # Seconds since 1970, UTC; 0: there was none.
    ended: float = 0.0  # 0 while it goes on.
    phase: str = "pages"  # Then the tables by their names, and ``chunks``.
    after: bytes = b""  # Where the phase goes on.
    read: int = 0  # Bytes.
    found: int = 0  # Places that were damaged.
    rate: int = 0  # Bytes a second, where one was asked for; else as configured.
    is_readable: bool = True  # Each page of ``meta`` could be read.


class ScrubState(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of scrubs."""

    now: Pass = Pass()  # The pass under way, or the last one.
    completed: float = 0.0  # When the last whole pass ended; seconds since 1970, UTC.
    next: float = 0.0  # When the next one begins by itself; 0: only when it is asked for.

    @property
    def is_running(self) -> bool:
        """Whether a pass is under way."""
        return bool(self.now.began) and not self.now.ended


@dataclass(slots=True)
class Scrubbing:
    """The scrub of one node, in memory. Used on the event loop's thread alone."""

    state: ScrubState = field(default_factory=ScrubState)
    read: int = 0  # Bytes since the start,
    found: int = 0  # and places that were damaged.
    size: int = 0
    """Of the file of ``meta``, the largest that was seen: it never shrinks by itself."""
    asked: trio.Event = field(default_factory=trio.Event)
    """Set when somebody wants a pass now."""

    def begin(self) -> None:
        """Have the pass of ``state`` begun now."""
        self.asked.set()
        self.asked = trio.Event()
