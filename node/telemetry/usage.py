"""What the process uses of what it may use: file descriptors, memory.

A limit of memory is the tightest one of the process's control group and those around it, in version 2 or 1. What counts
against it here is what cannot be given back: pages of files are, and the store's map would look like a leak.
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import msgspec

_PROC, _CGROUP = Path("/proc/self"), Path("/sys/fs/cgroup")
_NO_LIMIT = 2**60  # Bytes: version 1 writes a number near 2^63 where there is none.


class Usage(msgspec.Struct, frozen=True):
    """How much of something is used; *limit* is 0 where there is none."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        """From 0 to 1, and 0 where there is no limit."""
        return self.used / self.limit if self.limit else 0.0


def descriptors() -> Usage:
    """Return how many file descriptors are open, and may be."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    used = len(os.listdir(_PROC / "fd"))  # noqa: PTH208 - names are counted, not looked at.
    return Usage(used, 0 if limit == resource.RLIM_INFINITY else limit)


def memory(proc: Path = _PROC, cgroup: Path = _CGROUP) -> Usage:
    """Return the bytes of memory that count against the control group's limit; all 0 where there is none."""
    found = [usage for folder in _folders(proc, cgroup) if (usage := _usage(folder)) is not None]
    return max(found, key=lambda one: one.share, default=Usage(0, 0))


def resident() -> int:
    """Return the bytes of memory that are the process's own: neither files nor the store's map."""
    values = dict(line.split(":", 1) for line in (_PROC / "status").read_text().splitlines())
    return sum(int(values[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem"))


def _folders(proc: Path, cgroup: Path) -> Iterator[Path]:
    """Yield the folder of each control group that this process is in and that has to do with memory."""
    try:
        lines = (proc / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in {"", "memory"}:
            continue
        root = cgroup / controllers
        folder = root / path.lstrip("/")
        if not folder.is_dir():
            folder = root  # Within a namespace the own group is the root.
        while folder != root:
            yield folder
            folder = folder.parent
        yield root


def _usage(folder: Path) -> Usage | None:
    try:
        if (folder / "memory.max").exists():
            limit, used = (folder / "memory.max").read_text().strip(), folder / "memory.current"
        else:
            limit, used = (folder / "memory.limit_in_bytes").read_text().strip(), folder / "memory.usage_in_bytes"
        if limit == "max" or int(limit) >= _NO_LIMIT:
            return None
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        files = sum(
            int(statistics.get(f"total_{name}", statistics.get(name, 0))) for name in ("active_file", "inactive_file")
        )
        return Usage(max(0, int(used.read_text()) - files), int(limit))
    except (OSError, ValueError):
        return None
