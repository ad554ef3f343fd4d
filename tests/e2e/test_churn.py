"""Evict and refill, capacity after capacity, through a real node: its files stay near what is live. Promise P10."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.e2e import processes
from tests.e2e.churn import Filled, churn
from tests.e2e.pushes import Client
from tests.e2e.servers import check_store, start_node

RATIO = 1.3


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    server = start_node(tmp_path / "data", port=processes.free_port())
    filled = Filled(server, Client(server))
    try:
        yield filled
    finally:
        filled.client.close()
        processes.stop(server.process)
    check_store(tmp_path / "data")


def test_files_stay_near_what_is_live(filled: Filled) -> None:
    ratios = churn(filled, capacity=20 * 2**20, rounds=2, seed=1)
    assert max(ratios["chunks"], ratios["meta"]) <= RATIO, ratios


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_files_stay_near_what_is_live_after_ten_capacities(filled: Filled) -> None:
    ratios = churn(filled, capacity=200 * 2**20, rounds=10, seed=Random().getrandbits(32))
    print(ratios)
    assert max(ratios.values()) <= RATIO, ratios
