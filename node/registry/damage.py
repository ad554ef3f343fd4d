"""The list of what is damaged here: what was noticed goes on it, what is mended comes off it.

Whoever meets damage only notes it in memory, for reads write nothing. The job that repairs takes it over, so the list
outlives a restart and says since when. The alarm ``damaged-content`` is raised for as long as there is one place on
it, and for a while after damage was met that has none.
"""

import os

import msgspec
import structlog

from node.registry.registry import Registry
from node.store.copies import unpacked_copy
from node.store.damage import CHUNKS, DamageRow, Place, State, number_and_index, taken
from node.store.table import BytesTable, ReadTxn, WriteTxn, is_sealed
from node.store.tree import PAGE, Tree
from protocol.auth.caller import Caller
from protocol.errors import Busy, Damaged, ParameterInvalid
from protocol.oci.digest import Digest

PAGES, TREE = "pages", "tree"
"""Places that are no rows: a page of ``meta`` that cannot be read (its u64 offset), a table that cannot be walked."""

_TOLD = 600.0  # Seconds for which damage without a place is told after somebody met it: nothing says when it is over.
_FIRST_RETRY, _LAST_RETRY, _LOST_RETRY = 5.0, 600.0, 3600.0  # Seconds.

log = structlog.get_logger()


class DamageShown(msgspec.Struct, frozen=True):
    """One damaged place, for people."""

    place: str  # ``blob sha256:... chunk 3``, ``table images, key ...``
    state: State
    since: float  # Seconds since 1970, UTC.
    tries: int
    reason: str


class DamagePage(msgspec.Struct, frozen=True):
    """A page of the list, and where the next one begins."""

    damage: list[DamageShown]
    next: str | None


def note_place(registry: Registry, place: Place) -> None:
    """Take note of damage."""
    registry.store.meta.noticed.add(place.table, place.key)


def tell_damage(registry: Registry, error: Damaged) -> None:
    """Log damage that somebody met, and raise the alarm.

    It lasts until the list of places is empty; damage of which nothing is on it (a row that is missing, a secret that
    cannot be opened) is told for ten minutes after it was last met.
    """
    log.error("damaged", what=str(error))
    if not damage_count(registry):
        registry.repairs.placeless, registry.repairs.placeless_until = str(error), registry.now() + _TOLD
    registry.alarms.raise_("damaged-content", str(error))


def placeless_damage(registry: Registry) -> str:
    """Return what is to be told of damage without a place; empty: nothing."""
    repairs = registry.repairs
    return repairs.placeless if registry.now() < repairs.placeless_until else ""


async def take_over(registry: Registry) -> None:
    """Put on the list what was noticed and is damaged still; ``Busy`` where nothing can be written."""
    meta, now = registry.store.meta, registry.now()
    places = taken(meta.noticed)
    if not places:
        return

    def run(txn: WriteTxn) -> list[Place]:
        new: list[Place] = []
        for place in places:
            if _is_listed(registry, txn, place) or not is_damaged(registry, txn, place):
                continue
            meta.damages.put(txn, place, DamageRow(now))
            new.append(place)
        return new

    try:
        new = await registry.store.writer.write(run)
    except Busy:
        for place in places:
            note_place(registry, place)
        raise
    for place in new:
        log.error("damaged", what=shown_place(registry, place))


def known_damage(registry: Registry, *, limit: int) -> list[tuple[Place, DamageRow]]:
    """Return what is on the list, from its beginning."""
    damages = registry.store.meta.damages
    with registry.store.meta.read() as txn:
        if not damages.count(txn):
            return []
        return [(place, row) for _, place, row in damages.page(txn, limit=limit)]


def next_damage(registry: Registry, *, limit: int) -> list[tuple[Place, DamageRow]]:
    """Return what comes next on the list after the last call, and the beginning again after its end.

    So a thousand places that nobody can mend do not keep the one behind them from being tried.
    """
    damages, repairs = registry.store.meta.damages, registry.repairs
    with registry.store.meta.read() as txn:
        page = damages.page(txn, after=repairs.after, limit=limit)
    repairs.after = page[-1][0] if len(page) == limit else b""
    return [(place, row) for _, place, row in page]


def damage_count(registry: Registry) -> int:
    """Return how many places are known to be damaged, whether or not they are on the list yet; constant cost."""
    with registry.store.meta.read() as txn:
        return registry.store.meta.damages.count(txn) + len(registry.store.meta.noticed)


def untried_count(registry: Registry) -> int:
    """Return how many places nobody tried to mend since they were noticed, or since all was to be tried again."""
    known = known_damage(registry, limit=1000)
    untried = len(known) if registry.repairs.is_asked else sum(not row.tries for _, row in known)
    return untried + len(registry.store.meta.noticed) + registry.repairs.is_busy


def is_lost(registry: Registry, txn: ReadTxn, place: Place) -> bool:
    """Whether nothing leads back to what was there: it may be put anew."""
    row = registry.store.meta.damages.get(txn, place)
    return row is not None and row.state == "lost"


def load_bad(registry: Registry) -> None:
    """Remember, at the start, which blobs have bad chunks: they are not served, and a push replaces them."""
    damages, after = registry.store.meta.damages, b""
    with registry.store.meta.read() as txn:
        while page := damages.page(txn, after=after, limit=1000):
            after = page[-1][0]
            for _, place, _ in page:
                if place.table == CHUNKS:
                    number, index = number_and_index(place)
                    registry.store.verified.bad.setdefault(number, set()).add(index)


def is_due(row: DamageRow, now: float) -> bool:
    """Whether the place is to be tried again."""
    if not row.tries:
        return True
    pause = _LOST_RETRY if row.state == "lost" else min(_LAST_RETRY, _FIRST_RETRY * 2.0 ** min(row.tries - 1, 16))
    return now >= row.tried + pause


async def settle(registry: Registry, place: Place, row: DamageRow, *, state: State | None, reason: str) -> None:
    """Take a place off the list where *state* is ``None``, else note what became of the try."""
    damages, now = registry.store.meta.damages, registry.now()

    def run(txn: WriteTxn) -> None:
        if state is None:
            damages.delete(txn, place)
        else:
            damages.put(txn, place, DamageRow(row.since, state, reason[:512], row.tries + 1, now))

    await registry.store.writer.write(run)
    if state is None:
        registry.repairs.repaired += 1
        log.info("repaired", what=shown_place(registry, place))
    elif (state, reason) != (row.state, row.reason):
        log.warning("not repaired", what=shown_place(registry, place), state=state, reason=reason)


def list_damage(registry: Registry, caller: Caller, *, after: str | None, limit: int) -> DamagePage:
    """Return a page of the list.

    Raises:
        Denied: without ``entrepot:DescribeScrub``.
        ParameterInvalid: *after* is no page.
    """
    registry.authorize(caller, "entrepot:DescribeScrub", None)
    try:
        start = bytes.fromhex(after or "")
    except ValueError:
        raise ParameterInvalid("not a page; begin again without it") from None
    with registry.store.meta.read() as txn:
        page = registry.store.meta.damages.page(txn, after=start, limit=limit)
    rows = [
        DamageShown(shown_place(registry, place), row.state, row.since, row.tries, row.reason) for _, place, row in page
    ]
    return DamagePage(rows, page[-1][0].hex() if len(page) == limit else None)


def shown_place(registry: Registry, place: Place) -> str:
    """Return what a place is called for people."""
    if place.table == PAGES:
        return f"meta/data.mdb, the page at byte {int.from_bytes(place.key, 'big')}"
    if place.table == TREE:
        return f"meta/data.mdb, pages of table {place.key.decode('ascii', 'replace')}"
    if place.table != CHUNKS:
        return f"table {place.table}, key {place.key.hex()}"
    number, index = number_and_index(place)
    return f"blob {copy_of_number(registry, number) or number}, chunk {index}"


def copy_of_number(registry: Registry, number: int) -> Digest | None:
    """Return the copy whose chunks lie under *number*, where that can be said."""
    with registry.store.meta.read() as txn:
        try:
            short = registry.store.meta.blobs.numbers.get(txn, number.to_bytes(8, "big"))
        except Damaged:
            return None
    return None if short is None else unpacked_copy(short)


def is_damaged(registry: Registry, txn: ReadTxn, place: Place) -> bool:
    """Whether the place, which somebody met a moment ago, is damaged still."""
    if place.table in {PAGES, TREE}:
        return True
    if place.table == CHUNKS:
        return _is_bad(registry, place)
    table = table_of(registry, place.table)
    try:
        value = None if table is None else table.raw(txn, place.key)
    except Damaged:  # Nor does a page make sense on the way there.
        return True
    return value is not None and not is_sealed(place.key, value)


def is_readable(registry: Registry, place: Place) -> bool:
    """Whether a page of ``meta``, or all pages of a table, can be read and make sense. Blocks."""
    meta, file = registry.store.meta, registry.store.path / "meta" / "data.mdb"
    try:
        with file.open("rb") as opened, meta.read() as txn:
            if place.table == TREE:
                Tree(opened.fileno(), place.key).verify(txn, b"", 2**62)
                return True
            return len(os.pread(opened.fileno(), PAGE, int.from_bytes(place.key, "big"))) == PAGE
    except (OSError, Damaged):
        return False


def is_mended(registry: Registry, place: Place) -> bool:
    """Whether a place on the list is known to be whole by now: a push may have replaced it. Constant cost."""
    if place.table in {PAGES, TREE}:
        return False
    if place.table == CHUNKS:
        return not _is_bad(registry, place)
    table = table_of(registry, place.table)
    if table is None:
        return False
    with registry.store.meta.read() as txn:
        return table.is_whole(txn, place.key)


def table_of(registry: Registry, name: str) -> BytesTable | None:
    """Return the table of ``meta`` with this name."""
    return next((one for one in registry.store.meta.tables() if one.name == name), None)


def _is_bad(registry: Registry, place: Place) -> bool:
    """Whether a chunk is known to be bad, of a blob that has not got other chunks since."""
    number, index = number_and_index(place)
    if index not in registry.store.verified.bad.get(number, ()):
        return False
    with registry.store.meta.read() as txn:
        return registry.store.meta.blobs.is_numbered(txn, number)


def _is_listed(registry: Registry, txn: ReadTxn, place: Place) -> bool:
    try:
        return registry.store.meta.damages.get(txn, place) is not None
    except Damaged:
        return False
