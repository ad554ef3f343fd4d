"""One process for a data directory: ``DIR/lock``, held by flock for as long as a node runs or a command works on it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import NotReady


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the directory *path* for as long as the block; what a killed process held is free.

    Raises:
        NotReady: another process holds it, or it cannot be written.
    """
    try:
        fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NotReady(
            f"cannot write to {path}: {error.strerror}; give the node a directory of its own, with room in it"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise NotReady(f"another node runs on {path}; stop it first, or give this one another --data") from error
    try:
        yield
    finally:
        os.close(fd)
