"""How much later than asked the event loop comes back: the first sign of work that should be in a thread."""

from collections.abc import Callable

import trio

INTERVAL = 0.5  # Seconds between two measurements.


async def measure_loop_lag(observe: Callable[[float], None]) -> None:
    """Give *observe* the seconds by which each wake-up was late, for ever."""
    while True:
        due = trio.current_time() + INTERVAL
        await trio.sleep_until(due)
        observe(max(trio.current_time() - due, 0.0))
