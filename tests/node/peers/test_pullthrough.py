"""A tag that was pulled through is served from here, whatever keeps its upstream or the disk from answering."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio

from node.peers.fetch import Fetcher
from node.peers.pullthrough import WINDOW, PullThrough
from node.registry.freshness import is_stale
from node.registry.images import prepare_manifest
from node.registry.pullthrough import put_pull_through
from node.registry.receiving import keep_manifest
from node.registry.registry import Registry
from protocol.auth.names import Region, RegistryName
from protocol.errors import NoSource
from protocol.events.event import Arrival
from protocol.oci.digest import digest_of
from protocol.oci.mediatype import OCI_INDEX
from protocol.oci.names import TagName
from tests.node.registry.world import ACCOUNT, ALICE, APP, TAG, World, opened

MANIFEST = msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
UPSTREAM = RegistryName(ACCOUNT, Region("us-east-1"))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def registry(tmp_path: Path, world: World) -> AsyncIterator[Registry]:
    """One that pulled a tag through a while ago."""
    async with opened(tmp_path / "data", world) as registry:
        await put_pull_through(registry, ALICE, "team/", UPSTREAM, None)
        prepared = await prepare_manifest(MANIFEST, OCI_INDEX, None, reading=registry.incoming.reading)
        await keep_manifest(registry, ALICE, APP, prepared, blobs=(), tag=TAG, arrival=Arrival("pull-through"))
        world.now += WINDOW + 1
        yield registry


def out_of_reach(registry: Registry, nursery: trio.Nursery) -> PullThrough:
    return PullThrough(Fetcher(registry.transits, lambda _: [], nursery), nursery)


async def test_an_upstream_out_of_reach_is_asked_once_in_a_window(registry: Registry, nursery: trio.Nursery) -> None:
    assert is_stale(registry, APP, TAG, window=WINDOW)
    pull_through = out_of_reach(registry, nursery)
    assert await pull_through.refresh(registry, ALICE, APP, TAG, digest_of(MANIFEST)) is None
    assert not is_stale(registry, APP, TAG, window=WINDOW)


async def test_a_disk_that_failed_keeps_nobody_from_pulling(registry: Registry, nursery: trio.Nursery) -> None:
    registry.store.writer.broken = True
    pull_through = out_of_reach(registry, nursery)
    assert await pull_through.refresh(registry, ALICE, APP, TAG, digest_of(MANIFEST)) is None
    assert is_stale(registry, APP, TAG, window=WINDOW)  # It could not be noted.


async def test_what_is_not_here_needs_the_upstream(registry: Registry, nursery: trio.Nursery) -> None:
    pull_through = out_of_reach(registry, nursery)
    with pytest.raises(NoSource):
        await pull_through.manifest(registry, ALICE, APP, TagName("other"))
