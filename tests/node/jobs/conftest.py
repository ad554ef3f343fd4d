"""A registry on a store of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.registry.registry import Registry
from tests.node.registry.world import World, opened


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def registry(tmp_path: Path, world: World) -> AsyncIterator[Registry]:
    async with opened(tmp_path / "data", world) as registry:
        yield registry
