"""What the disk does to the store, noticed and told: room, failures, readers that keep freed pages."""

import trio

from node.registry.registry import Registry
from node.store.space import Space

OLD = 5.0  # Seconds: what reads one state for longer than that pins what was freed since.


async def look_at_disk(registry: Registry) -> None:
    """Take back the ballast where there is room, try a writer that failed, and keep the alarms."""
    store, alarms = registry.store, registry.alarms
    held = await trio.to_thread.run_sync(store.space.hold_ballast)
    writers = store.writer, store.chunk_writer
    failed = [writer for writer in writers if not await writer.probe()]
    left = await trio.to_thread.run_sync(_left, store.space)
    is_full = left is not None or any(writer.is_full for writer in writers)
    room = f"{left or 0} bytes are left" if held else "others took even what was kept for deletes to grow into"
    alarms.keep("disk-full", f"pushes are refused: {room}" if is_full else "")
    alarms.keep("disk-failed", "a write failed; pushes are refused, and tried again" if failed else "")
    ages = {name: readers.look() for name, readers in store.readers.items()}
    oldest = max(ages, key=ages.__getitem__)
    old = f"a read of {oldest} goes on for {ages[oldest]:.0f} s, and no page freed since can be used"
    alarms.keep("old-reader", old if ages[oldest] > OLD else "")


def _left(space: Space) -> int | None:
    """Return how much room there is where pushes are refused for want of it; counting it may wait for the disk."""
    return space.free() if space.is_full() else None


def remove_stale_readers(registry: Registry) -> int:
    """Forget readers of processes that have ended; return how many there were."""
    return sum(readers.remove_stale() for readers in registry.store.readers.values())
