"""A real store in a directory of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from node.store.meta import Meta, open_meta
from node.store.store import Store, open_store


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Meta]:
    with open_meta(tmp_path, map_size=2**22) as meta:
        yield meta


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path, map_size=2**26, reserve=0) as store:
        yield store
