"""What a process occupies: anonymous and shared pages are its own, file pages are the page cache seen through a map."""

from dataclasses import dataclass
from pathlib import Path

MEBI = 2**20


@dataclass(frozen=True, slots=True)
class Resident:
    """Bytes."""

    own: int  # RssAnon + RssShmem.
    file: int  # RssFile: the program's code, and of a mapped store what was read lately.


def resident(pid: int) -> Resident:
    """Return what *pid* and its descendants occupy now."""
    own = file = 0
    for process in _family(pid):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}
        own += sizes["RssAnon"] + sizes["RssShmem"]
        file += sizes["RssFile"]
    return Resident(own, file)


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]
