"""A cluster of real nodes, which end with the test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.node.peers.cluster import Cluster


@pytest.fixture
async def cluster(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Cluster]:
    cluster = Cluster(tmp_path, nursery)
    yield cluster
    await cluster.stop()
    assert not cluster.bugs
