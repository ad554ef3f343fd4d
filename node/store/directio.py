"""Reads a file as it is on the disk, and leaves the page cache as it was.

A scrub that read by way of the page cache would look at what a pull has just read, not at the disk, and push out what
pulls need. So it reads with O_DIRECT. Where the file system has none (tmpfs) it reads as everybody does, and lets go of
the pages that were not there before.
"""

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.store.extents import is_resident

MAX_READ = 2**20  # Bytes of one read: a chunk.
_SECTOR = 4096  # Bytes: what O_DIRECT aligns to, on every disk of today.


class Disk:
    """One file; one thread at a time may read it."""

    def __init__(self, fd: int, *, is_direct: bool) -> None:
        self._fd = fd
        self._is_direct = is_direct
        self._buffer = mmap.mmap(-1, MAX_READ + 2 * _SECTOR)  # Aligned, as O_DIRECT wants it.

    def read(self, offset: int, length: int) -> bytes:
        """Return up to *length* bytes, fewer at the end of the file; ``OSError`` where a sector cannot be read."""
        if self._is_direct:
            try:
                return self._read_direct(offset, length)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._is_direct = False  # A file system that opens like this, and does not read.
        was_there = is_resident(self._fd, offset, length)
        data = os.pread(self._fd, length, offset)
        if not was_there:
            os.posix_fadvise(self._fd, offset, length, os.POSIX_FADV_DONTNEED)
        return data

    def close(self) -> None:
        """Give back the buffer."""
        self._buffer.close()

    def _read_direct(self, offset: int, length: int) -> bytes:
        start = offset - offset % _SECTOR
        end = -(-(offset + length) // _SECTOR) * _SECTOR
        with memoryview(self._buffer) as view, view[: end - start] as into:
            count = os.preadv(self._fd, [into], start)
            return bytes(into[offset - start : min(count, offset - start + length)])


@contextmanager
def open_disk(path: Path) -> Iterator[Disk]:
    """Open a file for as long as the block."""
    is_direct = True
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        is_direct = False
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    disk = Disk(fd, is_direct=is_direct)
    try:
        yield disk
    finally:
        disk.close()
        os.close(fd)
