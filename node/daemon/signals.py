"""What signals do to a node: TERM and INT stop it, HUP reloads its configuration."""

import os
import signal
import termios
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
import trio

from protocol.errors import ReloadRefused

log = structlog.get_logger()


async def obey_signals(
    stopping: trio.Event,
    at_once: trio.CancelScope,
    reload: Callable[[], Awaitable[object]],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Obey until cancelled.

    The first TERM or INT sets *stopping*: requests in flight finish. The second cancels *at_once*: they are cut, and
    what the writers have is still committed. HUP calls *reload*; but from a terminal that is gone it stops the node, as
    it would any program in a window that was closed.
    """
    had_terminal = os.isatty(2)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP and not (had_terminal and _is_gone()):
                with suppress(ReloadRefused):  # It is in the log.
                    await reload()
            elif stopping.is_set():
                log.warning("stopping at once")
                at_once.cancel()
            else:
                log.info("stopping", signal=signal.Signals(number).name)
                stopping.set()


def _is_gone() -> bool:
    try:
        termios.tcgetattr(2)
    except (termios.error, OSError):
        return True
    return False
