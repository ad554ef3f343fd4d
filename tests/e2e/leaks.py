"""What a test run may not leave on the machine: mounts, network namespaces, loop devices, firewall rules, processes."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.e2e.processes import MARK, wait_until


def take() -> frozenset[str]:
    """Return what is there now, a line each."""
    mounts = {f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    namespaces = {f"namespace {path}" for path in Path("/run/netns").glob("*")}
    loops = {f"loop device {path}" for path in Path("/sys/block").glob("loop*/loop/backing_file")}
    return frozenset(mounts | namespaces | loops | _rules() | _processes())


def left_since(before: frozenset[str], *, patience: float = 5) -> frozenset[str]:
    """Return what is there and was not *before*; what is about to end has *patience* seconds to do so."""
    wait_until(lambda: take() <= before, patience=patience, interval=0.1)
    return take() - before


def _rules() -> set[str]:
    if os.geteuid() != 0 or not shutil.which("nft"):
        return set()
    done = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return {f"firewall {line}" for line in done.stdout.splitlines()}


def _processes() -> set[str]:
    """Return what runs with this run's mark in its environment: also what was orphaned and has another parent now."""
    found: set[str] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if MARK.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.add(f"process {folder.name} {(folder / 'comm').read_text().strip()}")
        except OSError:
            continue  # It ended while we looked, or is not ours to read.
    return found
