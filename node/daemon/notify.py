"""Tells systemd how the node is: ready, reloading, stopping, and that the loop still turns.

One datagram for each, to the socket that systemd names; where it names none, nothing happens. Nobody waits for it, and
a socket that does not take it is not worth the node.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic_ns

import trio


class Notify:
    """The socket of a supervisor, or none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take what *environ* says: ``NOTIFY_SOCKET``, and ``WATCHDOG_USEC`` where it is for this process."""
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        patience = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.patience = int(patience) / 1e6 if patience.isascii() and patience.isdigit() and is_ours else 0.0
        """Seconds after which systemd gives a node up that said nothing; 0 where it waits for ever."""

    def say(self, *lines: str) -> None:
        """Say *lines*, as ``READY=1``."""
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto("\n".join(lines).encode(), self._address)

    async def watch_forever(self, stopping: trio.Event) -> None:
        """Say that the loop turns, for ever, and once that the node stops."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._turn_forever)  # Also while requests finish.
            await stopping.wait()
            self.say("STOPPING=1")

    async def reloading(self, reload: Callable[[], Awaitable[object]]) -> None:
        """Call *reload*, between saying that it happens and that it has."""
        self.say("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")
        try:
            await reload()
        finally:
            self.say("READY=1")

    async def _turn_forever(self) -> None:
        while self.patience:
            self.say("WATCHDOG=1")
            await trio.sleep(self.patience / 3)
