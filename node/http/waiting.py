"""Notices clients of HTTP/1.1 that go away while a handler works for them.

Nobody reads from a connection whose request is complete, so the end of it would be seen with the first byte of the
answer: an image that is fetched for a client that left would be fetched to its end. One task asks the kernel about all
of these connections at once, each second.

A client that has only said that it sends no more may still read; it is taken to be gone when it goes on to wait.
"""

import select

import trio

from node.http.transport import Transport

INTERVAL = 1.0  # Seconds between two looks.
HALF_CLOSED = 30.0  # Seconds for which a client that sends no more is believed to read.


class Waiting:
    """Requests of HTTP/1.1 that a handler works on; ``watch_forever`` has to run."""

    def __init__(self) -> None:
        self._asked: dict[Transport, trio.CancelScope] = {}
        self._half_closed: dict[Transport, float] = {}  # When it was first seen that it sends no more.

    def begin(self, transport: Transport, scope: trio.CancelScope) -> None:
        """Watch *transport*, all of whose request has come; cancel *scope* when its client is gone."""
        self._asked[transport] = scope

    def end(self, transport: Transport) -> None:
        """Watch it no more."""
        self._asked.pop(transport, None)

    async def watch_forever(self) -> None:
        """Look, each second, at those that waited for as long."""
        seen: frozenset[Transport] = frozenset()
        while True:
            await trio.sleep(INTERVAL)
            self._look_at([transport for transport in seen if transport in self._asked])
            self._half_closed = {one: since for one, since in self._half_closed.items() if one in self._asked}
            seen = frozenset(self._asked)

    def _look_at(self, transports: list[Transport]) -> None:
        if not transports:
            return
        poll, now = select.poll(), trio.current_time()
        by_number = {transport.fileno(): transport for transport in transports}
        for number in by_number:
            poll.register(number, select.POLLRDHUP)
        for number, events in poll.poll(0):
            transport = by_number[number]
            waited = now - self._half_closed.setdefault(transport, now)
            if events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) or waited >= HALF_CLOSED:
                self._asked[transport].cancel()
