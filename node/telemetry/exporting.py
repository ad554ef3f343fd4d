"""Sends spans to a collector, in the background, and never lets it hurt.

Spans wait in a queue that is bounded; what does not fit is dropped and counted. One task takes them out in batches and
sends one at a time. A collector that is away, slow or overloaded is asked again with a delay that
doubles; one that says that a batch is wrong does not get it twice. Nothing else ever waits for any of this.

Source: opentelemetry.io, "OTLP Specification 1.x", "OTLP/HTTP Response" and "OTLP/HTTP Throttling".
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import TypeAlias

import msgspec
import structlog
import trio

from node.telemetry.tracing import Span

MAX_QUEUE = 4096  # Spans, some 2 KiB each.
BATCH = 512
INTERVAL = 2.0  # Seconds in which spans are gathered.
PATIENCE = 15.0  # Seconds for one POST, all in all.
PARTING = 2.0  # Seconds for the last batch when the node stops.
_FIRST_PAUSE = 1.0
_LAST_PAUSE = 60.0
_TRY_AGAIN = frozenset((429, 502, 503, 504))


class Sent(msgspec.Struct, frozen=True):
    """What became of a batch."""

    status: int  # Of the collector's answer; 0: nobody answered.
    reason: str = ""  # For people.
    rejected: int = 0  # Spans that it took and does not keep.
    retry_after: float = 0.0  # Seconds that it asks for.


Send: TypeAlias = Callable[[Sequence[Span]], Awaitable[Sent]]
"""Sends a batch to the collector; raises nothing that is expected."""


class Exporter:
    """The queue; ``export_forever`` has to run."""

    def __init__(self, send: Send) -> None:
        self.outcomes = {"exported": 0, "dropped": 0}
        """Spans, by what became of them."""
        self._send = send
        self._queue: deque[Span] = deque()
        self._enough = trio.Event()
        self._failing = False

    def take(self, span: Span) -> None:
        """Take a span that has ended; on the loop's thread."""
        if len(self._queue) >= MAX_QUEUE:
            self.outcomes["dropped"] += 1
            return
        self._queue.append(span)
        if len(self._queue) >= BATCH:
            self._enough.set()

    async def export_forever(self) -> None:
        """Export until cancelled; then what is there goes out once, if the collector takes it at once."""
        try:
            while True:
                with trio.move_on_after(INTERVAL):
                    await self._enough.wait()
                self._enough = trio.Event()
                while self._queue:
                    await self._export_batch()
        finally:
            with trio.move_on_after(PARTING, shield=True):
                while self._queue and not self._failing:
                    self._settle(*await self._send_batch())

    async def _export_batch(self) -> None:
        """Send the next batch, as often as it takes."""
        pause = _FIRST_PAUSE
        while True:
            count, sent = await self._send_batch()
            if sent.status and sent.status not in _TRY_AGAIN:
                return self._settle(count, sent)
            self._say_failing(sent)
            await trio.sleep(max(pause, min(sent.retry_after, _LAST_PAUSE)))
            pause = min(pause * 2, _LAST_PAUSE)

    async def _send_batch(self) -> tuple[int, Sent]:
        """Send up to ``BATCH`` spans, which stay in the queue; return how many, and what became of them."""
        batch = list(islice(self._queue, BATCH))
        with trio.move_on_after(PATIENCE):
            return len(batch), await self._send(batch)
        return len(batch), Sent(0, f"no answer within {PATIENCE:g} s")

    def _settle(self, count: int, sent: Sent) -> None:
        """Take a batch out of the queue: it has arrived, or will never be taken."""
        for _ in range(count):
            self._queue.popleft()
        is_taken = 200 <= sent.status < 300
        lost = min(count, sent.rejected) if is_taken else count
        self.outcomes["exported"] += count - lost
        self.outcomes["dropped"] += lost
        if not is_taken:
            self._say_failing(sent)
        elif self._failing:
            self._failing = False
            structlog.get_logger().info("traces are exported again")

    def _say_failing(self, sent: Sent) -> None:
        if not self._failing:
            self._failing = True
            structlog.get_logger().warning("traces are not exported", status=sent.status, reason=sent.reason)
