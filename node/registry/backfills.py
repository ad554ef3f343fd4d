"""Backfills, as the API has them: begun, stopped, listed, and what became of their images."""

from uuid import UUID

import msgspec

from node.registry.backfilling import (
    RUNNING,
    Backfill,
    Item,
    Outcome,
    backfills,
    delete_backfill,
    find_backfill,
    pages_of,
    put_backfill,
)
from node.registry.registry import Registry
from node.registry.replication import configuration_in_force
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Caller
from protocol.auth.names import RegistryName
from protocol.errors import (
    BackfillEnded,
    BackfillInProgress,
    BackfillUnknown,
    LimitExceeded,
    ValidationFailed,
)

MAX_RUNNING = 10
_KEPT = 90 * 86_400  # Seconds that an ended one can be asked after.


class BackfillPage(msgspec.Struct, frozen=True):
    """A backfill, and a page of what became of its images."""

    backfill: Backfill
    items: list[Item]
    next: str | None  # Where the next page begins.


async def start_backfill(registry: Registry, caller: Caller, destination: RegistryName) -> Backfill:
    """Begin to send what is here to *destination*.

    Raises:
        Denied: without ``ecr:StartReplicationBackfill``.
        ValidationFailed: no rule names it.
        BackfillInProgress: one to its region is under way.
        LimitExceeded: there are too many under way.
    """
    registry.authorize(caller, "ecr:StartReplicationBackfill", None)
    new = Backfill(str(UUID(bytes=registry.random(16), version=4)), destination, "PREPARING", registry.now())

    def run(txn: WriteTxn) -> None:
        rules = configuration_in_force(registry, txn).rules
        if not any(one.registry == destination for rule in rules for one in rule.destinations):
            raise ValidationFailed(f"No replication rule has the destination {destination}")
        known = backfills(registry, txn)
        running = [one for one in known if one.state in RUNNING]
        if any(one.destination.region == destination.region for one in running):
            raise BackfillInProgress(f"A replication backfill to the region {destination.region} is in progress")
        if len(running) >= MAX_RUNNING:
            raise LimitExceeded(f"{MAX_RUNNING} replication backfills are in progress")
        for one in known:
            if one.ended and registry.now() - one.ended > _KEPT:
                delete_backfill(registry, txn, one.id)
        put_backfill(registry, txn, new)

    await registry.store.writer.write(run)
    registry.backfills.notify()
    return new


async def stop_backfill(registry: Registry, caller: Caller, wanted: str) -> Backfill:
    """Send no more for a backfill.

    Raises:
        Denied: without ``ecr:StopReplicationBackfill``.
        BackfillUnknown: there is none.
        BackfillEnded: it has ended, or is stopping.
    """
    registry.authorize(caller, "ecr:StopReplicationBackfill", None)

    def run(txn: WriteTxn) -> Backfill:
        backfill = _known(registry, txn, wanted)
        if backfill.state not in {"PREPARING", "IN_PROGRESS"}:
            raise BackfillEnded(f"The replication backfill {wanted} is {backfill.state}")
        stopping = msgspec.structs.replace(backfill, state="STOPPING")
        put_backfill(registry, txn, stopping)
        return stopping

    stopping = await registry.store.writer.write(run)
    registry.backfills.notify()
    return stopping


def list_backfills(registry: Registry, caller: Caller, *, after: str, limit: int) -> list[Backfill]:
    """Return at most *limit* backfills, the latest first, beyond the one whose id is *after*.

    Raises:
        Denied: without ``ecr:ListReplicationBackfills``.
    """
    registry.authorize(caller, "ecr:ListReplicationBackfills", None)
    with registry.store.meta.read() as txn:
        known = [one for one in backfills(registry, txn) if not _is_old(registry, one)]
    ids = [one.id for one in known]
    begin = ids.index(after) + 1 if after in ids else 0
    return known[begin : begin + limit]


def backfill_results(
    registry: Registry, caller: Caller, wanted: str, *, outcome: Outcome, after: str, limit: int
) -> BackfillPage:
    """Return how far a backfill is and, once it has ended, what became of its images.

    Args:
        registry: to ask.
        caller: who asks.
        wanted: id of the backfill.
        outcome: only images of which that became; empty for all.
        after: ``next`` of the page before, or empty.
        limit: most images.

    Raises:
        Denied: without ``ecr:DescribeReplicationBackfillResults``.
        BackfillUnknown: there is none.
    """
    registry.authorize(caller, "ecr:DescribeReplicationBackfillResults", None)
    number, _, first = (after or "0:0").partition(":")
    found: list[Item] = []
    with registry.store.meta.read() as txn:
        backfill = _known(registry, txn, wanted)
        page_at, item_at = int(number), int(first)
        while backfill.state not in RUNNING:
            pages = pages_of(registry, txn, wanted, after=page_at - 1, limit=1)
            if not pages:
                break
            page_at, page = pages[0]
            for at in range(item_at, len(page)):
                item = page[at]
                if item.outcome and (not outcome or item.outcome == outcome):
                    if len(found) == limit:
                        return BackfillPage(backfill, found, f"{page_at}:{at}")
                    found.append(item)
            page_at, item_at = page_at + 1, 0
    return BackfillPage(backfill, found, None)


def _known(registry: Registry, txn: ReadTxn, wanted: str) -> Backfill:
    backfill = find_backfill(registry, txn, wanted.lower())
    if backfill is None or _is_old(registry, backfill):
        raise BackfillUnknown(
            f"The replication backfill with id '{wanted}' does not exist in the registry with id "
            f"'{registry.name.account}'"
        )
    return backfill


def _is_old(registry: Registry, backfill: Backfill) -> bool:
    return bool(backfill.ended) and registry.now() - backfill.ended > _KEPT
