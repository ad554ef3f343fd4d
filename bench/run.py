"""``make bench``: measure all parts, or those named with ``--only``, and write bench/results.md.

With ``--only`` nothing is written, unless ``--write`` asks for it: the page is to be from one run.
"""

import argparse
import tempfile
from pathlib import Path

from bench import report
from bench.contestants import make_bench
from bench.parts import (
    api,
    authorized,
    collection,
    engine,
    manifests,
    memory,
    pulls,
    pushes,
    replication,
    scale,
    uploads,
)
from bench.rounds import Figure

PARTS = {
    "manifests": manifests.measure,
    "authorized": authorized.measure,
    "api": api.measure,
    "pulls": pulls.measure,
    "uploads": uploads.measure,
    "pushes": pushes.measure,
    "memory": memory.measure,
    "engine": engine.measure,
    "replication": replication.measure,
    "scale": scale.measure,
    "collection": collection.measure,
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may be given more than once")
    parser.add_argument("--write", action="store_true", help="write the results also of a run that leaves parts out")
    parser.add_argument("--folder", type=Path, help="where the stores lie (10 GB; a temporary folder)")
    chosen = parser.parse_args()
    parts = chosen.only or list(PARTS)
    figures: list[Figure] = []
    for part in parts:
        print(f"measuring {part} ...", flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=chosen.folder) as folder:
            found = PARTS[part](make_bench(Path(folder)))
        figures += found
        print("\n".join(map(report.row, found)), flush=True)
    print(report.render(figures, parts))
    if chosen.write or not chosen.only:
        report.write(figures, parts)
        print(f"written to {report.FILE}")


if __name__ == "__main__":
    main()
