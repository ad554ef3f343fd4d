"""kill -9 at any time loses nothing that was acknowledged, leaves nothing half there, and brings nothing back.

Promises P1 to P4 of docs/design/reliability.md. Clients write until the node dies under them. The store that it left
passes its own check; it is started again on the same data and must explain every register: see ``history``.
``E2E_SEED`` repeats a run's choices (not its timing).
"""

import os
import threading
from pathlib import Path
from random import Random

import pytest

from tests.e2e import processes
from tests.e2e.servers import RIVAL, Server, check_store, start_docker_registry, start_node
from tests.e2e.workload import Ledger, Worker, check, check_all

WORKERS = 4
SEALED = '[encryption]\ndefault = "aes256"\n'


def test_what_was_acknowledged_survives(tmp_path: Path) -> None:
    survive(tmp_path / "data", rounds=12)


@pytest.mark.skipif(RIVAL, reason="it does not encrypt")
def test_what_was_acknowledged_and_lies_sealed_survives(tmp_path: Path) -> None:
    survive(tmp_path / "data", rounds=4, least=5, configuration=SEALED)


@pytest.mark.soak
@pytest.mark.parametrize("run", range(4))
def test_what_was_acknowledged_survives_two_hundred_times(tmp_path: Path, run: int) -> None:
    survive(tmp_path / "data", rounds=50)


def survive(data: Path, *, rounds: int, least: int = 20, configuration: str = "") -> None:
    """Kill the node *rounds* times under load, and check it after each start.

    Clients have to get *least* things done in each: the key of each repository that they make costs syncs of the disk.
    """
    seed = int(os.environ.get("E2E_SEED") or Random().getrandbits(32))
    random, ledger, port = Random(seed), Ledger(), processes.free_port()
    server, operations = start(data, port, configuration), 0
    try:
        for number in range(rounds):
            operations += load_until_killed(server, ledger, random)
            try:
                check_left(data)
                server = start(data, port, configuration)
                check(server, ledger)
            except AssertionError as error:
                error.add_note(f"round {number}, E2E_SEED={seed}\n{processes.tail(server.log)}")
                raise
        check_all(server, ledger)
    finally:
        processes.stop(server.process)
    check_left(data)
    assert operations > least * rounds, f"the clients hardly got to do anything: {operations}"


def load_until_killed(server: Server, ledger: Ledger, random: Random) -> int:
    """Run the workers, and kill the node at a random moment; return how much they did."""
    dying = threading.Event()
    workers = [Worker(server, ledger, Random(random.getrandbits(64)), dying) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    threading.Event().wait(random.uniform(0.1, 1.2))  # The moment of death is the one thing here that is time.
    dying.set()
    processes.kill(server.process)
    for worker in workers:
        worker.join(60)
        if worker.error is not None:
            raise worker.error
    return sum(worker.operations for worker in workers)


def check_left(data: Path) -> None:
    """The store that a node left is as it has to be."""
    if not RIVAL:
        check_store(data)


def start(data: Path, port: int, configuration: str = "") -> Server:
    return start_docker_registry(data, port=port) if RIVAL else start_node(data, port=port, configuration=configuration)
