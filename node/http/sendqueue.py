"""Releases what was sent without copying, once the kernel is done with it.

``sendfile`` only puts references to pages of the file into the socket's send queue. If the pages are used again while
a slow client has not taken them, it receives other bytes than were asked for: measured, 8 MiB of another blob. So a
body's ``release`` is called when the client has acknowledged its last byte, or when the connection was aborted, which
throws the queue away. A send queue has no event for that: one task looks every 100 ms at the sockets concerned.

A connection that ends with leases outstanding is handed over to that task, which closes it when its queue is empty
and aborts it when that takes longer than ``limits.flush``.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

import trio

from node.http.limits import Limits
from node.http.transport import Transport

INTERVAL = 0.1


@dataclass(slots=True)
class _Watched:
    leases: deque[tuple[int, Callable[[], None]]] = field(default_factory=deque)  # Position in the stream, release.
    deadline: float = inf  # Of a connection that was handed over.


class SendQueues:
    """The leases that wait for a client; ``watch_forever`` has to run."""

    def __init__(self, limits: Callable[[], Limits]) -> None:
        self._limits = limits
        self._watched: dict[Transport, _Watched] = {}
        self._added = trio.Event()

    def lease(self, transport: Transport, release: Callable[[], None]) -> None:
        """Call *release* once all that was queued on *transport* so far is acknowledged, or it was aborted."""
        if not transport.unsent():
            release()
            return
        watched = self._watched.setdefault(transport, _Watched())
        watched.leases.append((transport.queued, release))
        self._added.set()

    def close(self, transport: Transport) -> None:
        """Close *transport*, at once or when its leases allow it."""
        watched = self._watched.get(transport)
        if watched is None:
            transport.close()
        else:
            transport.end()
            watched.deadline = trio.current_time() + self._limits().flush

    def abort(self, transport: Transport) -> None:
        """Abort *transport* and release all that it holds."""
        transport.abort()
        if watched := self._watched.pop(transport, None):
            for _, release in watched.leases:
                release()

    async def watch_forever(self) -> None:
        """Release and close until cancelled; then abort what is left."""
        try:
            while True:
                self._added = trio.Event()
                if not self._watched:
                    await self._added.wait()
                await trio.sleep(INTERVAL)
                for transport in list(self._watched):
                    self._look_at(transport)
        finally:
            for transport in list(self._watched):
                self.abort(transport)

    def _look_at(self, transport: Transport) -> None:
        watched = self._watched[transport]
        acknowledged = transport.queued - transport.unsent()
        while watched.leases and watched.leases[0][0] <= acknowledged:
            watched.leases.popleft()[1]()
        if not watched.leases:
            del self._watched[transport]
            if watched.deadline < inf:
                transport.close()
        elif watched.deadline <= trio.current_time():
            self.abort(transport)
