"""Each version opens the store that an earlier one left, brings it to its own format, and finds all of it.

``fixtures/format-N.tar.xz`` was written by ``write_fixture`` of a version that had format N, and is never written anew.
A change of what is on disk that this test does not bear needs an upgrade (``node.store.format``), and then a fixture of
the version before it joins the others.
"""

import io
import tarfile
from pathlib import Path

import pytest

from node.registry.check.store import check_store
from node.registry.check.walk import Own
from node.registry.deletes import delete_image
from node.registry.registry import Registry
from node.registry.tags import list_tags
from node.store.format import FORMAT
from node.store.store import StoppedStore
from protocol.oci.digest import digest_of
from protocol.oci.names import TagName
from tests.node.registry.world import (
    ALICE,
    APP,
    HERE,
    TAG,
    World,
    content,
    image,
    index,
    manifest_bytes,
    opened,
    push_blob,
    push_image,
    put,
    verify,
)

FIXTURES = Path(__file__).parent / "fixtures"
LARGE = b"a layer that compresses well. " * 40_000  # Two chunks.
SMALL = b"a small layer"
IMAGE = image(b"{}", SMALL, LARGE)


async def write_fixture(path: Path, data: Path, world: World) -> None:
    """Write a fixture of this version, out of a store that is made in *data*."""
    async with opened(data, world) as registry:
        await push_image(registry, b"{}", SMALL, LARGE, tags=(TAG, "moved"))
        await push_image(registry, b"{}", b"another", tags=("moved",))
        await put(registry, index(IMAGE), "multi")
        await delete_image(registry, ALICE, APP, await push_image(registry, b"{}", b"third", tags=("third",)))
        await push_blob(registry, b"named by nobody")
    with tarfile.open(path, "w:xz") as archive:
        for name in ("FORMAT", "meta/data.mdb", "chunks/data.mdb"):
            entry = tarfile.TarInfo(name)
            entry.size = (data / name).stat().st_size
            archive.addfile(entry, io.BytesIO((data / name).read_bytes()))


@pytest.mark.parametrize("fixture", sorted(FIXTURES.glob("*.tar.xz")), ids=lambda path: path.name)
async def test_a_store_of_an_earlier_version_is_opened(fixture: Path, tmp_path: Path, world: World) -> None:
    data = tmp_path / "data"
    with tarfile.open(fixture) as archive:
        archive.extractall(data, filter="data")
    async with opened(data, world) as registry:
        assert (data / "FORMAT").read_text() == FORMAT
        await expect(registry)
        await push_image(registry, b"{}", b"new", tags=("new",))
        own = Own(str(HERE), registry.author.node, verify)
        store = StoppedStore(registry.store.meta, registry.store.chunks)
        assert check_store(store, own, deep=True, progress=lambda _table, _rows: None).findings == []


async def expect(registry: Registry) -> None:
    assert list_tags(registry, ALICE, APP, after="", limit=100) == [TAG, "moved", "multi"]
    assert await manifest_bytes(registry, TAG) == IMAGE
    assert await manifest_bytes(registry, TagName("multi")) == index(IMAGE)
    assert await manifest_bytes(registry, TagName("moved")) == image(b"{}", b"another")
    for data in (SMALL, LARGE, b"named by nobody"):
        assert await content(registry, APP, digest_of(data)) == data


async def test_a_fixture_of_this_version_would_be_one(tmp_path: Path, world: World) -> None:
    await write_fixture(tmp_path / "fixture.tar.xz", tmp_path / "data", world)
    assert (tmp_path / "fixture.tar.xz").stat().st_size < 100_000
    assert sorted(FIXTURES.glob("*.tar.xz")), "there is one"
