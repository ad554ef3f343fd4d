"""Replication at the destination: an image of another registry becomes one of this.

All that the image needs is fetched first; then the image, its children and all its tags become visible in one
transaction. The tags keep the source's clock, so that a later push here is not undone by an older one there. What was
taken from a source is remembered with the source's clock: an announcement that comes again, in any order, changes
nothing and is acknowledged.
"""

from collections.abc import Sequence

import msgspec

from node.registry.commit import commit_arrived
from node.registry.draft import Draft, free_tag_puts, image_put, tag_place
from node.registry.freshness import note_checked
from node.registry.images import PreparedManifest, add_content, describe, written
from node.registry.registry import Registry
from node.registry.repositories import begin_arrival, find_repository, replicated_repository
from node.registry.sealing import SealedFor, grant, new_data_key
from node.registry.storage import restored
from node.registry.transit import Into
from node.store.rows import RepositoryRow
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.errors import NoSource
from protocol.events.event import Arrival
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import Blob, Known, TagKey, TagPut
from protocol.sync.tags import TagState, next_tag_value
from protocol.sync.vector import Dot
from protocol.wire.transfer import Announcement, TagSent


def is_taken(registry: Registry, announcement: Announcement) -> bool:
    """Whether all that is announced was done before."""
    replicas, source, name = registry.store.meta.replicas, announcement.source, announcement.repository
    with registry.store.meta.read() as txn:
        return replicas.taken(txn, source, name, announcement.digest) >= announcement.hlc and all(
            replicas.taken(txn, source, name, one.tag) >= one.hlc for one in announcement.tags
        )


async def take_image(
    registry: Registry, caller: Caller, announcement: Announcement, manifests: Sequence[PreparedManifest]
) -> None:
    """Let an image that was announced be seen here, with its tags.

    Args:
        registry: to take it into.
        caller: the node that announced it.
        announcement: what it said.
        manifests: the image's own last, those of its children before it, deepest first; their blobs are here.

    Raises:
        Denied: without ``ecr:ReplicateImage``, or ``ecr:CreateRepository`` where the repository is new.
        NoSource: a blob was collected while the others came; all of it has to be fetched again.
    """
    name = announcement.repository
    registry.authorize(caller, "ecr:ReplicateImage", name)
    replicas, source = registry.store.meta.replicas, announcement.source
    act = Act(caller, "ecr:ReplicateImage", name)

    def run(txn: WriteTxn) -> None:
        row = replicated_repository(registry, txn, caller, name, "REPLICATION")
        is_new = replicas.taken(txn, source, name, announcement.digest) < announcement.hlc
        tags = [one for one in announcement.tags if replicas.taken(txn, source, name, one.tag) < one.hlc]
        for prepared in manifests if is_new else ():
            _require_blobs(registry, txn, row, prepared)
            show_blobs(registry, txn, row, prepared)
            add_content(registry, txn, row.number, prepared, contents)

        def entries(dot: Dot, hlc: int) -> list[Known]:
            draft = Draft(registry, txn, name, row, caller.arn, dot, hlc)
            images = [
                image_put(draft, one.digest, describe(registry, txn, row.number, one))
                for one in (manifests if is_new else ())
            ]
            if not images and not registry.store.meta.images.is_alive(txn, row.number, announcement.digest):
                return []  # It was taken before and deleted here since: no tag may point at it.
            back = restored(registry, txn, act, name, row.number, images)
            return [*images, *(put for one in tags for put in _tag_put(draft, announcement, one)), *back]

        commit_arrived(registry, txn, act, Arrival("replication", source), entries)
        replicas.take(txn, source, name, announcement.digest, announcement.hlc)
        for one in tags:
            replicas.take(txn, source, name, one.tag, one.hlc)

    async with written(registry, name, manifests) as contents:
        await registry.store.writer.write(run)
    registry.changes.notify()


def into_repository(registry: Registry, name: RepositoryName) -> Into:
    """Return how what another node sends for a repository is to be kept; plain where there is no such repository yet.

    Raises:
        KeyUnusable: it is encrypted under a KMS key that may not be used.
    """
    with registry.store.meta.read() as txn:
        row = find_repository(registry, txn, name)
        key = None if row is None else new_data_key(registry, txn, row.number)
        if row is None or key is None:
            return Into()
        return Into(registry.store.meta.blobs.domain(txn, row.number), key, SealedFor(registry, row.number, key))


async def prepare_arrival(registry: Registry, caller: Caller, name: RepositoryName) -> Into:
    """Make sure that a replicated image can be kept as its repository wants it, and return how.

    Raises:
        Denied: without ``ecr:ReplicateImage``, or ``ecr:CreateRepository`` where the repository is new.
        KeyUnusable: as ``into_repository``.
    """
    registry.authorize(caller, "ecr:ReplicateImage", name)
    await begin_arrival(registry, caller, name, "REPLICATION")
    return into_repository(registry, name)


def show_blobs(registry: Registry, txn: WriteTxn, row: RepositoryRow, prepared: PreparedManifest) -> None:
    """Let the repository see those blobs of a manifest that are here."""
    blobs, now = registry.store.meta.blobs, registry.now()
    for one in prepared.manifest.blobs:
        if blobs.get(txn, blobs.copy(txn, row.number, one.digest)) is not None:
            blobs.show(txn, row.number, one.digest, now=now)
            grant(registry, txn, row.number, one.digest)


def _require_blobs(registry: Registry, txn: WriteTxn, row: RepositoryRow, prepared: PreparedManifest) -> None:
    blobs = registry.store.meta.blobs
    for one in prepared.manifest.blobs:
        if not one.is_foreign and blobs.get(txn, blobs.copy(txn, row.number, one.digest)) is None:
            raise NoSource(f"{one.digest} went while the rest of the image came")


def _tag_put(draft: Draft, announcement: Announcement, sent: TagSent) -> list[Known]:
    place = tag_place(draft, sent.tag)
    if not place.takes(announcement.digest):
        return []  # The image is here without it, as at ECR: whoever put the tag first keeps it.
    if _outranks(place.state, sent) or (place.frozen and place.held is not None):
        return []  # It was moved here later, or is where it has to stay.
    value = next_tag_value(
        place.state,
        announcement.digest,
        hlc=sent.hlc,
        node=sent.node,
        frozen=place.frozen,
        by=sent.by,
        dot=draft.dot,
    )
    return [TagPut(TagKey(draft.name, draft.row.state.life, sent.tag), value)]


def _outranks(state: TagState | None, sent: TagSent) -> bool:
    if state is None or state.current is None:
        return False
    value = state.current.value
    return (value.generation, value.hlc, value.node) >= (sent.generation, sent.hlc, sent.node)


async def keep_manifest(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    prepared: PreparedManifest,
    *,
    blobs: Sequence[Blob],
    tag: TagName | None,
    arrival: Arrival,
) -> None:
    """Keep a manifest that was pulled through, before its blobs are here.

    Args:
        registry: to keep it in.
        caller: who pulled it.
        name: what the repository is called here.
        prepared: the manifest, compared with its digest.
        blobs: roots of the blobs that it names, as its registry says.
        tag: by which it was pulled, if it was.
        arrival: where it came from.
    """
    act = Act(caller, "ecr:BatchImportUpstreamImage", name)

    def run(txn: WriteTxn) -> None:
        row = replicated_repository(registry, txn, caller, name, "PULL_THROUGH_CACHE")
        show_blobs(registry, txn, row, prepared)
        add_content(registry, txn, row.number, prepared, contents)
        value = describe(registry, txn, row.number, prepared)
        roots = {one.digest: one for one in blobs}
        value = msgspec.structs.replace(value, blobs=tuple(roots.get(one.digest, one) for one in value.blobs))

        def entries(dot: Dot, hlc: int) -> list[Known]:
            draft = Draft(registry, txn, name, row, caller.arn, dot, hlc)
            put = image_put(draft, prepared.digest, value)
            back = restored(registry, txn, act, name, row.number, [put])
            return [put, *free_tag_puts(draft, [tag] if tag else [], prepared.digest), *back]

        commit_arrived(registry, txn, act, arrival, entries)
        if tag is not None:
            note_checked(registry, txn, name, tag)

    await begin_arrival(registry, caller, name, "PULL_THROUGH_CACHE")
    async with written(registry, name, [prepared]) as contents:
        await registry.store.writer.write(run)
    registry.changes.notify()


async def show_blob(registry: Registry, name: RepositoryName, digest: Digest) -> None:
    """Let a repository see a blob that was pulled through for it, if both are here."""
    meta, now = registry.store.meta, registry.now()

    def run(txn: WriteTxn) -> None:
        row = meta.repositories.get(txn, name)
        if row is not None and meta.blobs.get(txn, meta.blobs.copy(txn, row.number, digest)) is not None:
            meta.blobs.show(txn, row.number, digest, now=now)
            grant(registry, txn, row.number, digest)

    await registry.store.writer.write(run)
