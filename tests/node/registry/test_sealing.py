"""What lies in an encrypted repository lies sealed, whatever way it came, and is read again by those who may."""

import os
from pathlib import Path

import pytest
import trio

from node.registry.blobs import find_blob
from node.registry.check.store import check_store
from node.registry.check.walk import Own
from node.registry.collection import collect_now
from node.registry.keyring import repository_key_name
from node.registry.manifests import open_manifest
from node.registry.mounts import mount_blob
from node.registry.orphans import delete_abandoned
from node.registry.receiving import into_repository, show_blob
from node.registry.registry import Registry
from node.registry.repositories import delete_repository
from node.registry.sealing import encryption_settings, key_finder
from node.registry.settings import create_repository, settings_of
from node.registry.uploads import append_upload, begin_upload, finish_upload, upload_progress
from node.store.copies import domain_of_copy
from node.store.store import StoppedStore
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import BlobUnknown, Damaged, KeyUnusable, NameUnknown, ParameterInvalid, UploadUnknown
from protocol.oci.digest import digest_of
from protocol.oci.names import RepositoryName
from tests.node.registry.world import (
    ALICE,
    APP,
    HERE,
    OTHER,
    TAG,
    World,
    content,
    fetchable,
    image,
    manifest_bytes,
    opened,
    push_blob,
    push_image,
    put,
    receiver,
    source,
    verify,
)

CANARY = b"CANARY-8f14e45f"
SMALL = CANARY * 100
LARGE = CANARY * (3 * CHUNK_SIZE // len(CANARY)) + b"end"
KINDS = [encryption_settings("AES256", None), encryption_settings("KMS", None), encryption_settings("KMS_DSSE", None)]
SEALED = KINDS[0]
PLAIN, SECOND = RepositoryName("plain"), RepositoryName("second")


def found(registry: Registry, text: bytes = CANARY) -> list[str]:
    """The files of the store that hold *text*, also in pages that are free by now."""
    files = [path for path in registry.store.path.rglob("*") if path.is_file()]
    return [path.name for path in files if text in path.read_bytes()]


def faults(registry: Registry) -> list[str]:
    own = Own(str(HERE), registry.author.node, verify, key_finder(registry.store.meta, registry.keyring))
    store = StoppedStore(registry.store.meta, registry.store.chunks)
    checked = check_store(store, own, deep=True, progress=lambda _table, _rows: None)
    return [f"{one.kind} {one.place} {one.what}" for one in checked.findings if one.severity == "error"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda one: str(one["encryption"]))
async def test_what_is_pushed_lies_sealed_and_is_pulled_as_it_was(registry: Registry, kind: dict[str, str]) -> None:
    await create_repository(registry, ALICE, APP, kind)
    manifest = image(b"{}", SMALL, LARGE, annotations={"note": CANARY.decode() * 2000})
    digest = await push_image(registry, b"{}", SMALL, LARGE, tags=(TAG,))
    await put(registry, manifest, "large")
    for data in (SMALL, LARGE):
        assert await content(registry, APP, digest_of(data)) == data
        assert await content(registry, APP, digest_of(data)) == data, "and from the page cache"
    assert await manifest_bytes(registry, digest) == image(b"{}", SMALL, LARGE)
    assert await manifest_bytes(registry, digest_of(manifest)) == manifest
    assert found(registry) == []
    assert faults(registry) == []


async def test_a_plain_repository_would_have_been_found_out(registry: Registry) -> None:
    await push_image(registry, b"{}", SMALL, LARGE, tags=(TAG,))
    assert found(registry)


async def test_what_is_plain_elsewhere_is_stored_again_and_not_mounted(registry: Registry) -> None:
    await create_repository(registry, ALICE, APP, SEALED)
    await push_blob(registry, LARGE, PLAIN)
    assert not await mount_blob(registry, ALICE, APP, digest_of(LARGE), PLAIN)
    assert not await mount_blob(registry, ALICE, APP, digest_of(LARGE), None)
    with pytest.raises(BlobUnknown):
        await content(registry, APP, digest_of(LARGE))
    await push_blob(registry, LARGE, APP)
    with registry.store.meta.read() as txn:
        assert registry.store.meta.blobs.rows.bytes.count(txn) == 2
    assert not await mount_blob(registry, ALICE, PLAIN, digest_of(LARGE), APP)
    for name in (APP, PLAIN):
        assert await content(registry, name, digest_of(LARGE)) == LARGE
    assert faults(registry) == []


async def test_what_two_sealed_repositories_see_is_stored_once(registry: Registry) -> None:
    for name in (APP, OTHER, SECOND):
        await create_repository(registry, ALICE, name, SEALED)
    await push_blob(registry, LARGE, APP)
    await push_blob(registry, LARGE, OTHER)
    assert await mount_blob(registry, ALICE, SECOND, digest_of(LARGE), APP)
    with registry.store.meta.read() as txn:
        assert registry.store.meta.blobs.rows.bytes.count(txn) == 1
        assert registry.store.meta.blobs.wrapped.count(txn) == 3
    for name in (APP, OTHER, SECOND):
        assert await content(registry, name, digest_of(LARGE)) == LARGE
    await delete_repository(registry, ALICE, APP, force=True)
    assert await content(registry, SECOND, digest_of(LARGE)) == LARGE
    assert faults(registry) == []


async def test_kinds_and_keys_are_domains_of_their_own(registry: Registry) -> None:
    for name, kind in zip((APP, OTHER, SECOND), KINDS, strict=True):
        await create_repository(registry, ALICE, name, kind)
        await push_blob(registry, LARGE, name)
    assert not await mount_blob(registry, ALICE, OTHER, digest_of(LARGE), APP)
    with registry.store.meta.read() as txn:
        assert registry.store.meta.blobs.rows.bytes.count(txn) == 3


async def test_a_deleted_repository_takes_its_key_with_it(registry: Registry, world: World) -> None:
    row = await create_repository(registry, ALICE, APP, SEALED)
    await push_image(registry, b"{}", SMALL, LARGE, tags=(TAG,))
    with registry.store.meta.read() as txn:
        domain = registry.store.meta.blobs.domains.get(txn, row.number.to_bytes(8, "big"))
    assert domain is not None
    [wrapped] = [registry.keyring.files.get(name) for name in registry.keyring.files.names()]
    assert wrapped is not None
    assert found(registry, wrapped.wrapped) == [repository_key_name(domain.key)]
    secret = registry.keyring.key(repository_key_name(domain.key))
    await delete_repository(registry, ALICE, APP, force=True)
    assert registry.keyring.files.names() == []
    assert found(registry, wrapped.wrapped) == found(registry, secret) == []
    with pytest.raises(Damaged):
        registry.keyring.key(repository_key_name(domain.key))
    await create_repository(registry, ALICE, APP, SEALED)
    with pytest.raises(BlobUnknown):
        await content(registry, APP, digest_of(LARGE))
    await push_image(registry, b"{}", SMALL, LARGE, tags=(TAG,))
    assert await content(registry, APP, digest_of(LARGE)) == LARGE, "what nobody can open is replaced"
    assert await manifest_bytes(registry, TAG) == image(b"{}", SMALL, LARGE)
    assert not (await collect_now(registry, ALICE, grace=0)).more
    await delete_abandoned(registry)
    assert faults(registry) == []
    await delete_repository(registry, ALICE, APP, force=True)
    world.now += 3 * 86_400
    await collect_now(registry, ALICE, grace=0)
    with registry.store.meta.read() as txn:
        blobs = registry.store.meta.blobs
        assert [blobs.rows.bytes.count(txn), blobs.wrapped.count(txn), blobs.domains.bytes.count(txn)] == [0, 0, 0]


@pytest.mark.parametrize("size", [len(SMALL), CHUNK_SIZE // 2, 2 * CHUNK_SIZE + 5])
async def test_an_upload_survives_a_restart_sealed(tmp_path: Path, world: World, size: int) -> None:
    data = LARGE[:size]
    async with opened(tmp_path / "data", world) as registry:
        await create_repository(registry, ALICE, APP, SEALED)
        upload = await begin_upload(registry, ALICE, APP, "sha256")
        for part in (data[:100], data[100 : size // 3], data[size // 3 : size // 2]):
            await append_upload(registry, ALICE, APP, upload, source(part))
        assert found(registry) == []
    async with opened(tmp_path / "data", world) as registry:
        assert await upload_progress(registry, ALICE, APP, upload) == size // 2
        await append_upload(registry, ALICE, APP, upload, source(data[size // 2 : size - 9]))
        assert faults(registry) == []
    async with opened(tmp_path / "data", world) as registry:
        await finish_upload(registry, ALICE, APP, upload, digest_of(data), source(data[-9:]))
        assert await content(registry, APP, digest_of(data)) == data
        assert found(registry) == []
    async with opened(tmp_path / "data", world) as registry:
        assert await content(registry, APP, digest_of(data)) == data
        assert faults(registry) == []


async def test_an_upload_ends_with_the_repository_that_it_was_for(registry: Registry) -> None:
    await create_repository(registry, ALICE, APP, SEALED)
    upload = await begin_upload(registry, ALICE, APP, "sha256")
    await append_upload(registry, ALICE, APP, upload, source(LARGE[:100_000]))
    await delete_repository(registry, ALICE, APP, force=True)
    with pytest.raises(UploadUnknown):
        await finish_upload(registry, ALICE, APP, upload, digest_of(LARGE), source(LARGE[100_000:]))


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (5, 30), (CHUNK_SIZE - 3, 6), (262_143, 3), (2 * CHUNK_SIZE, 900_000)]
)
async def test_a_range_is_opened_by_itself(registry: Registry, start: int, length: int) -> None:
    await create_repository(registry, ALICE, APP, SEALED)
    data = os.urandom(3 * CHUNK_SIZE)
    await push_blob(registry, data)
    blob = find_blob(registry, APP, digest_of(data))
    assert blob is not None
    for _ in range(2):
        registry.store.verified.forget(1)
        got = b"".join([one async for one in blob.read(start, length) if isinstance(one, bytes)])
        assert got == data[start : start + length]
    blob.release()


async def test_a_key_that_is_not_there_makes_no_repository(registry: Registry) -> None:
    with pytest.raises(KeyUnusable) as refusal:
        await create_repository(registry, ALICE, APP, encryption_settings("KMS", "alias/mine"))
    assert refusal.value.members == {"kmsError": "NotFoundException"}
    with pytest.raises(ParameterInvalid):
        encryption_settings("AES256", "alias/mine")
    with pytest.raises(NameUnknown):
        await open_manifest(registry, ALICE, APP, TAG)


async def test_by_default_a_repository_is_sealed_where_the_operator_says_so(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path / "data", world, encrypt_by_default=True) as registry:
        await push_image(registry, b"{}", SMALL, LARGE, tags=(TAG,))
        row = await create_repository(registry, ALICE, OTHER, {})
        assert settings_of(row)["encryption"] == "AES256"
        await push_image(registry, b"{}", LARGE, tags=(TAG,), name=OTHER)
        assert found(registry) == []
        assert await content(registry, APP, digest_of(LARGE)) == LARGE


async def test_a_chunk_that_was_changed_is_never_served(registry: Registry) -> None:
    await create_repository(registry, ALICE, APP, SEALED)
    await push_blob(registry, LARGE)
    await push_blob(registry, SMALL)
    store = registry.store
    with store.meta.read() as txn:
        copy = store.meta.blobs.copy(txn, 1, digest_of(LARGE))
        row = store.meta.blobs.get(txn, copy)
    assert row is not None
    assert domain_of_copy(copy)
    kept = store.chunks.load(row.number, 1, CHUNK_SIZE)
    other = store.chunks.load(row.number, 0, CHUNK_SIZE)
    for wrong in (bytes([kept[0] ^ 1]) + kept[1:], other, bytes(CHUNK_SIZE)):
        store.chunks.rewrite(row.number, 1, wrong)
        store.verified.forget(row.number)
        with pytest.raises(Damaged):
            await content(registry, APP, digest_of(LARGE))
        assert faults(registry)
    await push_blob(registry, LARGE)
    await delete_abandoned(registry)
    assert await content(registry, APP, digest_of(LARGE)) == LARGE, "a push replaces it"
    assert faults(registry) == []


@pytest.mark.parametrize("size", [len(SMALL), 3 * CHUNK_SIZE + 5])
async def test_what_another_node_sends_is_sealed_as_it_comes_and_read_meanwhile(registry: Registry, size: int) -> None:
    await create_repository(registry, ALICE, APP, SEALED)
    data = LARGE[:size]
    blob, chunk_map = fetchable(data)
    transit = registry.transits.begin(blob, chunk_map, into_repository(registry, APP))
    reading, came = transit.open(), bytearray()

    async def read() -> None:
        async for piece in reading.read(0, reading.size):
            assert isinstance(piece, bytes)
            came.extend(piece)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await transit.fill(receiver(data))
        await transit.complete()
    reading.release()
    assert bytes(came) == data
    await show_blob(registry, APP, blob.digest)
    assert await content(registry, APP, blob.digest) == data
    assert found(registry) == []
    assert faults(registry) == []
