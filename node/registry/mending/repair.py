"""Repairs what is on the list of damage, one place after the other, what others depend on first."""

import trio

from node.registry.damage import (
    PAGES,
    TREE,
    is_due,
    is_mended,
    is_readable,
    known_damage,
    next_damage,
    placeless_damage,
    settle,
    shown_place,
    table_of,
    take_over,
)
from node.registry.mending.contents import mend_chunk
from node.registry.mending.lost import Lost
from node.registry.mending.rows import mend_row
from node.registry.registry import Registry
from node.store.damage import CHUNKS, DamageRow, Place
from protocol.errors import Damaged, Refusal

_FIRST = (
    "heads",
    "cursors",
    "sums",
    "documents",
    "journal",
    "records",
    "repository-names",
    "repositories",
    "repositories-deleted",
    "images",
    "images-deleted",
    "tags",
    "tags-deleted",
    "holders",
    "numbers",
    "maps",
    "contents",
    "due",
    "links",
    "blobs",
)
"""Tables in the order in which rows follow from one another: what every push needs comes first."""

_WAITS = "waits for another one"
_MAX = 1000  # Places that are looked at in one round.


async def repair_round(registry: Registry) -> int:
    """Try to mend what is due of the next places on the list; return how many are on it after that.

    Raises:
        Busy: nothing can be written now.
    """
    await take_over(registry)
    known, is_asked = next_damage(registry, limit=_MAX), registry.repairs.is_asked
    registry.repairs.is_busy = bool(known)
    if is_asked and registry.repairs.after:
        registry.repairs.hurry()
    else:
        registry.repairs.is_asked = False
    try:
        due = [
            (place, row)
            for place, row in known
            if is_asked or is_due(row, registry.now()) or is_mended(registry, place)
        ]
        others = [one for one in known if one not in due and one[1].reason.startswith(_WAITS)]
        while due:
            due.sort(key=lambda one: _order(one[0]))
            repaired = registry.repairs.repaired
            waiting = [one for one in due if not await _repair(registry, *one)]
            if registry.repairs.repaired == repaired:
                break
            due, others = waiting + others, []  # What they wait for may have been mended.
    finally:
        registry.repairs.is_busy = False
    if known:
        await take_over(registry)  # A mended row may have told of others.
    count, said = _left(registry)
    registry.alarms.keep("damaged-content", said)
    return count


async def _repair(registry: Registry, place: Place, row: DamageRow) -> bool:
    """Try to mend a place; ``False`` where another one, which is damaged as well, has to be mended first."""
    try:
        await _mend(registry, place)
    except Lost as lost:
        await settle(registry, place, row, state="waiting" if lost.may_come else "lost", reason=str(lost))
    except Refusal as refusal:
        await settle(registry, place, row, state="waiting", reason=str(refusal))
    except Damaged as damage:
        await settle(registry, place, row, state="waiting", reason=f"{_WAITS}: {damage}")
        return False
    else:
        await settle(registry, place, row, state=None, reason="")
    return True


async def _mend(registry: Registry, place: Place) -> None:
    if place.table == CHUNKS:
        await mend_chunk(registry, place)
        return
    if place.table in {PAGES, TREE}:
        if not await trio.to_thread.run_sync(is_readable, registry, place):
            raise Lost("restore a backup: what LMDB finds its way by is damaged, and nothing can be mended with that")
        return
    table = table_of(registry, place.table)
    if table is not None:
        await mend_row(registry, table, place.key)


def _order(place: Place) -> tuple[int, bytes]:
    """Return what places are sorted by: records the last first, for each is vouched for by the one after it."""
    number = _FIRST.index(place.table) if place.table in _FIRST else len(_FIRST)
    return number, bytes(255 - byte for byte in place.key) if place.table == "journal" else place.key


def _left(registry: Registry) -> tuple[int, str]:
    """Return how many places are on the list, and what to say of them."""
    known = known_damage(registry, limit=1)
    if not known:
        return 0, placeless_damage(registry)
    with registry.store.meta.read() as txn:
        count = registry.store.meta.damages.count(txn)
    more = f", and {count - 1} more" if count > 1 else ""
    return count, f"{shown_place(registry, known[0][0])}{more}"
