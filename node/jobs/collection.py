"""Collects what nothing needs any more, a step at a time."""

from collections.abc import Awaitable, Callable

import structlog
import trio

from node.registry.burial import bury_step
from node.registry.collection import collect_step
from node.registry.orphans import delete_abandoned, delete_orphans
from node.registry.registry import Registry
from protocol.errors import Busy, Damaged

INTERVAL = 60  # Seconds between two looks, where nobody says that there may be something.
SOON = 1.0  # Seconds to let more of that come together: refused pushes must not keep the room that they took.
SHARE = 4  # Of five seconds, those in which pushes have the writer, and pulls the processor, to themselves.
LEAST = 0.05  # Seconds between two steps at least.


async def collect_forever(registry: Registry) -> None:
    """Free what a killed node left over, then, for ever, what is due and what lay in deleted repositories."""
    await _unless_busy(delete_orphans, registry)
    while True:
        freeable = registry.freeable.next()
        while await _paced(bury_step, registry) or await _paced(collect_step, registry):
            pass
        await _unless_busy(delete_abandoned, registry)
        await _unless_busy(_delete_leftovers, registry)
        with trio.move_on_after(INTERVAL):
            await freeable.wait()
            await trio.sleep(SOON)


async def _paced(step: Callable[[Registry], Awaitable[int | bool]], registry: Registry) -> bool:
    """Take one step, then leave the node to others for several times as long; return whether there may be more."""
    began = trio.current_time()
    with registry.tracer.root("collect"):
        found = await _unless_busy(step, registry)
    if found:
        await trio.sleep(max(LEAST, SHARE * (trio.current_time() - began)))
    return bool(found)


async def _delete_leftovers(registry: Registry) -> None:
    await registry.transits.delete_leftovers()


async def _unless_busy(
    step: Callable[[Registry], Awaitable[int | bool | None]], registry: Registry
) -> int | bool | None:
    """Take one step; where the disk does not take it, or a row that it needs is damaged, it is tried again later."""
    try:
        return await step(registry)
    except Busy:  # Told by the alarm.
        return None
    except Damaged as error:
        structlog.get_logger().error("damaged", what=str(error))
        return None
