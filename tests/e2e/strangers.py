"""Small disks that others fill to the last byte. Only root can have them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.e2e.disks import make_disk, mounted, need_disks

_PIECES = (2**20, 4096, 1)  # Bytes written at once, ever smaller, until not one more fits.


@contextmanager
def small_disk(kind: str, folder: Path, size: int) -> Iterator[Path]:
    """Mount a file system of *size* bytes, ``tmpfs`` or ``ext4``, below *folder* for as long as the block."""
    need_disks()
    if kind == "ext4":
        make_disk(folder / "image", size=size)
        with mounted(folder / "image", folder / "disk") as target:
            yield target
        return
    target = folder / "disk"
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


class Stranger:
    """Somebody else's files on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._count = 0

    def fill(self) -> None:
        """Write until nothing more fits."""
        self._count += 1
        with (self._folder / str(self._count)).open("wb", buffering=0) as file, suppress(OSError):
            for piece in _PIECES:
                with suppress(OSError):
                    while True:
                        file.write(bytes(piece))
            os.fsync(file.fileno())

    def leave(self) -> None:
        """Delete all of it."""
        for file in self._folder.iterdir():
            file.unlink()


def left(folder: Path) -> int:
    """Return how many bytes anyone could still write there."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
