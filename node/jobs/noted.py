"""Writes down what requests leave behind: when images were pulled last, and access keys used."""

from contextlib import suppress

import trio

from node.registry.identity.uses import write_uses
from node.registry.pulltimes import write_pull_times
from node.registry.registry import Registry
from protocol.errors import Busy, Damaged

INTERVAL = 30.0  # Seconds between two writes: what a killed node forgets.
_GRACE = 5.0  # Seconds to write the last ones when the node stops.


async def write_noted_forever(registry: Registry) -> None:
    """Write down what was noted, for ever, and once more at the end."""
    try:
        while True:
            await trio.sleep(INTERVAL)
            await _write(registry)
    finally:
        with trio.move_on_after(_GRACE, shield=True):
            await _write(registry)


async def _write(registry: Registry) -> None:
    for write in (write_pull_times, write_uses):
        with suppress(Busy, Damaged):  # Told by an alarm; tried again.
            await write(registry)
