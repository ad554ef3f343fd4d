"""Layers as ECR's API takes them: begun in a repository that is there, in numbered bytes, completed by their digests.

Source: Amazon ECR API reference, ``InitiateLayerUpload``, ``UploadLayerPart``, ``CompleteLayerUpload``; Service quotas.
"""

from collections.abc import Sequence

import trio

from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.uploads import Source, complete, open_session, opened, receive, save
from node.store.ingest import ReceiveInto
from protocol.auth.caller import Caller
from protocol.auth.public import told
from protocol.errors import (
    DigestInvalid,
    EmptyUpload,
    LayerExists,
    LimitExceeded,
    PartTooSmall,
    SizeInvalid,
    UploadRange,
)
from protocol.oci.digest import Digest, digest
from protocol.oci.names import RepositoryName

PART_SIZE = 10 * 2**20
"""Bytes of a part as the API advises; larger ones are taken."""

LEAST_PART = 5 * 2**20
"""Bytes of a part that is not the last."""

MAX_PARTS = 4_200


async def begin_layer(registry: Registry, caller: Caller, name: RepositoryName) -> str:
    """Return the id of a new upload.

    Raises:
        Denied: without ``ecr:InitiateLayerUpload``.
        NameUnknown: there is no such repository.
        Busy: there is no room, or too many uploads are open.
    """
    registry.authorize(caller, "ecr:InitiateLayerUpload", name)
    _require_repository(registry, name)
    return open_session(registry, caller, name, "sha256")


async def put_layer_part(
    registry: Registry, caller: Caller, name: RepositoryName, upload: str, *, first: int, last: int, data: bytes
) -> int:
    """Take the bytes from *first* to *last* of a layer, and return the place of the last that is there, and durable.

    Raises:
        Denied: without ``ecr:UploadLayerPart``.
        NameUnknown, UploadUnknown: there is none that this caller may feed.
        UploadRange: the part does not begin at the end of what is there, or is not as long as it says.
        LimitExceeded: there are as many parts as there may be.
    """
    registry.authorize(caller, "ecr:UploadLayerPart", name)
    _require_repository(registry, name)
    async with opened(registry, caller, name, upload) as session:
        size, parts = session.ingest.size, session.parts
        if parts.count >= MAX_PARTS:
            raise LimitExceeded(f"A layer has at most {MAX_PARTS} parts")
        try:
            _require_next(size, first, last, data)
            await receive(registry, session, upload, Source(_receiver(data), first, len(data)))
        except (UploadRange, SizeInvalid) as refusal:
            refusal.members = _members(registry, name, upload, session.ingest.size)
            raise
        parts.has_small = parts.has_small or (parts.count > 0 and parts.last < LEAST_PART)
        parts.count, parts.last = parts.count + 1, len(data)
        await save(registry, session, upload)
        return session.ingest.size - 1


async def complete_layer(
    registry: Registry, caller: Caller, name: RepositoryName, upload: str, digests: Sequence[str]
) -> Digest:
    """Let the repository see the layer, which has to have one of *digests*; return that.

    Raises:
        Denied: without ``ecr:CompleteLayerUpload``.
        NameUnknown, UploadUnknown: there is none that this caller may complete.
        EmptyUpload: no part came.
        PartTooSmall: a part that was not the last is too small.
        DigestInvalid: it has none of *digests*; the upload is gone.
        LayerExists: the repository has it already; the upload is gone.
    """
    registry.authorize(caller, "ecr:CompleteLayerUpload", name)
    _require_repository(registry, name)
    wanted = _known(digests)
    async with opened(registry, caller, name, upload) as session:
        if not session.ingest.size:
            raise EmptyUpload(
                f"Upload with id '{upload}' in the repository with name '{told(name)}' in the registry with id "
                f"'{registry.name.account}' has no layer parts"
            )
        if session.parts.has_small:
            raise PartTooSmall(f"Layer parts but the last have to be of {LEAST_PART} bytes or more")
        completed = await complete(registry, caller, session, upload, wanted)
    if completed.was_there:
        raise LayerExists(
            f"Layer with digest '{completed.digest}' already exists in the repository with name '{told(name)}' "
            f"in the registry with id '{registry.name.account}'"
        )
    return completed.digest


def _require_repository(registry: Registry, name: RepositoryName) -> None:
    with registry.store.meta.read() as txn:
        repository(registry, txn, name)


def _require_next(size: int, first: int, last: int, data: bytes) -> None:
    if first != size:
        raise UploadRange(f"First byte of the layer part is {first} instead of {size}")
    if not data or last - first + 1 != len(data):
        raise UploadRange(f"The layer part has {len(data)} bytes, and goes from {first} to {last}")


def _members(registry: Registry, name: RepositoryName, upload: str, size: int) -> dict[str, object]:
    """Return what an ``InvalidLayerPartException`` carries: with the last byte that is there a client can go on."""
    return {
        "registryId": registry.name.account,
        "repositoryName": told(name),
        "uploadId": upload,
        "lastValidByteReceived": size - 1,
    }


def _known(digests: Sequence[str]) -> list[Digest]:
    """Return those of *digests* that can be those of content here; any content has none of the others."""
    known: list[Digest] = []
    for one in digests:
        try:
            known.append(digest(one))
        except DigestInvalid:
            continue
    return known


def _receiver(data: bytes) -> ReceiveInto:
    left = memoryview(data)

    async def receive_into(view: memoryview) -> int:
        nonlocal left
        await trio.lowlevel.checkpoint()
        size = min(len(view), len(left))
        view[:size], left = left[:size], left[size:]
        return size

    return receive_into
