"""Drops uploads that nobody feeds any more."""

from collections.abc import Callable
from contextlib import suppress

import trio

from node.registry.registry import Registry
from node.registry.uploads import expire_uploads
from protocol.errors import Busy

INTERVAL = 60  # Seconds between two looks.
IDLE = 300  # Seconds after which an upload is kept on disk alone.


async def expire_forever(registry: Registry, *, after: Callable[[], float]) -> None:
    """Drop, for ever, uploads *after* that many seconds without a byte."""
    while True:
        await trio.sleep(INTERVAL)
        with suppress(Busy):  # Told by the alarm; tried again in a minute.
            await expire_uploads(registry, after=after(), idle=IDLE)
