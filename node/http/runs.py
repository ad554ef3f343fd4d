"""Sends to fast clients from a thread, many extents at once.

``sendfile`` copies nothing, and still runs the whole of TCP: on loopback a core of it is 3 GB/s, during which the loop
answers nobody; and of a client that drains that fast the loop hears so often that waiting costs more than sending.
Both go away in a thread, which may wait for the socket itself. A hop to it and back costs 60 microseconds, so it is
given a run of extents. The first extent goes from the loop; a run doubles as long as the client takes 50 MB/s, and is
halved when it does not. A thread leaves what the client pauses for to the loop, so slow clients do not keep it from
the fast ones. Where no thread is free, and for a fast client that is alone, the loop sends: there the hops would cost
more than a second core brings. A client that takes the longest runs may also have more queued than others.

What a thread does ends soon, so it is not told of a cancellation. It sends on a duplicate of the descriptor, since the
number of a closed one may already be another file's.
"""

import os
import select
from collections.abc import Sequence
from time import monotonic

import trio

from node.http.counts import Counts
from node.http.listen import HIGH_WATER, LOW_WATER
from node.http.message import Extent
from node.http.transport import Pace, Transport

MOST = 16  # Extents in a run.
QUICK = 0.02  # Seconds for an extent of a fast client, from the question for it until it is with the kernel.
PAUSE_MS = 2  # What a thread waits for a client that takes nothing.
LONGEST = 0.05  # Seconds after which a thread waits no more.
THREADS = 2 * min(4, os.cpu_count() or 1)  # For all connections: half of them wait for their clients.


class Senders:
    """What the connections of a server share."""

    __slots__ = ("counts", "fast", "threads")

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.threads = trio.CapacityLimiter(THREADS)
        self.fast = 0  # Bodies whose client keeps up.


class Runs:
    """How many extents of one body are sent at once; ``end`` has to be called."""

    __slots__ = ("_length", "_senders", "_transport")

    def __init__(self, transport: Transport, senders: Senders) -> None:
        self._transport = transport
        self._senders = senders
        self._length = 1

    @property
    def length(self) -> int:
        """How many extents to gather now: one where the loop is to send it."""
        return self._length if self._senders.fast > 1 and self._senders.threads.available_tokens else 1

    async def send(self, run: Sequence[Extent], pace: Pace) -> None:
        """Send *run*, whose extents are in the page cache, on a transport with ``zero_copy``.

        Raises:
            ClientGone: nobody receives any more.
            OSError: a file is shorter, or the medium failed.
        """
        sent = 0
        if len(run) > 1:
            sent = await trio.to_thread.run_sync(_send, self._transport.fileno(), run, limiter=self._senders.threads)
            await self._transport.sent(sent, pace)
        for extent in run:
            skip = min(sent, extent.length)
            sent -= skip
            if skip < extent.length:
                await self._transport.send_file(extent.fd, extent.offset + skip, extent.length - skip, pace)
            self._senders.counts.sendfile_bytes += extent.length

    def kept_up(self, count: int, seconds: float) -> None:
        """Note that a run of *count* took so long, from the question for its first extent on."""
        if seconds > QUICK * count:
            self._become(max(1, self._length // 2))
        elif count >= min(self._length, self.length):
            self._become(min(MOST, self._length * 2))

    def end(self) -> None:
        """The body has ended."""
        self._become(1)

    def _become(self, length: int) -> None:
        self._senders.fast += (length > 1) - (self._length > 1)
        if (length == MOST) != (self._length == MOST):
            self._transport.set_low_water(HIGH_WATER if length == MOST else LOW_WATER)
        self._length = length


def _send(sock: int, run: Sequence[Extent]) -> int:
    """Send as much of *run* as the client takes without a pause; return how many bytes."""
    sent, end = 0, monotonic() + LONGEST
    try:
        sock = os.dup(sock)
    except OSError:  # No descriptor is left; the loop needs none.
        return 0
    try:
        writable = select.poll()
        writable.register(sock, select.POLLOUT)
        for extent in run:
            left = extent.length
            while left:
                try:
                    count = os.sendfile(sock, extent.fd, extent.offset + extent.length - left, left)
                except BlockingIOError:
                    if monotonic() > end or not writable.poll(PAUSE_MS):
                        return sent
                    continue
                except OSError:  # Comes again on the loop, which knows what it means.
                    return sent
                if not count:
                    return sent
                sent += count
                left -= count
        return sent
    finally:
        os.close(sock)
