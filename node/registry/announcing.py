"""Replication between source and destination: what is announced, and what an acknowledgement means."""

import msgspec

from node.registry.manifests import local_manifest
from node.registry.registry import Registry
from node.store.replicas import Progress, StatusRow
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.names import RegistryName
from protocol.errors import Damaged
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName
from protocol.wire.transfer import INLINE_MANIFEST, MAX_TAGS, Acknowledgement, Announcement, TagSent


class Due(msgspec.Struct, frozen=True):
    """An image that a destination should have and has not acknowledged."""

    place: bytes  # Where ``due_images`` goes on.
    repository: int
    name: RepositoryName
    digest: Digest
    wanted: int  # What the acknowledgement will be for.
    status: StatusRow


def due_images(registry: Registry, destination: RegistryName, *, after: bytes, limit: int) -> list[Due]:
    """Return images that are not done at *destination*, those wanted first at the front, beyond the place *after*."""
    meta = registry.store.meta
    found: list[Due] = []
    with meta.read() as txn:
        for place, number, digest in meta.replicas.open_rows(txn, str(destination), after=after, limit=limit):
            try:
                name = meta.repositories.name(txn, number)
                status = meta.replicas.status(txn, str(destination), number, digest)
            except Damaged:  # It was noticed; once it is mended the image is due again.
                continue
            if name is not None and status is not None:
                found.append(Due(place, number, name, digest, status.wanted, status))
    return found


async def announcement(registry: Registry, due: Due) -> Announcement | None:
    """Return what to tell the destination, as it is now; ``None`` where the image is no longer here."""
    stored = await local_manifest(registry, due.name, due.digest)
    if stored is None:
        return None
    with registry.store.meta.read() as txn:
        state = registry.store.meta.images.get(txn, due.repository, due.digest)
        if state is None or state.shown is None:
            return None
        is_small = len(stored.data) <= INLINE_MANIFEST  # Else it is asked for, and the roots of its blobs with it.
        return Announcement(
            str(registry.name),
            due.name,
            due.digest,
            state.shown.hlc,
            stored.media_type,
            _tags(registry, txn, due),
            (str(registry.name),),
            stored.data if is_small else b"",
            state.shown.value.blobs if is_small else (),
        )


async def acknowledge(registry: Registry, destination: RegistryName, due: Due, answer: Acknowledgement | None) -> None:
    """Take note of what became of an image; ``None``: it is no longer here, and nothing is wanted any more."""
    replicas, now = registry.store.meta.replicas, registry.now()

    def run(txn: WriteTxn) -> None:
        row = replicas.status(txn, str(destination), due.repository, due.digest)
        if row is None:
            return
        if answer is None:
            replicas.delete(txn, str(destination), due.repository, due.digest)
        elif answer.outcome == "done":
            status: Progress = "COMPLETE" if row.wanted <= due.wanted else "IN_PROGRESS"
            new = StatusRow(status, row.wanted, due.wanted, row.hlc, changed=now)
            replicas.put(txn, str(destination), due.repository, due.digest, new)
        elif answer.outcome == "failed":
            new = StatusRow(
                "FAILED", row.wanted, row.done, row.hlc, answer.failure, answer.reason, row.tries + 1, changed=now
            )
            replicas.put(txn, str(destination), due.repository, due.digest, new)

    await registry.store.writer.write(run)


async def note_delay(registry: Registry, destination: RegistryName, due: Due, reason: str) -> None:
    """Take note of why *destination* does not take an image for now, once for each reason."""
    replicas = registry.store.meta.replicas
    if due.status.reason == reason:
        return

    def run(txn: WriteTxn) -> None:
        row = replicas.status(txn, str(destination), due.repository, due.digest)
        if row is not None and row.status == "IN_PROGRESS":
            replicas.put(txn, str(destination), due.repository, due.digest, msgspec.structs.replace(row, reason=reason))

    await registry.store.writer.write(run)


def _tags(registry: Registry, txn: ReadTxn, due: Due) -> tuple[TagSent, ...]:
    tags = registry.store.meta.tags
    sent: list[TagSent] = []
    for tag in tags.pointing_at(txn, due.repository, due.digest)[:MAX_TAGS]:
        state = tags.get(txn, due.repository, tag)
        if state is not None and state.current is not None:
            value = state.current.value
            sent.append(TagSent(tag, value.hlc, value.node, value.generation, value.frozen, value.by))
    return tuple(sent)
