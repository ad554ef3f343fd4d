"""Keeps a job running: what fails is logged and started again, and the rest of the node goes on."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog
import trio

from protocol.errors import EntrepotError

_FIRST_PAUSE = 1.0  # Seconds; it doubles up to
_LAST_PAUSE = 60.0


Job: TypeAlias = Callable[[], Awaitable[None]]


async def supervise(name: str, job: Job, failed: Callable[[str], None]) -> None:
    """Run *job*, which never returns, for ever; *failed* is told its name each time that it ended all the same."""
    pause = _FIRST_PAUSE
    while True:
        began = trio.current_time()
        try:
            await job()
        except EntrepotError as error:  # The disk failed, say: no bug, and told as such.
            structlog.get_logger().warning("job failed", job=name, reason=str(error), again_in=pause)
        except Exception:  # noqa: BLE001 - the root of this task.
            structlog.get_logger().exception("job failed", job=name, again_in=pause)
        failed(name)
        pause = _FIRST_PAUSE if trio.current_time() - began > _LAST_PAUSE else min(pause * 2, _LAST_PAUSE)
        await trio.sleep(pause)
