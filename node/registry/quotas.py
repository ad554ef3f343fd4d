"""How much more a repository takes. What is over is refused before anything was done for it.

Counting images costs as much as there are, so it is done for many pushes at once: ``registry.room`` says how many more
a repository takes for certain. Deletes only add to that; what comes from other registries between two counts is not in
it, so a quota is exceeded by a few at most.
"""

from collections.abc import Collection

from node.registry.registry import Registry
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn
from protocol.errors import LimitExceeded
from protocol.oci.digest import Digest
from protocol.oci.names import TagName

_AHEAD = 1000  # Images that a repository takes before its images are counted again.


def require_room_for_repository(registry: Registry, txn: ReadTxn) -> None:
    """Raise ``LimitExceeded`` where there are as many repositories as there may be."""
    most = registry.settings.quotas.repositories
    if registry.store.meta.repositories.count(txn) >= most:
        raise LimitExceeded(f"The registry has {most} repositories, and may not have more")


def require_room_for_image(registry: Registry, txn: ReadTxn, row: RepositoryRow, digest: Digest) -> None:
    """Raise ``LimitExceeded`` where the image is not there yet, and the repository has as many as it may have."""
    if registry.store.meta.images.is_alive(txn, row.number, digest):
        return
    most, room = registry.settings.quotas.images, registry.room
    if not room.get(row.number):
        if len(room) > _AHEAD:
            room.clear()
        prefix = row.number.to_bytes(8, "big")
        found = len(registry.store.meta.images.alive.bytes.keys(txn, prefix, limit=most))
        room[row.number] = min(most - found, _AHEAD)
    if not room[row.number]:
        raise LimitExceeded(f"The repository has {most} images, and may not have more")
    room[row.number] -= 1


def require_room_for_tags(
    registry: Registry, txn: ReadTxn, row: RepositoryRow, digest: Digest, tags: Collection[TagName]
) -> None:
    """Raise ``LimitExceeded`` where the image would have more tags than it may have."""
    most = registry.settings.quotas.tags_per_image
    there = registry.store.meta.tags.pointing_at(txn, row.number, digest, limit=most)
    if len(there) + len(set(tags).difference(there)) > most:
        raise LimitExceeded(f"The image would have more than {most} tags")
