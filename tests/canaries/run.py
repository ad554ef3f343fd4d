"""Break one promise after the other in a copy of the tree, and require that the tests notice: ``make canaries``.

A harness that cannot fail proves nothing. Each canary gets a copy of its own; what is committed here stays as it is.
Ends with 1 where a canary lives: where its patch does not apply, or its tests pass.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.canaries.table import CANARIES, Canary

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 900.0  # Seconds for the tests of one canary.
_FAILED = 1  # What pytest ends with where tests failed; other codes say that it could not run them.


def main() -> int:
    """Run all canaries, or those whose names hold one of the arguments; return the exit code."""
    chosen = [one for one in CANARIES if not sys.argv[1:] or any(word in one.name for word in sys.argv[1:])]
    living = [one.name for one in chosen if not notices(one)]
    print(f"{len(chosen) - len(living)} of {len(chosen)} canaries were noticed")
    return 1 if living else 0


def notices(canary: Canary) -> bool:
    """Whether the tests go red; tells what came of it."""
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:
        copy_tree(Path(folder))
        if not apply(canary, Path(folder)):
            print(f"DOES NOT APPLY  {canary.name}: {canary.file}", flush=True)
            return False
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *canary.tests]
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            print(f"NO END          {canary.name}", flush=True)
            return False
    red = done.returncode == _FAILED
    print(f"{'noticed' if red else 'NOT NOTICED':15} {canary.name}", flush=True)
    if not red:
        print(done.stdout[-3000:], done.stderr[-1000:])
    return red


def copy_tree(folder: Path) -> None:
    """Copy what git knows of."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            target.write_bytes((ROOT / name).read_bytes())


def apply(canary: Canary, root: Path) -> bool:
    """Patch the tree at *root*; return whether the text stood there exactly once."""
    file = root / canary.file
    text = file.read_text()
    if text.count(canary.old) != 1:
        return False
    file.write_text(text.replace(canary.old, canary.new))
    return True


if __name__ == "__main__":
    sys.exit(main())
