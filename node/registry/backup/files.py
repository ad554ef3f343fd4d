"""Files that are there as a whole or not at all: written beside their place, synced, renamed, the folder synced.

Of many files that count for nothing before another one names them each is only written and renamed, and ``sync_all``
makes all of them durable before that one is: two syncs a file would be most of the time of a backup of small layers.

Nothing is readable by others at any moment: a backup holds what a registry keeps private, and keys if asked for.
"""

import ctypes
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.store.format import sync_folder
from protocol.errors import NotReady

PARTIAL = ".partial"
"""End of the name of a file that is being written; there is one writer, so a name needs no more."""


def make_folder(path: Path) -> None:
    """Make *path* and what is missing above it, each durable in the one above."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def write_whole(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Put *data* at *path*, all at once, and durably unless ``sync_all`` comes later."""
    make_folder(path.parent)
    with writing(path, sync=sync) as file:
        file_write(file, data)


@contextmanager
def writing(path: Path, *, sync: bool = True) -> Iterator[int]:
    """Give a descriptor to write with; the file appears at *path* when the block has ended well.

    What an earlier block left at its beginning is still there: who goes on with it looks at it first, others truncate.
    """
    beside = path.with_name(path.name + PARTIAL)
    fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield fd
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)
    beside.replace(path)
    if sync:
        sync_folder(path.parent)


def file_write(fd: int, data: bytes) -> None:
    """Let the file have these bytes and no others."""
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    write_all(fd, data)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of *data*."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_all(path: Path) -> None:
    """Make all files of the file system of *path* durable; ``OSError`` where one could not be written."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    finally:
        os.close(fd)


@contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold the file *path* by flock; ``NotReady`` with *busy* where another process does."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotReady(busy) from error
        yield
    finally:
        os.close(fd)
