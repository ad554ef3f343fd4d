"""A power cut at any moment loses nothing that was acknowledged: promises P1, P2, P4 and P11, fault B1.

As in ``test_kill``, but what the node finds when it starts again is only what had been synced: see ``disks``.
"""

import os
import threading
from pathlib import Path
from random import Random

import pytest

from tests.e2e import processes
from tests.e2e.disks import cut_power, make_disk, mounted, need_disks
from tests.e2e.servers import RIVAL, check_store, start_node
from tests.e2e.workload import Ledger, Worker, check, check_all

pytestmark = pytest.mark.skipif(RIVAL, reason="docker-registry syncs nothing")

SIZE = 1 << 30  # Bytes of the disk, most of it a hole.
WORKERS = 4


def test_what_was_acknowledged_survives_power_cuts(tmp_path: Path) -> None:
    survive(tmp_path, cuts=3)


@pytest.mark.soak
@pytest.mark.parametrize("run", range(12))
def test_what_was_acknowledged_survives_sixty_power_cuts(tmp_path: Path, run: int) -> None:
    survive(tmp_path, cuts=5)


def survive(folder: Path, *, cuts: int) -> None:
    """Cut the power *cuts* times under load, each time on the disk that the last cut left."""
    need_disks()
    seed = int(os.environ.get("E2E_SEED") or Random().getrandbits(32))
    random, ledger, image, operations = Random(seed), Ledger(), folder / "disk", 0
    make_disk(image, size=SIZE)
    for number in range(cuts + 1):
        with mounted(image, folder / "mounted") as place:
            data = place / "data"
            try:
                if number:
                    check_store(data, deep=number == cuts)
                operations += live_until_cut(data, ledger, random, is_last=number == cuts)
            except AssertionError as error:
                error.add_note(f"cut {number}, E2E_SEED={seed}\n{processes.tail(data.with_name('data.log'))}")
                raise
            left = cut_power(image)
        left.rename(image)
    assert operations > 5 * cuts, "the clients hardly got to do anything"


def live_until_cut(data: Path, ledger: Ledger, random: Random, *, is_last: bool) -> int:
    """Start the node, look at all that it was told before, and let clients at it until it dies; return what they did.

    At the last time nothing dies: everything that was ever acknowledged is read.
    """
    server = start_node(data, port=processes.free_port())
    dying = threading.Event()
    workers = []
    try:
        check(server, ledger)
        if is_last:
            check_all(server, ledger)
            return 0
        workers = [Worker(server, ledger, Random(random.getrandbits(64)), dying) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        threading.Event().wait(random.uniform(0.2, 1.2))  # The moment of the cut.
        dying.set()
    finally:
        processes.kill(server.process)
    for worker in workers:
        worker.join(60)
        if worker.error is not None:
            raise worker.error
    return sum(worker.operations for worker in workers)
