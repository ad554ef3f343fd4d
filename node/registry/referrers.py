"""What refers to a manifest: signatures, attestations, bills of materials."""

from collections.abc import Set as AbstractSet

import trio

from node.registry.images import read_large
from node.registry.registry import Registry
from node.store.blobs import BlobRow
from protocol.auth.caller import Caller
from protocol.errors import DigestInvalid
from protocol.oci.digest import Digest, digest, packed
from protocol.oci.manifest import Descriptor, read_manifest, referrer_descriptor
from protocol.oci.names import RepositoryName

_MAX_SIZE = 4 * 2**20  # Bytes of one answer: clients refuse larger ones.


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
    rows = _page(registry, name, subject, _short(after), limit + 1)
    found: list[Descriptor] = []
    size = 0
    for at, (one, media_type, artifact_type, blob) in enumerate(rows):
        if at == limit or size > _MAX_SIZE // 2:
            return found, rows[at - 1][0] if at else None
        if artifact_types and artifact_type not in artifact_types:
            continue
        data = await _content(registry, one, blob)
        if blob.number:
            manifest = await trio.to_thread.run_sync(read_manifest, data, media_type)
        else:
            await trio.lowlevel.checkpoint()  # A page of small ones takes a tenth of a second.
            manifest = read_manifest(data, media_type)
        found.append(referrer_descriptor(manifest, one, len(data)))
        size += sum(len(key) + len(value) for key, value in (found[-1].annotations or {}).items()) + 512
    return found, None


def _page(
    registry: Registry, name: RepositoryName, subject: Digest, after: bytes, limit: int
) -> list[tuple[Digest, str, str | None, BlobRow]]:
    meta = registry.store.meta
    rows: list[tuple[Digest, str, str | None, BlobRow]] = []
    with meta.read() as txn:
        repository = meta.repositories.get(txn, name)
        if repository is None:
            return []
        for one in meta.images.referring(txn, repository.number, subject, after=after, limit=limit):
            state = meta.images.get(txn, repository.number, one)
            blob = meta.blobs.get(txn, one)
            if state is not None and state.shown is not None and blob is not None:
                rows.append((one, state.shown.value.media_type, state.shown.value.artifact_type, blob))
    return rows


async def _content(registry: Registry, one: Digest, blob: BlobRow) -> bytes:
    if blob.number:
        return await read_large(registry, blob)
    with registry.store.meta.read() as txn:
        return registry.store.meta.blobs.content(txn, one)


def _short(after: str) -> bytes:
    try:
        return packed(digest(after)) if after else b""
    except DigestInvalid:
        raise DigestInvalid(f"last has to be a digest that an earlier page ended with, not {after[:80]!r}") from None
