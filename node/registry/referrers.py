"""What refers to a manifest: signatures, attestations, bills of materials."""

from collections.abc import Set as AbstractSet

import msgspec
import trio

from node.registry.content import opened_content
from node.registry.manifests import read_large
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.sealing import chunked, data_key
from node.registry.storage import Status, storage_of
from node.store.blobs import INLINE_SIZE
from protocol.auth.caller import Caller
from protocol.errors import DigestInvalid
from protocol.oci.digest import Digest, digest, packed
from protocol.oci.manifest import Descriptor, read_manifest, referrer_descriptor
from protocol.oci.names import RepositoryName

_MAX_SIZE = 4 * 2**20  # Bytes of one answer: clients refuse larger ones.


class Referrer(msgspec.Struct, frozen=True):
    """What refers to a manifest, and where it is."""

    descriptor: Descriptor
    status: Status


class _Wanted(msgspec.Struct, frozen=True):
    subject: Digest
    artifact_types: AbstractSet[str]
    status: str  # ``Status``, or ``ANY``.


class _Row(msgspec.Struct, frozen=True):
    digest: Digest
    media_type: str
    artifact_type: str | None
    status: Status


async def list_referrers(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    subject: Digest,
    *,
    artifact_types: AbstractSet[str],
    after: str,
    limit: int,
) -> tuple[list[Descriptor], Digest | None]:
    """Return descriptors of what refers to *subject*, which need not be here, and where the next page begins.

    Args:
        registry: to ask.
        caller: who asks.
        name: of the repository; one that does not exist has no referrers.
        subject: what is referred to.
        artifact_types: only these; all if empty.
        after: a digest that an earlier page ended with, or empty.
        limit: most descriptors of the page; what it looks at is bounded as well.

    Returns:
        The page, and the digest to go on *after*; ``None`` at the end.

    Raises:
        Denied: without ``ecr:BatchGetImage``.
    """
    registry.authorize(caller, "ecr:BatchGetImage", name)
    wanted = _Wanted(subject, artifact_types, "ACTIVE")
    found, last = await _listed(registry, name, wanted, after=after, limit=limit)
    return [one.descriptor for one in found], last


async def list_referrers_of(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    subject: Digest,
    *,
    artifact_types: AbstractSet[str],
    status: str,
    after: str,
    limit: int,
) -> tuple[list[Referrer], Digest | None]:
    """Return referrers as ``list_referrers`` does, of a repository that has to exist, and with this *status*.

    Raises:
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr:BatchGetImage", name)
    with registry.store.meta.read() as txn:
        repository(registry, txn, name)
    return await _listed(registry, name, _Wanted(subject, artifact_types, status), after=after, limit=limit)


async def _listed(
    registry: Registry, name: RepositoryName, wanted: _Wanted, *, after: str, limit: int
) -> tuple[list[Referrer], Digest | None]:
    rows = _page(registry, name, wanted, _short(after), limit + 1)
    found: list[Referrer] = []
    size = 0
    for at, row in enumerate(rows):
        if at == limit or size > _MAX_SIZE // 2:
            return found, rows[at - 1].digest if at else None
        if wanted.artifact_types and row.artifact_type not in wanted.artifact_types:
            continue
        data = await _content(registry, name, row.digest)
        if data is None:
            continue  # It was deleted a moment ago.
        if len(data) > INLINE_SIZE:
            manifest = await trio.to_thread.run_sync(read_manifest, data, row.media_type)
        else:
            await trio.lowlevel.checkpoint()  # A page of small ones takes a tenth of a second.
            manifest = read_manifest(data, row.media_type)
        descriptor = referrer_descriptor(manifest, row.digest, len(data))
        found.append(Referrer(descriptor, row.status))
        size += sum(len(key) + len(value) for key, value in (descriptor.annotations or {}).items()) + 512
    return found, None


def _page(registry: Registry, name: RepositoryName, wanted: _Wanted, after: bytes, limit: int) -> list[_Row]:
    meta, subject = registry.store.meta, wanted.subject
    rows: list[_Row] = []
    with meta.read() as txn:
        row = meta.repositories.get(txn, name)
        if row is None:
            return []
        number = row.number
        while len(rows) < limit and (page := meta.images.referring(txn, number, subject, after=after, limit=limit)):
            after = packed(page[-1])
            for one in page:
                state = meta.images.get(txn, number, one)
                status = storage_of(registry, txn, name, one).status
                if state is not None and state.shown is not None and wanted.status in {"ANY", status}:
                    value = state.shown.value
                    rows.append(_Row(one, value.media_type, value.artifact_type, status))
    return rows[:limit]


async def _content(registry: Registry, name: RepositoryName, one: Digest) -> bytes | None:
    blobs = registry.store.meta.blobs
    with registry.store.meta.read() as txn:
        repository = registry.store.meta.repositories.get(txn, name)
        if repository is None:
            return None
        copy = blobs.copy(txn, repository.number, one)
        row = blobs.get(txn, copy)
        if row is None:
            return None
        key = data_key(registry, txn, repository.number, copy, row)
        if not row.number:
            return opened_content(key, row.size, blobs.content(txn, copy))
        content = chunked(registry, txn, row, key)
    return await read_large(registry, content)


def _short(after: str) -> bytes:
    try:
        return packed(digest(after)) if after else b""
    except DigestInvalid:
        raise DigestInvalid(f"last has to be a digest that an earlier page ended with, not {after[:80]!r}") from None
