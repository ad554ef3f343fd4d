"""How much room the disk has left; asked of the file system, for LMDB's own errors come too late to act on."""

import os
from pathlib import Path

from protocol.errors import StoreFull

RESERVE = 256 * 2**20  # Bytes, or 2 % of the disk if that is more, at most a quarter: deletes need room to happen.


class Space:
    """The file system that a directory lies on."""

    def __init__(self, path: Path, *, reserve: int = RESERVE) -> None:
        self._path = path
        self._reserve = reserve

    def free(self) -> int:
        """Return the bytes that may still be written; 0 or less once the reserve is reached."""
        status = os.statvfs(self._path)
        total, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
        return free - max(min(self._reserve, total // 4), total // 50) if self._reserve else free

    def require(self, size: int) -> None:
        """Raise ``StoreFull`` where *size* more bytes would use up the reserve."""
        if self.free() < size:
            raise StoreFull("the disk of this node is full; delete images or add room, then push again")
