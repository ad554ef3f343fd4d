"""Keys are wrapped anew after a rotation, and destroyed when they are to go."""

from contextlib import suppress

import trio

from node.registry.kms.managing import delete_due_keys
from node.registry.registry import Registry
from node.registry.rewrapping import delete_stray_keys, wrap_anew
from protocol.auth.caller import Caller
from protocol.errors import Busy

INTERVAL = 3600.0  # Seconds between two looks where nobody asks for one.
_AGAIN = 60.0  # Seconds until the next try where the disk took nothing.


async def look_after_keys_forever(registry: Registry, caller: Caller) -> None:
    """Look at the start, after each rotation, and each hour; *caller* is the node itself."""
    while True:
        asked, pause = registry.rewrapping.next(), _AGAIN
        with suppress(Busy):
            await delete_due_keys(registry, caller)
            await delete_stray_keys(registry)
            await wrap_anew(registry)
            pause = INTERVAL
        with trio.move_on_after(pause):
            await asked.wait()
