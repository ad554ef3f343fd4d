"""The journal: numbers without gaps, one unbroken chain for each writer, signatures, heads, cursors, the clock.

A record names the hash of the one before it, and a signature is over all of a record. So the signature of the last one
of a chain vouches for every byte before it, and only a deep check verifies them all: 0.1 ms each.
"""

from dataclasses import dataclass, field

import msgspec

from node.registry.check.walk import Walk
from node.registry.commit import stored_clock
from node.store.journal import Head
from protocol.errors import Damaged, PeerFault
from protocol.sync.record import FIRST, Record, follows, open_record, read_record, record_hash


@dataclass(slots=True)
class _Chains:
    """What came of each writer so far."""

    last: dict[bytes, tuple[Record, bytes]] = field(default_factory=dict)
    """By node and incarnation: the last record, and its bytes."""
    unknown: bool = False
    """A record could not be read: the next one of any writer may follow it."""

    def add(self, walk: Walk, record: Record, data: bytes, position: int) -> None:
        writer = record.node.encode() + record.incarnation
        before = self.last.get(writer)
        previous, hash_before = (None, FIRST) if before is None else (before[0], record_hash(before[1]))
        if not (before is None and self.unknown) and not follows(previous, hash_before, record):
            walk.tell("journal", f"record {position}", f"does not follow the one of {record.node} before it")
        self.last[writer] = record, data


def walk_journal(walk: Walk) -> None:
    """Read every record, and compare what points at it."""
    journal, chains, expected = walk.meta.journal, _Chains(), 1
    for key, data in walk.all_values(journal.records, "records", "heads"):
        position = int.from_bytes(key, "big")
        if len(key) != 8:
            walk.malformed("journal", key)
            continue
        if position != expected:
            walk.tell("journal", f"record {expected}", f"is missing; the next one is {position}")
            walk.unread["records"] = walk.unread["heads"] = "journal"
            chains.last.clear()
            chains.unknown = True
        expected = position + 1
        record = None if data is None else _read(walk, data, position)
        if record is None or data is None:
            chains.last.clear()
            chains.unknown = True
            continue
        chains.add(walk, record, data, position)
        walk.tallies["records"].expect(_dot_key(record) + key)
    with walk.reading.held():  # In the transaction that had no record more.
        _check_last(walk, chains)
        _check_cursors(walk, expected - 1)
    for key, place in walk.values(journal.places, "records"):
        walk.tallies["records"].find(key + place)
    for key, _ in walk.values(walk.meta.replicas.arrived):
        if len(key) != 8 or not 0 < int.from_bytes(key, "big") <= _last(walk, expected - 1):
            walk.malformed("replication-arrived", key)


def _last(walk: Walk, last: int) -> int:
    """Return the number of the last record, which was *last* when all were read."""
    try:
        return walk.meta.journal.last(walk.txn) if walk.reading.is_live else last
    except Damaged:
        return last  # Told by the walk over cursors.


def _read(walk: Walk, data: bytes, position: int) -> Record | None:
    try:
        record = read_record(data)
    except (msgspec.DecodeError, UnicodeError):
        walk.tell("journal", f"record {position}", "is none")
        walk.unread["records"] = walk.unread["heads"] = "journal"
        return None
    if record.registry != walk.own.registry:
        walk.tell("journal", f"record {position}", f"is of registry {record.registry}")
    if walk.deep and record.node == walk.own.node:
        _verify(walk, data, f"record {position}")
    return record


def _verify(walk: Walk, data: bytes, place: str) -> None:
    try:
        open_record(data, walk.own.verify)
    except PeerFault as fault:
        walk.tell("journal", place, str(fault))


def _check_last(walk: Walk, chains: _Chains) -> None:
    """Compare the heads with the last records, whose signatures vouch for all, and the clock with theirs."""
    heads = {writer: head for writer, head in walk.all_rows(walk.meta.journal.heads)}  # noqa: C416 - mypy's sake.
    if "heads" not in walk.unread:
        for writer in sorted(heads.keys() - chains.last.keys()):
            walk.tell("index", f"heads {writer.hex()}", "is of a writer without a record")
    for writer, (record, data) in chains.last.items():
        head, place = heads.get(writer), f"record {record.seq} of {record.node}"
        if writer not in heads:
            walk.tell("index", f"heads {writer.hex()}", f"is missing; {place} is its last")
        elif head is not None and head != Head(record.seq, record_hash(data), record.hlc):
            walk.tell("index", f"heads {writer.hex()}", f"is not {place}, which is its last")
        if record.node == walk.own.node:
            if not walk.deep:
                _verify(walk, data, place)
            _check_clock(walk, record)


def _check_clock(walk: Walk, record: Record) -> None:
    documents = walk.meta.documents
    try:
        ceiling = stored_clock(lambda name: documents.number(walk.txn, name)).ceiling
    except Damaged:
        return  # Told by the walk over documents.
    if ceiling < record.hlc:
        walk.tell("row", "documents clock-ceiling", f"is below the clock of record {record.seq} of {record.node}")


def _check_cursors(walk: Walk, last: int) -> None:
    """No follower is beyond the last record; the counter of records is at it."""
    for key, cursor in walk.rows(walk.meta.journal.cursors):
        name = key.decode("ascii", "replace")
        if cursor.position > last or (name == "last" and cursor.position != last):
            walk.tell("row", f"cursors {name}", f"is at {cursor.position}, and the last record is {last}")


def _dot_key(record: Record) -> bytes:
    return record.node.encode() + record.incarnation + record.seq.to_bytes(8, "big")
