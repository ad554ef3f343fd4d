"""Makes the next key that signs bearer tokens when it is time for one."""

from contextlib import suppress

import trio

from node.registry.authentication.tokenkeys import rotate_token_keys
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.errors import Busy

_INTERVAL = 3600.0  # Seconds.


async def rotate_forever(registry: Registry, root: Caller) -> None:
    """Look each hour, for ever; the first time is at the start of the node, before it serves anyone."""
    while True:
        await trio.sleep(_INTERVAL)
        with suppress(Busy):  # Told by the alarm; tried again in an hour, and the next key has a day.
            await rotate_token_keys(registry, root)
