"""What refers to a manifest: signatures, attestations, bills of materials."""

from collections.abc import Set as AbstractSet

import trio

from node.registry.images import read_large
from node.registry.registry import Registry
from node.registry.storage import storage_of
from node.store.blobs import INLINE_SIZE, Chunked
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
    for at, (one, media_type, artifact_type) in enumerate(rows):
        if at == limit or size > _MAX_SIZE // 2:
            return found, rows[at - 1][0] if at else None
        if artifact_types and artifact_type not in artifact_types:
            continue
        data = await _content(registry, one)
        if data is None:
            continue  # It was deleted a moment ago.
        if len(data) > INLINE_SIZE:
            manifest = await trio.to_thread.run_sync(read_manifest, data, media_type)
        else:
            await trio.lowlevel.checkpoint()  # A page of small ones takes a tenth of a second.
            manifest = read_manifest(data, media_type)
        found.append(referrer_descriptor(manifest, one, len(data)))
        size += sum(len(key) + len(value) for key, value in (found[-1].annotations or {}).items()) + 512
    return found, None


def _page(
    registry: Registry, name: RepositoryName, subject: Digest, after: bytes, limit: int
) -> list[tuple[Digest, str, str | None]]:
    meta = registry.store.meta
    rows: list[tuple[Digest, str, str | None]] = []
    with meta.read() as txn:
        repository = meta.repositories.get(txn, name)
        if repository is None:
            return []
        number = repository.number
        while len(rows) < limit and (page := meta.images.referring(txn, number, subject, after=after, limit=limit)):
            after = packed(page[-1])
            for one in page:
                state = meta.images.get(txn, number, one)
                is_active = storage_of(registry, txn, name, one).status == "ACTIVE"
                if state is not None and state.shown is not None and is_active:
                    rows.append((one, state.shown.value.media_type, state.shown.value.artifact_type))
    return rows[:limit]


async def _content(registry: Registry, one: Digest) -> bytes | None:
    blobs = registry.store.meta.blobs
    with registry.store.meta.read() as txn:
        row = blobs.get(txn, one)
        if row is None:
            return None
        if not row.number:
            return blobs.content(txn, one)
        content = Chunked(row, blobs.hashes(txn, row))
    return await read_large(registry, content)


def _short(after: str) -> bytes:
    try:
        return packed(digest(after)) if after else b""
    except DigestInvalid:
        raise DigestInvalid(f"last has to be a digest that an earlier page ended with, not {after[:80]!r}") from None
