"""Collection: links that no image names any more and blobs that nothing holds go when they are due.

Online and in small steps. A step looks at what is due, looks again in the transaction that removes it, and frees the
chunks after that, on the loop's thread and only of blobs that nobody reads: whoever saw the row has taken its lease in
the same step, so a lease that is not there by then never will be.
"""

import structlog

from node.registry.registry import Registry
from node.store.table import WriteTxn
from protocol.errors import Damaged
from protocol.oci.digest import Digest

log = structlog.get_logger()

_STEP = 100  # Due rows in one transaction.


async def collect_step(registry: Registry) -> int:
    """Look at the first due rows; return how many there were: call again until it is 0.

    Behind a closed gate everything waits.
    """
    if registry.gate.why:
        return 0
    meta, now = registry.store.meta, registry.now()
    with meta.read() as txn:
        if not meta.blobs.due_before(txn, now, limit=1):
            return 0

    def run(txn: WriteTxn) -> tuple[int, list[int]]:
        due = meta.blobs.due_before(txn, now, limit=_STEP)
        freed = [_settle(registry, txn, when, repository, digest, now) for when, repository, digest in due]
        return len(due), [number for number in freed if number]

    looked, numbers = await registry.store.writer.write(run)
    for number in numbers:
        registry.transits.free_when_unread(number)
    await registry.transits.delete_leftovers()
    return looked


def _settle(registry: Registry, txn: WriteTxn, when: int, repository: int, digest: Digest, now: float) -> int:
    """Deal with one due row; return the number whose chunks may go, or 0."""
    blobs = registry.store.meta.blobs
    blobs.undue(txn, when, repository, digest)
    try:
        if not repository:
            return blobs.drop_if_free(txn, digest) or 0
        link = blobs.link(txn, repository, digest)
        if link is not None and not link.names and link.due <= now:
            blobs.unlink(txn, repository, digest, now=now)
    except Damaged as error:  # Set aside: it stays, and the others need not wait for it.
        log.error("damaged", what=str(error))  # noqa: TRY400 - no bug: it is told as everywhere
    return 0
