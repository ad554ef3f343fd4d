"""A real registry on a real store, whose wall clock, policies and upload ids are the test's."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec
import trio
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.registry.blobs import open_blob
from node.registry.commit import stored_clock
from node.registry.images import Put, put_manifest
from node.registry.keyring import Keyring
from node.registry.manifests import OpenManifest, open_manifest
from node.registry.registry import Author, Registry, Resource, Settings
from node.registry.transit import Transits
from node.registry.uploads import Source, begin_upload, finish_upload
from node.registry.vault import Vault
from node.store.keyfiles import KeyFiles
from node.store.store import Store, open_store
from node.telemetry.alarms import Alarms
from protocol.auth.caller import Caller
from protocol.auth.conditions import Keys
from protocol.auth.names import Account, Region, RegistryName
from protocol.blobs.chunkmap import CHUNK_SIZE, ChunkMap
from protocol.errors import Denied
from protocol.oci.digest import Digest, digest_of
from protocol.oci.mediatype import OCI_IMAGE, OCI_INDEX
from protocol.oci.names import RepositoryName, TagName
from protocol.oci.reference import Reference
from protocol.sync.entries import Blob
from protocol.sync.record import Record

ACCOUNT = Account("111111111111")
HERE = RegistryName(ACCOUNT, Region("eu-west-1"))
ALICE = Caller("arn:aws:iam::111111111111:user/alice", ACCOUNT)
EVE = Caller("arn:aws:iam::111111111111:user/eve", ACCOUNT)  # Whom nobody allows anything.
APP, OTHER = RepositoryName("team/app"), RepositoryName("other")
TAG = TagName("1.27")
DAY = 86_400.0
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
INCARNATION = bytes(15) + b"\1"


@dataclass
class World:
    """What a registry knows of the world outside, and what it asked of it."""

    now: float = 1_800_000_000.0
    asked: list[tuple[str, str, Resource]] = field(default_factory=list)
    allowed: set[Caller] = field(default_factory=lambda: {ALICE})
    denied: set[tuple[str, RepositoryName | None]] = field(default_factory=set)
    """(action, repository) that nobody may."""

    def authorize(self, caller: Caller, action: str, name: Resource, _keys: Keys) -> None:
        self.asked.append((caller.arn, action, name))
        if caller not in self.allowed or (action, name) in self.denied:
            raise Denied(f"{action} on {name}")


def verify(record: Record, message: bytes, signature: bytes) -> bool:
    try:
        KEY.public_key().verify(signature, message)
    except InvalidSignature:
        return False
    return record.node == "abcdefghijklmnop"


@asynccontextmanager
async def opened(path: Path, world: World, *, map_size: int = 2**26, **settings: object) -> AsyncIterator[Registry]:
    """Open a registry in the directory *path*, which may have been one before."""
    await trio.Path(path).mkdir(exist_ok=True)
    async with open_store(path, map_size=map_size, reserve=0) as store:
        yield registry_on(store, world, msgspec.convert(settings, Settings))


def registry_on(store: Store, world: World, settings: Settings) -> Registry:
    with store.meta.read() as txn:
        clock = stored_clock(lambda name: store.meta.documents.number(txn, name))
    return Registry(
        name=HERE,
        store=store,
        author=Author("abcdefghijklmnop", INCARNATION, KEY.sign, clock),
        vault=Vault(bytes(32), os.urandom),
        keyring=Keyring(KeyFiles(store.path / "keys"), [bytes(32)], os.urandom),
        policies=world.authorize,
        settings=settings,
        now=lambda: world.now,
        random=Random(world.now).randbytes,
        transits=Transits(store, lambda: world.now),
        alarms=Alarms(lambda: world.now),
    )


def source(data: bytes = b"", start: int | None = None, *, length: int | None = None, gone: bool = False) -> Source:
    """The body of a request: *data*, and then its end, or a client that is *gone*."""
    return Source(receiver(data, gone=gone), start, length)


def receiver(data: bytes, *, gone: bool = False) -> Callable[[memoryview], Awaitable[int]]:
    left = memoryview(data)

    async def receive_into(view: memoryview) -> int:
        nonlocal left
        await trio.lowlevel.checkpoint()
        size = min(len(view), len(left))
        view[:size], left = left[:size], left[size:]
        if size < len(view) and gone:
            raise trio.BrokenResourceError
        return size

    return receive_into


def fetchable(data: bytes) -> tuple[Blob, ChunkMap]:
    """What another node says of a blob: its entry, and its chunk map."""
    parts = [data[at : at + CHUNK_SIZE] for at in range(0, len(data), CHUNK_SIZE)]
    chunk_map = ChunkMap(len(data), tuple(blake3(part).digest() for part in parts))
    return Blob(digest_of(data), len(data), chunk_map.root), chunk_map


async def push_blob(registry: Registry, data: bytes, name: RepositoryName = APP) -> Digest:
    digest = digest_of(data)
    upload = await begin_upload(registry, ALICE, name, "sha256")
    await finish_upload(registry, ALICE, name, upload, digest, source(data))
    return digest


def descriptor(digest: Digest, size: int, media_type: str = "application/octet-stream") -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def image(*blobs: bytes, **more: object) -> bytes:
    """The manifest of an image of these blobs, the first of which is its config."""
    config, *layers = [descriptor(digest_of(one), len(one)) for one in blobs or (b"{}",)]
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": layers, **more})


def index(*manifests: bytes, **more: object) -> bytes:
    """An index of these manifests."""
    children = [descriptor(digest_of(one), len(one), OCI_IMAGE) for one in manifests]
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children, **more})


async def put(
    registry: Registry, manifest: bytes, *tags: str, name: RepositoryName = APP, digest: Digest | None = None
) -> Put:
    return await put_manifest(registry, ALICE, name, manifest, None, digest=digest, tags=[TagName(tag) for tag in tags])


async def push_image(
    registry: Registry, *blobs: bytes, tags: tuple[str, ...] = (), name: RepositoryName = APP
) -> Digest:
    """Push the blobs, then the image of them."""
    for one in blobs:
        await push_blob(registry, one, name)
    return (await put(registry, image(*blobs), *tags, name=name)).digest


async def content(registry: Registry, name: RepositoryName, digest: Digest) -> bytes:
    """All bytes of a blob, as a client gets them."""
    blob = await open_blob(registry, ALICE, name, digest)
    try:
        return b"".join(
            [
                one if isinstance(one, bytes) else os.pread(blob.fd, one.length, one.offset)
                async for one in blob.read(0, blob.size)
            ]
        )
    finally:
        blob.release()


async def manifest_bytes(registry: Registry, reference: Reference) -> bytes:
    """Return a manifest of APP, also one that is only opened."""
    stored = await open_manifest(registry, ALICE, APP, reference)
    if not isinstance(stored, OpenManifest):
        return stored.data
    blob = stored.blob
    try:
        parts = [part async for part in blob.read(0, blob.size)]
        return b"".join(one if isinstance(one, bytes) else os.pread(blob.fd, one.length, one.offset) for one in parts)
    finally:
        blob.release()
