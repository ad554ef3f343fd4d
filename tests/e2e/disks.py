"""Disks of our own: ext4 in a file behind a loop device, of which a copy at any moment is what a power cut leaves.

What was flushed is in the file, what only lies in the page cache of the file system above is not: so a copy of the
file, taken at once after the node was killed, has everything that was synced and nothing that was not. It does not show
writes that are reordered within a flush, nor disks that lie.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.faults import need


def make_disk(image: Path, *, size: int) -> None:
    """Make an empty file system of *size* bytes in a file."""
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """Mount *image* at *place* for the length of the block; skip where this machine cannot."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True, check=False)
    if done.returncode:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no loop devices: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True, capture_output=True)


def cut_power(image: Path) -> Path:
    """Return a copy of what is on the disk now, though its file system is mounted."""
    copy = image.with_suffix(".cut")
    subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    return copy


def need_disks() -> None:
    """Skip where there cannot be any."""
    need("root", "mkfs.ext4", "mount")
