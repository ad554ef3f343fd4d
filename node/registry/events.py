"""Events, read from the journal at any position: what webhooks and ``entrepot events`` are made of.

Nothing is stored of an event. It is derived again each time that it is read, from its record and from what the tables
say now of things that the record only names.
"""

import re
from bisect import bisect_left
from datetime import UTC, datetime

import msgspec

from node.registry.registry import Registry
from node.store.table import ReadTxn
from protocol.auth.caller import Caller
from protocol.errors import EventsGone, ParameterInvalid
from protocol.events.event import Event, Facts, events_of
from protocol.events.webhook import matches
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.clock import stamp_of
from protocol.sync.entries import ImageValue, TagValue
from protocol.sync.record import read_record

MAX_RECORDS = 500  # That are looked at for one page.
_MAX_EVENTS = 2000  # On a page, and those of one more record.
_RECENT = 1024  # Records whose events are remembered; most have one or two.
_MAX_SIZE = 2**20  # Bytes of records that are read for one page, and those of a few more.
_POSITION = re.compile(r"[0-9]{1,18}", re.ASCII)
_AGO = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class EventPage(msgspec.Struct, frozen=True):
    """Events in the order of their records, and how far the journal was read for them."""

    events: list[Event]
    after: int  # Position of the last record that was looked at: where the next page begins.
    last: int  # Position of the last record that there is.


def read_events(
    registry: Registry, caller: Caller, *, after: int, records: int, repositories: tuple[str, ...] = ()
) -> EventPage:
    """Return the events of at most *records* records beyond the position *after*.

    Raises:
        Denied: without ``ecr:DescribeImages``.
        EventsGone: a record beyond *after* is no longer in the journal.
        ParameterInvalid: *after* lies beyond the last record.
    """
    registry.authorize(caller, "ecr:DescribeImages", None)
    with registry.store.meta.read() as txn:
        last = registry.store.meta.journal.last(txn)
        require_position(registry, txn, after)
        found: list[Event] = []
        for position, events in events_after(registry, txn, after, limit=min(records, MAX_RECORDS)):
            after = position
            found += [event for event in events if matches(repositories, event.repository)]
            if len(found) >= _MAX_EVENTS:
                break
    return EventPage(found, after, last)


def position_before(registry: Registry, caller: Caller, records: int) -> int:
    """Return the position after which the last *records* records lie; ``Denied`` without ``ecr:DescribeImages``."""
    registry.authorize(caller, "ecr:DescribeImages", None)
    journal = registry.store.meta.journal
    with registry.store.meta.read() as txn:
        return max(journal.first(txn) - 1, journal.last(txn) - records)


def position_from(registry: Registry, caller: Caller, text: str) -> int:
    """Return the position after which the events begin that *text* means.

    Args:
        registry: whose journal is meant.
        caller: who asks.
        text: a position, which is included; a time as in ``2026-01-31T12:00:00Z``; or how long ago, as in ``90m``.

    Raises:
        Denied: without ``ecr:DescribeImages``.
        ParameterInvalid: *text* is none of these.
    """
    registry.authorize(caller, "ecr:DescribeImages", None)
    if _POSITION.fullmatch(text):
        return max(0, int(text) - 1)
    ago = _AGO.fullmatch(text)
    try:
        at = datetime.fromisoformat(text) if ago is None else None
    except ValueError:
        raise ParameterInvalid(
            f"{text[:40]!r} is not a position, nor a time as 2026-01-31T12:00:00Z, nor how long ago, as 90m"
        ) from None
    if at is not None:
        return _position_at(registry, at.replace(tzinfo=at.tzinfo or UTC).timestamp())
    assert ago is not None
    return _position_at(registry, registry.now() - int(ago[1]) * _UNITS[ago[2]])


def _position_at(registry: Registry, at: float) -> int:
    """Return the position after which lies all that happened at *at* or later, by one writer's clock."""
    journal, wanted = registry.store.meta.journal, stamp_of(max(0, int(at * 1000)))
    with registry.store.meta.read() as txn:

        def clock(position: int) -> int:
            data = journal.at(txn, position)
            return 0 if data is None else read_record(data).hlc

        positions = range(journal.first(txn), journal.last(txn) + 1)
        return positions.start + bisect_left(positions, wanted, key=clock) - 1


def require_position(registry: Registry, txn: ReadTxn, after: int) -> None:
    """Raise ``EventsGone`` or ``ParameterInvalid`` where not every record beyond *after* is here."""
    journal = registry.store.meta.journal
    first, last = journal.first(txn), journal.last(txn)
    if after < first - 1:
        raise EventsGone(f"the journal begins with position {first}; what was before is gone")
    if after > last:
        raise ParameterInvalid(f"position {after + 1} lies beyond the last one, which is {last}")


def readable_from(registry: Registry, txn: ReadTxn) -> int:
    """Return the position after which every record is here."""
    return registry.store.meta.journal.first(txn) - 1


def events_after(registry: Registry, txn: ReadTxn, after: int, *, limit: int) -> list[tuple[int, list[Event]]]:
    """Return at most *limit* positions beyond *after*, each with the events of its record; fewer of large records."""
    facts = _facts(registry, txn)
    return [
        (position, [] if data is None else _events(registry, txn, position, data, facts))
        for position, data in registry.store.meta.journal.after(txn, after, limit=limit, size=_MAX_SIZE)
    ]


def event_at(registry: Registry, position: int, index: int) -> Event | None:
    """Return one event, ``None`` where its record is gone."""
    with registry.store.meta.read() as txn:
        data = registry.store.meta.journal.at(txn, position)
        events = [] if data is None else _events(registry, txn, position, data, _facts(registry, txn))
    return next((event for event in events if event.index == index), None)


def _events(registry: Registry, txn: ReadTxn, position: int, data: bytes, facts: Facts) -> list[Event]:
    """Return the events of a record: those derived a moment ago where somebody asked before, as each webhook does."""
    recent = registry.recent_events
    found = recent.get(position)
    if found is None:
        arrival = registry.store.meta.replicas.arrival(txn, position)
        found = recent[position] = events_of(read_record(data), position, arrival, facts)
        if len(recent) > _RECENT:
            del recent[next(iter(recent))]
    return found


def _facts(registry: Registry, txn: ReadTxn) -> Facts:
    meta = registry.store.meta

    def number(name: RepositoryName) -> int:
        row = meta.repositories.get(txn, name)
        return 0 if row is None else row.number

    def image(name: RepositoryName, digest: Digest) -> ImageValue | None:
        state = meta.images.get(txn, number(name), digest)
        return None if state is None or state.shown is None else state.shown.value

    def pointed_at(name: RepositoryName, tag: TagName, deleted: TagValue) -> Digest | None:
        lost = (one.value for one in meta.tags.lost(txn, number(name), tag))
        return next(
            (one.digest for one in lost if one.digest and (one.hlc, one.node) == (deleted.hlc, deleted.node)), None
        )

    return Facts(image, pointed_at)
