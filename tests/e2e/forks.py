"""Nodes that are forked by a Python which has imported all of a node before: they start in a fifth of the time.

For tests that start thousands. It is the same program with the same arguments in a process of its own; only the imports
are done, and under a tracer those are most of what there is to trace. As a program, this is that Python: it takes
orders as lines of JSON and answers each with a number.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from node.cli.main import COMMANDS, main
from tests.e2e.processes import wait_until

_PATIENCE = 30.0  # Seconds until a tracer has taken hold, on a machine that is busy.


class Forked:
    """A process that was forked, in the shape of ``subprocess.Popen``."""

    def __init__(self, forks: "Forks", pid: int) -> None:
        self.pid = pid
        self._forks = forks
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, or minus the signal that killed it; ``None`` while it runs."""
        if self._code is None:
            self._code = self._forks.ask(poll=self.pid)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, as ``Popen.wait``."""
        if not wait_until(lambda: self.poll() is not None, patience=timeout or 600, interval=0.005):
            raise subprocess.TimeoutExpired("a forked node", timeout or 600)
        assert self._code is not None
        return self._code

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Send TERM."""
        self.send_signal(signal.SIGTERM)


class Forks:
    """The Python that forks; all that it forks has its environment. For one thread."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._python = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._tracers: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        """End it; what it forked has ended before."""
        for tracer in self._tracers:
            tracer.wait(_PATIENCE)
        self._python.communicate(timeout=_PATIENCE)

    def start(self, arguments: Sequence[str | Path], *, log: Path, tracer: Sequence[str | Path] = ()) -> Forked:
        """Start ``entrepot`` with *arguments*, its output appended to *log*; with *tracer* it waits for its tracer."""
        pid = self.ask(arguments=[*map(str, arguments)], output=str(log), errors=str(log), held=bool(tracer))
        assert pid is not None
        forked = Forked(self, pid)
        if tracer:
            self._trace(forked, tracer)
        return forked

    def run(self, *arguments: str | Path, patience: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run one ``entrepot`` command to its end."""
        with tempfile.TemporaryDirectory() as folder:
            output, errors = Path(folder, "output"), Path(folder, "errors")
            pid = self.ask(arguments=[*map(str, arguments)], output=str(output), errors=str(errors), held=False)
            assert pid is not None
            code = Forked(self, pid).wait(patience)
            return subprocess.CompletedProcess(arguments, code, output.read_text(), errors.read_text())

    def ask(self, **order: object) -> int | None:
        """Give an order, and return the answer."""
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        print(json.dumps(order), file=self._python.stdin, flush=True)
        answer: int | None = json.loads(self._python.stdout.readline())
        return answer

    def _trace(self, forked: Forked, tracer: Sequence[str | Path]) -> None:
        status = Path(f"/proc/{forked.pid}/status")
        _await(lambda: "State:\tT" in status.read_text(), "it did not wait for its tracer")
        self._tracers = [one for one in self._tracers if one.poll() is None]
        command = [*(part for part in tracer if part != "-D"), "-p", str(forked.pid)]
        self._tracers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        _await(lambda: "TracerPid:\t0\n" not in status.read_text(), "the tracer did not take hold")
        os.kill(forked.pid, signal.SIGCONT)


def _await(condition: Callable[[], bool], otherwise: str) -> None:
    assert wait_until(condition, patience=_PATIENCE, interval=0.002), otherwise


class Order(msgspec.Struct):
    """A line: a process to ask after, or one to start."""

    poll: int = 0
    arguments: list[str] = []
    output: str = ""
    errors: str = ""
    held: bool = False


def take_orders() -> Order:
    """Answer orders until there are no more; returns in each process that was forked, with what it is to do."""
    living: set[int] = set()
    for line in sys.stdin:
        order = msgspec.json.decode(line, type=Order)
        if order.poll:
            answer = _poll(order.poll, living)
        elif answer := os.fork():
            living.add(answer)
        else:
            return order
        print(json.dumps(answer), flush=True)
    for pid in living:  # Of a run that was ended itself.
        os.kill(pid, signal.SIGKILL)
    sys.exit()


def _poll(pid: int, living: set[int]) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    living -= {ended}
    return os.waitstatus_to_exitcode(status) if ended else None


def become(order: Order) -> None:
    """Make this process what a new one would be."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in ((1, order.output), (2, order.errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    os.closerange(3, 100)
    sys.argv = ["entrepot", *order.arguments]
    if order.held:
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    for row in COMMANDS.values():
        importlib.import_module(row.module)
    become(take_orders())
    main()
