"""Faults of the machine below a node: system calls that kill it or fail, slow disks, a clock that lies.

``strace`` injects, as a child of the node (``-D``), so that the node is still the process that was started, and ends
by itself with it. Never ``--seccomp-bpf``: with it the signal of an injection is lost. Calls are counted for each
thread, and the kill comes before the call does anything.

``libfaketime`` moves the wall clock and leaves the monotonic one alone: what is due tomorrow is due at the next start.
Always its library for threads: the other one gives the true time to a thread that asks while another reads the file.
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ERRORS = ("EIO", "ENOSPC")
_CALL = re.compile(r"^(\d+) +(\w+)\(")


@dataclass(frozen=True, slots=True)
class Injection:
    """The *nth* call of *syscall* in any thread ends so: ``KILL``, or the name of an errno."""

    syscall: str
    fault: str
    nth: int

    def __str__(self) -> str:
        return f"{self.fault} at {self.syscall} number {self.nth}"

    @property
    def expression(self) -> str:
        """What strace's ``-e`` takes."""
        how = "signal=KILL" if self.fault == "KILL" else f"error={self.fault}"
        return f"inject={self.syscall}:{how}:when={self.nth}"


def traced(
    trace: Path, syscalls: Sequence[str], *, paths: Sequence[Path] = (), expressions: Sequence[str] = ()
) -> list[str | Path]:
    """Return what goes before a command to log its *syscalls* in *trace*, only those on *paths* if there are any."""
    chosen = [part for path in paths for part in ("-P", str(path))]
    inject = [part for expression in expressions for part in ("-e", expression)]
    return ["strace", "-D", "-f", "-qq", "-o", trace, "-e", f"trace={','.join(syscalls)}", *chosen, *inject]


def most_calls(trace: Path) -> Counter[str]:
    """Return how often the busiest thread made each call."""
    calls: Counter[tuple[str, str]] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        if found := _CALL.match(line):
            calls[found[1], found[2]] += 1
    most: Counter[str] = Counter()
    for (_, syscall), count in calls.items():
        most[syscall] = max(most[syscall], count)
    return most


def was_injected(trace: Path) -> bool:
    """Whether the fault came to happen."""
    text = trace.read_text(errors="replace") if trace.exists() else ""
    return "(INJECTED)" in text or "killed by SIGKILL" in text


def clock(offset: str) -> dict[str, str]:
    """Return the environment in which the wall clock is off: ``+26h``, ``-1d``, or a file that says so."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    where = {"FAKETIME_TIMESTAMP_FILE": offset, "FAKETIME_NO_CACHE": "1"} if "/" in offset else {"FAKETIME": offset}
    return {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", **where}


def set_clock(file: Path, ahead: float) -> None:
    """Have the nodes' wall clock be *ahead* seconds ahead from now on."""
    partial = file.with_suffix(".new")
    partial.write_text(f"+{ahead:.0f}")
    partial.rename(file)


def need(*programs: str) -> None:
    """Skip where a program is missing or root is needed and not there; fail where CI is set."""
    missing = [program for program in programs if program != "root" and shutil.which(program) is None]
    missing += ["root"] if "root" in programs and os.geteuid() else []
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"this needs {', '.join(missing)}")
