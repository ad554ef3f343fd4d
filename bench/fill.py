"""Fill a store with many small images, by the same merges as a push but without its requests, a thousand at once."""

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import trio
from blake3 import blake3

from node.peers.identity import Identity, create_local_identity
from node.registry.commit import commit
from node.registry.keyring import Keyring
from node.registry.registry import Author, Registry, Resource, Settings
from node.registry.repositories import repository_for_push
from node.registry.transit import Transits
from node.registry.vault import Vault
from node.store.blobs import BlobRow
from node.store.keyfiles import KeyFiles
from node.store.store import Store, open_store
from node.store.table import WriteTxn
from node.telemetry.alarms import Alarms
from protocol.auth.caller import Act, Caller, root_of
from protocol.auth.conditions import Keys
from protocol.blobs.chunkmap import ChunkMap
from protocol.oci.digest import Digest, digest_of
from protocol.oci.mediatype import OCI_IMAGE
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.clock import Clock
from protocol.sync.entries import ImageKey, ImagePut, ImageValue, Known, TagKey, TagPut, TagValue
from protocol.sync.vector import Dot

BATCH = 1000  # Images in one transaction.
_EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@dataclass(frozen=True, slots=True)
class Filling:
    """What to put into one repository: as many tags, on as many manifests in turn."""

    repository: str
    manifests: int
    tags: int


def fill(data: Path, fillings: list[Filling]) -> None:
    """Make a node's data directory with these repositories."""
    trio.run(_fill, data, fillings)


async def _fill(data: Path, fillings: list[Filling]) -> None:
    async with opened_registry(data, create_local_identity(data, now=time.time())) as registry:
        for one in fillings:
            for first in range(0, max(one.manifests, one.tags), BATCH):
                numbers = range(first, min(first + BATCH, max(one.manifests, one.tags)))
                await _put(registry, registry.store, one, numbers)


@asynccontextmanager
async def opened_registry(data: Path, identity: Identity) -> AsyncIterator[Registry]:
    """Give the registry in *data*, where no node runs, and where everybody may do everything."""
    async with open_store(data) as store:
        author = Author(identity.name.node, identity.incarnation, identity.sign, Clock())
        yield Registry(
            name=identity.registry,
            store=store,
            author=author,
            vault=Vault(identity.registry_key, secrets.token_bytes),
            keyring=Keyring(KeyFiles(store.path / "keys"), identity.master_keys, secrets.token_bytes),
            policies=_allow,
            settings=Settings(),
            now=time.time,
            random=secrets.token_bytes,
            transits=Transits(store, time.time),
            alarms=Alarms(time.time),
        )


def _allow(_caller: Caller, _action: str, _name: Resource, _keys: Keys) -> None:
    """Nobody but this fills it."""


async def _put(registry: Registry, store: Store, filling: Filling, numbers: range) -> None:
    name = RepositoryName(filling.repository)
    account = registry.name.account
    caller = Caller(root_of(account), account)
    act = Act(caller, "ecr:PutImage", name)

    def run(txn: WriteTxn) -> None:
        row = repository_for_push(registry, txn, caller, name)
        images = [_manifest(name, number % filling.manifests) for number in numbers]
        for digest, data in images:
            chunk_map = ChunkMap(len(data), (blake3(data).digest(),))
            store.meta.blobs.add(txn, digest, BlobRow(len(data), 0, chunk_map.root, 0), data, b"")

        def entries(dot: Dot, hlc: int) -> list[Known]:
            return list(_entries(filling, name, row.state.life, list(zip(numbers, images, strict=True)), dot, hlc))

        commit(registry, txn, act, entries)

    await store.writer.write(run)


def _entries(
    filling: Filling,
    name: RepositoryName,
    life: int,
    images: list[tuple[int, tuple[Digest, bytes]]],
    dot: Dot,
    hlc: int,
) -> Iterator[Known]:
    for number, (digest, data) in images:
        root = ChunkMap(len(data), (blake3(data).digest(),)).root
        if number < filling.manifests:
            value = ImageValue(int(time.time() * 1000), OCI_IMAGE, len(data), root)
            yield ImagePut(ImageKey(name, life, digest), value)
        if number < filling.tags:
            tag = TagValue(digest, hlc, dot.node, frozen=False, generation=0, by="bench")
            yield TagPut(TagKey(name, life, TagName(f"v{number:07}")), tag)


def _manifest(name: str, number: int) -> tuple[Digest, bytes]:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": _EMPTY, "size": 2},
        "layers": [],
        "annotations": {"number": f"{name} {number}"},
    }
    data = msgspec.json.encode(document)
    return digest_of(data), data
