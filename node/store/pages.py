"""The pages of an environment's file: in use, free for the next write, and held behind its end.

Theory of operation
===================
The file of an environment never shrinks: what is deleted leaves free pages in it, and the next writes take those. So
room is what the disk has left and what lies free in the file. LMDB does not say how much that is; the pages of all
tables are counted instead, at constant cost, and what is not one of them is free.

A delete writes before it frees: it copies each page that it changes. On a disk that others have filled to the last
byte it would fail, and nothing could be deleted any more. So a *ballast* is set aside: blocks behind the end of the
file, preallocated without changing its size, into which only this file can grow. Nobody else can take them, not even
between a failure and the next attempt, as they could take what the removal of a separate file gives back. What a write
used of it is taken again as soon as the disk has room.

Where the file system cannot do that (ZFS), there is no ballast; the reserve of ``space`` is all there is.

Source: fallocate(2), FALLOC_FL_KEEP_SIZE.
"""

import ctypes
import errno
import os
from pathlib import Path

import lmdb
import msgspec

from node.store.table import MAX_READERS

PAGE = 4096  # Bytes.
BALLAST = 16 * 2**20  # Bytes behind the end of each file; on a small disk a 64th of it. A delete copies 50 pages.
_LOCK_SIZE = 64 * MAX_READERS + 8192  # Bytes: readers of 64, and what comes before them.
_KEEP_SIZE = 1
_UNABLE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate64.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class PageCount(msgspec.Struct, frozen=True):
    """Bytes of an environment's file."""

    size: int  # All of it.
    used: int  # In pages of tables.
    free: int  # In pages that a later write can take; the list of them is not.


class Pages:
    """The pages of the environment in the directory *path*; may be asked from any thread."""

    def __init__(self, env: "lmdb.Environment", path: Path, *, ballast: int = BALLAST) -> None:
        self._env = env
        self._data = path / "data.mdb"
        self._fd = os.open(self._data, os.O_RDWR | os.O_CLOEXEC)
        status = os.fstatvfs(self._fd)
        self.ballast = min(ballast, status.f_blocks * status.f_frsize // 64) // PAGE * PAGE
        """Bytes that are to be held behind the end of the file."""
        self.is_held = not self.ballast
        """Whether a quarter of them at least was when ``hold`` last looked."""
        self._end = 0  # To where the file may grow within what is held.

    def close(self) -> None:
        """Give the file back; what is held behind its end stays."""
        os.close(self._fd)

    def count(self) -> PageCount:
        """Return how the file is used; some microseconds for each table."""
        try:
            with self._env.begin() as txn:
                tables = [txn.stat(), *(txn.stat(self._env.open_db(name, txn)) for name in self._env.dbs())]
        except lmdb.Error:  # A page makes no sense. Whoever reads what lies there is told; nothing is known to be free.
            size = PAGE * (self._env.info()["last_pgno"] + 1)
            return PageCount(size, size, 0)
        used = PAGE * sum(one["branch_pages"] + one["leaf_pages"] + one["overflow_pages"] for one in tables)
        size = PAGE * (self._env.info()["last_pgno"] + 1)
        free = max(0, size - used - 2 * PAGE)
        return PageCount(size, used, free - free // 256)  # Eight bytes a page say which are free, with room to spare.

    def growth(self) -> int:
        """Return by how many bytes the file may grow before the map is full; the disk is not asked."""
        info = self._env.info()
        return int(info["map_size"]) - PAGE * (int(info["last_pgno"]) + 1)

    @property
    def map_size(self) -> int:
        """Bytes of address space; the file is never larger."""
        return int(self._env.info()["map_size"])

    def hold(self) -> bool:
        """Top the ballast up, where a quarter of it was used, and return whether enough of it is held.

        Called by the writer after each commit, on its thread, and from time to time, for the disk may have room again.
        """
        size = os.fstat(self._fd).st_size
        if size + self.ballast * 3 // 4 > self._end:
            failed = _LIBC.fallocate64(self._fd, _KEEP_SIZE, size, self.ballast)
            if not failed:
                self._end = size + self.ballast
            elif ctypes.get_errno() in _UNABLE:
                self.ballast = 0
        self.is_held = size + self.ballast // 4 <= self._end or not self.ballast
        return self.is_held


def allocate_lock(path: Path) -> None:
    """Give the lock file of the environment in *path*, which is not open, all its blocks.

    LMDB writes to it through a map: where a full disk has no block for it, that kills the process.
    """
    fd = os.open(path / "lock.mdb", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, max(os.fstat(fd).st_size, _LOCK_SIZE))
    except OSError as error:
        if error.errno not in _UNABLE | {errno.ENOSPC}:  # On a full disk it starts with the blocks that it had.
            raise
    finally:
        os.close(fd)
