"""What lay in deleted repositories goes, in small transactions.

Nobody sees it any more: its name has another number since the delete. A row that is damaged goes as well, as far as its
key tells what it was; what it alone knew stays held, and ``entrepot check`` tells.
"""

from collections.abc import Callable

import structlog

from node.registry.registry import Registry
from node.registry.state import Removal, put_image, put_tag
from node.store.table import BytesTable, WriteTxn
from protocol.errors import Damaged
from protocol.oci.digest import unpacked
from protocol.oci.names import RepositoryName, TagName

STEP = 100  # Rows in one transaction; an image changes some ten others.


async def bury_step(registry: Registry) -> bool:
    """Remove the next rows of a deleted repository; return whether there were any: call again until not."""
    meta = registry.store.meta
    with meta.read() as txn:
        if registry.gate.why or not meta.repositories.burial(txn):
            return False

    def run(txn: WriteTxn) -> bool:
        number = meta.repositories.burial(txn)
        name = meta.repositories.buried(txn, number) if number else None
        if name is None:  # Its key is damaged, and out of order: collection goes on meanwhile.
            return False
        if _bury_some(Removal(meta, txn, registry.now()), name, number) < STEP:
            meta.repositories.burials.delete(txn, number.to_bytes(8, "big"))
            meta.blobs.drop_domain(txn, number)
        return True

    return await registry.store.writer.write(run)


def _bury_some(removal: Removal, name: RepositoryName, number: int) -> int:
    """Remove at most ``STEP`` rows of a repository that nobody sees any more; return how many there were."""
    images, tags, blobs, txn = removal.meta.images, removal.meta.tags, removal.meta.blobs, removal.txn
    destinations = removal.meta.replicas.destinations(txn)

    def tag(key: bytes) -> None:
        which = TagName(key[8:].decode())
        put_tag(removal, name, number, which, tags.alive.get(txn, key), None)

    def image(key: bytes) -> None:
        digest = unpacked(key[8:])
        put_image(removal, name, number, digest, images.alive.get(txn, key), None)
        for destination in destinations:
            removal.meta.replicas.delete(txn, destination, number, digest)

    def link(key: bytes) -> None:
        blobs.unlink(txn, number, unpacked(key[8:]), now=removal.now)

    kinds: list[tuple[BytesTable, Callable[[bytes], None] | None]] = [
        (tags.alive.bytes, tag),
        (images.alive.bytes, image),
        (blobs.links.bytes, link),
        *((table, None) for table in (tags.of_image, images.parents, images.referrers)),
        *((table.bytes, None) for table in (tags.deleted, images.deleted, tags.history)),
    ]
    done = 0
    for table, remove in kinds:
        for key in table.keys(txn, number.to_bytes(8, "big"), limit=STEP - done):
            done += 1
            if remove is None or not _removed(remove, key):
                table.delete(txn, key)
    return done


def _removed(remove: Callable[[bytes], None], key: bytes) -> bool:
    try:
        remove(key)
    except Damaged as error:
        structlog.get_logger().error("damaged", what=str(error))
        return False
    return True
