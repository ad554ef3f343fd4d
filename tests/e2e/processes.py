"""Start a daemon, wait until it answers, end it by its process id: no daemon outlives the block that started it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

MARK = f"E2E_RUN={os.getpid()}"  # In the environment of all that a run starts, so that what it leaves can be found.
GRACE = 15.0  # Seconds between TERM and KILL.
PATIENCE = 30.0  # Seconds until a started daemon must be ready, on a machine that is busy with others.


class NotReady(Exception):
    """A daemon ended, or did not get ready in time; the message holds the end of its log."""


class Process(Protocol):
    """What a test does with a process; ``subprocess.Popen`` is one."""

    pid: int

    def poll(self) -> int | None:
        """Return its exit code, or minus the signal that killed it; ``None`` while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return the same; ``subprocess.TimeoutExpired`` after *timeout* seconds."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""

    def terminate(self) -> None:
        """Send TERM, unless it has ended."""


def environment(**variables: str) -> dict[str, str]:
    """Return a bare environment that bears the run's mark: nothing of the machine's settings but ``PATH``."""
    name, _, value = MARK.partition("=")
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", name: value, **variables}


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], *, patience: float, interval: float = 0.02) -> bool:
    """Ask every *interval* seconds; return whether *condition* held within *patience*."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def start(
    command: Sequence[str | Path], *, log: Path, ready: Callable[[], bool], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start *command* in a process group of its own, its output appended to *log*; return once *ready* holds."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    await_ready(process, " ".join(map(str, command)), log=log, ready=ready)
    return process


def await_ready(process: Process, what: str, *, log: Path, ready: Callable[[], bool]) -> None:
    """Return once *ready* holds.

    Raises:
        NotReady: the process ended, or took too long and was stopped.
    """
    if not wait_until(lambda: process.poll() is not None or ready(), patience=PATIENCE) or process.poll() is not None:
        code = process.poll()
        stop(process)
        why = "was not ready in time" if code is None else f"ended with {code}"
        raise NotReady(f"{what} {why}\n{tail(log)}")


def stop(process: Process, *, grace: float = GRACE) -> int:
    """Send TERM, after *grace* seconds KILL to its whole group; return the exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            kill(process)
    return process.wait()


def kill(process: Process) -> None:
    """KILL the process and its group, and wait for it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def running(
    command: Sequence[str | Path], *, log: Path, ready: Callable[[], bool], environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run *command* for the length of a block."""
    process = start(command, log=log, ready=ready, environment=environment)
    try:
        yield process
    finally:
        stop(process)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts a connection there."""
    try:
        with socket.create_connection((host, port), 1):
            return True
    except OSError:
        return False


def tail(log: Path, *, length: int = 6000) -> str:
    """Return the last *length* characters of a log."""
    return log.read_text(errors="replace")[-length:] if log.exists() else ""
