"""Mends what is found damaged, soon after it was found."""

import structlog
import trio

from node.registry.damage import load_bad
from node.registry.mending.repair import repair_round
from node.registry.registry import Registry
from protocol.errors import Busy

INTERVAL = 1.0  # Seconds between two looks at what was noticed.
_BUSY = 10.0  # Seconds until the next one where nothing can be written.

log = structlog.get_logger()


async def repair_forever(registry: Registry) -> None:
    """Take over what was noticed and mend what is due, for ever."""
    load_bad(registry)
    while True:
        wake = registry.repairs.wake
        pause = INTERVAL
        try:
            await repair_round(registry)
        except Busy as refusal:  # The disk is full, or the writer ended: the operator was told.
            log.warning("not repaired", reason=str(refusal))
            pause = _BUSY
        with trio.move_on_after(pause):
            await wake.wait()
