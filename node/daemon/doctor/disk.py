"""The disk: room, the kind of file system, how long it takes to sync, who may read it."""

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from node.daemon.doctor.checks import Check, fail, ok, size, warn
from node.store.space import RESERVE

SLOW_SYNC, STALLED_SYNC = 0.05, 1.0  # Seconds: each commit takes two.
_SYNCS = 5
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "afs"})
_FLEETING = frozenset({"tmpfs", "ramfs"})
_MANY = 10_000  # Inodes that should be free: few are needed, and none is a full disk.


def check_disk(data: Path) -> list[Check]:
    """Look at the disk that *data* lies on; takes as long as a few syncs."""
    kind, mount = file_system(data)
    return [_room(data), _inodes(data), _kind(kind, mount), _sync(data), _mode(data)]


def file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> tuple[str, str]:
    """Return the kind of file system that *path* lies on, and where that is mounted; ``("", "")`` for unknown."""
    found, real = ("", ""), path.resolve()
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        _, where, kind, *_ = line.split()
        where = where.replace("\\040", " ")
        if real.is_relative_to(where) and len(where) >= len(found[1]):
            found = kind, where
    return found


def _room(data: Path) -> Check:
    status = os.statvfs(data)
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    kept = max(min(RESERVE, total // 4), total // 50)
    text = f"{size(free)} free of {size(total)}, of which {size(kept)} are kept for deletes"
    if free <= kept:
        return fail("disk", "room", text, "delete images or add room; pushes are refused until there is some")
    if free < 4 * kept or free < total // 10:
        return warn("disk", "room", text, "delete images or add room before pushes are refused")
    return ok("disk", "room", text)


def _inodes(data: Path) -> Check:
    status = os.statvfs(data)
    if status.f_files and status.f_favail < min(_MANY, status.f_files // 50):
        return warn("disk", "inodes", f"{status.f_favail} left of {status.f_files}", "remove small files of others")
    return ok("disk", "inodes", f"{status.f_favail} left" if status.f_files else "without a limit")


def _kind(kind: str, mount: str) -> Check:
    text = f"{kind or 'unknown'} at {mount or '?'}"
    if kind in _REMOTE:
        return fail("disk", "file system", text, "move the data to a local disk: locks and maps need one")
    if kind in _FLEETING:
        return warn("disk", "file system", text, "it lies in memory, and is gone after a restart of the machine")
    return ok("disk", "file system", text)


def _sync(data: Path) -> Check:
    file = data / f".doctor.{os.getpid()}"
    slowest = 0.0
    try:
        with file.open("wb", buffering=0) as out:
            for _ in range(_SYNCS):
                out.write(bytes(4096))
                began = time.perf_counter()
                os.fdatasync(out.fileno())
                slowest = max(slowest, time.perf_counter() - began)
    except OSError as error:
        why = f"{error.strerror}"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return fail("disk", "sync", why, "delete images or add room; then look again")
        return fail("disk", "sync", why, "the disk takes no writes: look at it and at the kernel's log")
    finally:
        with suppress(OSError):  # A disk that is read-only says so also of a file that is not there.
            file.unlink(missing_ok=True)
    text = f"{slowest * 1000:.1f} ms, the slowest of {_SYNCS}"
    if slowest > STALLED_SYNC:
        return fail("disk", "sync", text, "pushes wait for it: use another disk, or find what else writes to this one")
    if slowest > SLOW_SYNC:
        return warn("disk", "sync", text, "each push waits for two of these; an SSD of its own takes about 1 ms")
    return ok("disk", "sync", text)


def _mode(data: Path) -> Check:
    mode = data.stat().st_mode & 0o777
    if mode & 0o077:
        return warn("disk", "access", f"others may enter {data} ({mode:03o})", f"chmod 700 {data}")
    return ok("disk", "access", f"{data} is for its owner alone")
