"""Collects what nothing needs any more, a step at a time."""

import trio

from node.registry.collection import collect_step
from node.registry.orphans import delete_abandoned, delete_orphans
from node.registry.registry import Registry

INTERVAL = 60  # Seconds between two looks.
PAUSE = 0.05  # Seconds between two steps, for pushes to have the writer to themselves.


async def collect_forever(registry: Registry) -> None:
    """Free what a killed node left over, then, for ever, what is due."""
    await delete_orphans(registry)
    while True:
        with registry.tracer.root("collect"):
            pause = PAUSE if await collect_step(registry) else INTERVAL
        await delete_abandoned(registry)
        await registry.transits.delete_leftovers()
        await trio.sleep(pause)
