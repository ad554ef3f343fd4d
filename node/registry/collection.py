"""Collection: links that no image names any more and blobs that nothing holds go when they are due.

Online and in small steps. A step looks at what is due, looks again in the transaction that removes it, and frees the
chunks after that, on the loop's thread and only of blobs that nobody reads: whoever saw the row has taken its lease in
the same step, so a lease that is not there by then never will be.

Each row is dealt with in a part of the transaction that is undone by itself: one that is damaged is set aside for a day
and counted, and holds up nothing. What a step did is durable, and nothing else is remembered.
"""

from time import monotonic

import msgspec
import structlog
import trio

from node.registry.burial import bury_step
from node.registry.registry import Registry
from node.store.blobs import DUE_AFTER
from node.store.table import WriteTxn
from protocol.auth.caller import Caller
from protocol.errors import Damaged
from protocol.oci.digest import Digest

log = structlog.get_logger()

STEP = 50  # Due rows in one transaction.
_PATIENCE = 20.0  # Seconds after which a command is told that there is more.


class Step(msgspec.Struct):
    """What one step came to."""

    looked: int = 0  # Due rows that it looked at.
    links: int = 0  # Repositories that see a blob no more.
    blobs: int = 0  # Blobs that are gone ...
    bytes: int = 0  # ... and their bytes.
    set_aside: int = 0  # Rows that could not be dealt with.
    numbers: list[int] = []


class Collected(msgspec.Struct, frozen=True):
    """What a command collected."""

    links: int
    blobs: int
    bytes: int
    more: bool  # It ended before all was done: call again.


async def collect_step(registry: Registry, *, early: float = 0) -> int:
    """Look at the first due rows; return how many there were: call again until it is 0.

    With *early* what is due within as many seconds counts as due. Behind a closed gate everything waits.
    """
    return (await _step(registry, early=early)).looked


async def collect_now(registry: Registry, caller: Caller, *, grace: float) -> Collected:
    """Collect at once, for some seconds, what nobody asked after for *grace* seconds, and what lay in what was deleted.

    Clients are promised a day: with less, a push that is under way may find that a layer is gone which it was told is
    here. It says so, and succeeds when it is repeated.

    Raises:
        Denied: without ``ecr:BatchDeleteImage`` on the registry.
    """
    registry.authorize(caller, "ecr:BatchDeleteImage", None)
    until, links, blobs, size = monotonic() + _PATIENCE, 0, 0, 0
    while (began := monotonic()) < until:
        if not await bury_step(registry):
            step = await _step(registry, early=max(0.0, DUE_AFTER - grace))
            links, blobs, size = links + step.links, blobs + step.blobs, size + step.bytes
            if not step.looked:
                return Collected(links, blobs, size, more=False)
        await trio.sleep(2 * (monotonic() - began))  # For pulls and pushes, though somebody waits for this.
    return Collected(links, blobs, size, more=True)


async def _step(registry: Registry, *, early: float) -> Step:
    meta, now = registry.store.meta, registry.now()
    until = now + early
    with meta.read() as txn:
        if registry.gate.why or not meta.blobs.due_before(txn, until, limit=1):
            return Step()

    def run(txn: WriteTxn) -> Step:
        step = Step()
        for due in meta.blobs.due_before(txn, until, limit=STEP):
            step.looked += 1
            try:
                with meta.nested(txn) as part:
                    _settle(registry, part, step, due, now, until)
            except Damaged as error:
                log.error("damaged", what=str(error))  # noqa: TRY400 - no bug: it is told as everywhere
                step.set_aside += 1
                meta.blobs.put_off(txn, *due, now=until)
        return step

    step = await registry.store.writer.write(run)
    counts = registry.counts
    counts.links += step.links
    counts.blobs += step.blobs
    counts.bytes += step.bytes
    counts.set_aside += step.set_aside
    for number in step.numbers:
        registry.transits.free_when_unread(number)
    await registry.transits.delete_leftovers()
    return step


def _settle(
    registry: Registry, txn: WriteTxn, step: Step, due: tuple[int, int, Digest], now: float, until: float
) -> None:
    """Deal with one due row; links count as due that are by *until*."""
    blobs, (when, repository, digest) = registry.store.meta.blobs, due
    blobs.undue(txn, when, repository, digest)
    if not repository:
        row = blobs.drop_if_free(txn, digest)
        if row is not None:
            step.blobs, step.bytes = step.blobs + 1, step.bytes + row.size
            step.numbers += [row.number] if row.number else []
        return
    link = blobs.link(txn, repository, digest)
    if link is not None and not link.names and link.due <= until:
        blobs.unlink(txn, repository, digest, now=now)
        step.links += 1
