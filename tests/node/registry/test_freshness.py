"""A tag that was pulled through is compared with its upstream once in a window, and never again once it is hosted."""

import msgspec

from node.registry.freshness import is_stale, put_checked
from node.registry.images import prepare_manifest, put_manifest
from node.registry.receiving import keep_manifest
from node.registry.registry import Registry
from protocol.events.event import Arrival
from protocol.oci.mediatype import OCI_INDEX
from tests.node.registry.world import ALICE, APP, TAG, World

WINDOW = 60
EMPTY_INDEX = msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})


async def pull_through(registry: Registry) -> None:
    prepared = await prepare_manifest(EMPTY_INDEX, OCI_INDEX, None, reading=registry.incoming.reading)
    await keep_manifest(registry, ALICE, APP, prepared, blobs=(), tag=TAG, arrival=Arrival("pull-through"))


async def test_stale_after_the_window(registry: Registry, world: World) -> None:
    await pull_through(registry)
    world.now += WINDOW - 1
    assert not is_stale(registry, APP, TAG, window=WINDOW)
    world.now += 2
    assert is_stale(registry, APP, TAG, window=WINDOW)


async def test_a_comparison_begins_the_window_anew(registry: Registry, world: World) -> None:
    await pull_through(registry)
    world.now += WINDOW + 1
    await put_checked(registry, APP, TAG)
    assert not is_stale(registry, APP, TAG, window=WINDOW)


async def test_a_push_makes_the_tag_hosted(registry: Registry, world: World) -> None:
    await pull_through(registry)
    world.now += 1
    await put_manifest(registry, ALICE, APP, EMPTY_INDEX, OCI_INDEX, digest=None, tags=[TAG])
    world.now += WINDOW + 1
    assert not is_stale(registry, APP, TAG, window=WINDOW)


async def test_a_pushed_tag_never_was_stale(registry: Registry, world: World) -> None:
    await put_manifest(registry, ALICE, APP, EMPTY_INDEX, OCI_INDEX, digest=None, tags=[TAG])
    world.now += 10 * WINDOW
    assert not is_stale(registry, APP, TAG, window=WINDOW)
