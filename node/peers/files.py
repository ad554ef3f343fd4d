"""Small files of secrets: modes, atomic replacement, and a lock between processes.

A file is written beside its place, synced and renamed, and the folder is synced, so that after a crash it is the
old one or the new one. Nothing here is readable by group or others, at no moment: the mode is set when the file is
made, not after. A secret that others could read is refused rather than used.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from protocol.errors import Damaged, NotReady

MAX_FILE = 16 * 1024 * 1024  # Bytes; the largest is the list of known nodes.


def make_folder(path: Path) -> None:
    """Make *path* with mode 0700, and its parents as the umask has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Replace *path* by *data*, mode 0600, durably and all at once."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def replace_secret(path: Path, data: bytes) -> None:
    """Replace *path* as ``write_file`` does, and overwrite where the old secret lay."""
    with _overwritten(path):
        write_file(path, data)


def destroy_file(path: Path) -> None:
    """Remove *path*, durably, and overwrite where it lay; nothing where it is gone."""
    with suppress(FileNotFoundError):
        with _overwritten(path):
            path.unlink()
        sync_folder(path.parent)


@contextmanager
def _overwritten(path: Path) -> Iterator[None]:
    """Fill what is in *path* with zeros, in its place, after the block has taken its name away."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield
        os.pwrite(fd, bytes(os.fstat(fd).st_size), 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def read_file(path: Path) -> bytes:
    """Return what is in *path*.

    ``NotReady`` where it is missing or anyone but its owner may read it, ``Damaged`` where it is absurdly large.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise NotReady(f"identity/{path.name} cannot be read: {error.strerror}") from error
    with os.fdopen(fd, "rb") as file:
        state = os.fstat(file.fileno())
        if state.st_mode & 0o077:
            raise NotReady(f"identity/{path.name} can be read by others: chmod 600 it, and think about who did")
        if state.st_size > MAX_FILE:
            raise Damaged(f"identity/{path.name} has {state.st_size} bytes")
        return file.read()


def sync_folder(path: Path) -> None:
    """Make renames in *path* durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold *folder* against other processes (and threads) that read, change and write its files. Waits."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
