"""Looks at the disk once a second."""

import trio

from node.registry.disk import look_at_disk, remove_stale_readers
from node.registry.registry import Registry

INTERVAL = 1.0  # Seconds between two looks: pushes go on as soon as there is room.
STALE = 60  # Looks between two searches for readers whose process has ended.


async def watch_disk_forever(registry: Registry) -> None:
    """Look at room, failures and readers, for ever."""
    while True:
        remove_stale_readers(registry)
        for _ in range(STALE):
            await look_at_disk(registry)
            await trio.sleep(INTERVAL)
