"""What signals do to a node: TERM and INT stop it, HUP reloads its configuration."""

import os
import signal
import termios
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
import trio

from node.daemon.leaving import Leaving
from protocol.errors import ReloadRefused

log = structlog.get_logger()


async def obey_signals(
    leaving: Leaving,
    reload: Callable[[], Awaitable[object]],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Obey until cancelled.

    The first TERM or INT says that the node stops: after ``limits.drain_delay``, or at the next one, requests in flight
    finish. One more cuts them, and what the writers have is still committed. HUP calls *reload*; but from a terminal
    that is gone it stops the node, as it would any program in a window that was closed.
    """
    had_terminal = os.isatty(2)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP and not (had_terminal and _is_gone()):
                with suppress(ReloadRefused):  # It is in the log.
                    await reload()
            else:
                log.info(leaving.hurry(), signal=signal.Signals(number).name)


def _is_gone() -> bool:
    try:
        termios.tcgetattr(2)
    except (termios.error, OSError):
        return True
    return False
