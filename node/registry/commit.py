"""One record of what this node changes: appended and applied in one transaction.

The same functions apply a record of this node and one of a replica, so that a single node is the federation of one.
"""

from collections.abc import Callable

import msgspec

from node.registry.audit.writing import append_change
from node.registry.registry import Registry
from node.registry.stamping import CEILING, keep_ceiling
from node.registry.state import Change, apply_entry
from node.store.journal import Head
from node.store.meta import Meta
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act
from protocol.errors import Damaged, ManifestTooLarge
from protocol.events.event import Arrival
from protocol.sync.clock import Clock
from protocol.sync.entries import Known
from protocol.sync.record import MAX_RECORD, VERSION, Record, encode, read_record, record_hash, seal
from protocol.sync.vector import Dot

_ROOM = MAX_RECORD - 1024  # Bytes for entries: the rest is for who wrote them, and the signature.
_encode = msgspec.msgpack.Encoder().encode


def commit(registry: Registry, txn: WriteTxn, act: Act, entries_of: Callable[[Dot, int], list[Known]]) -> Dot | None:
    """Append one record about content and apply it; on the writer's thread. What does not fit goes on in the next.

    Args:
        registry: to which this node writes.
        txn: the transaction; where it is undone, so is the record.
        act: who does what, for the audit.
        entries_of: given the dot and the clock of the record to be, returns its entries; none, no record.

    Returns:
        The dot of the first record, or ``None`` where there was nothing to write.

    Raises:
        ManifestTooLarge: one entry alone is larger than any record may be.
        ReadOnly: the gate was closed after whoever writes asked.
    """
    registry.gate.require_open()
    return commit_rules(registry, txn, act, entries_of)


def commit_rules(
    registry: Registry, txn: WriteTxn, act: Act, entries_of: Callable[[Dot, int], list[Known]]
) -> Dot | None:
    """Commit as ``commit`` does, also while the registry is read-only: what rules, principals and settings say."""
    author, meta, now = registry.author, registry.store.meta, registry.now()
    head = meta.journal.head(txn, author.node, author.incarnation)
    first = Dot(author.node, author.incarnation, head.seq + 1)
    hlc = author.clock.stamp(now)
    entries = entries_of(first, hlc)
    if entries:
        append_change(registry, txn, act, hlc, entries, first.seq)
    for part in _cut(entries):
        if head.hlc >= hlc:
            hlc = author.clock.stamp(now)
        dot = Dot(author.node, author.incarnation, head.seq + 1)
        record = Record(VERSION, str(registry.name), dot.node, dot.incarnation, dot.seq, head.hash, hlc, tuple(part))
        data = seal(encode(record), author.sign)
        head = Head(dot.seq, record_hash(data), hlc)
        meta.journal.append(txn, dot, data, head)
        change = Change(meta, txn, dot, hlc, now)
        for entry in part:
            apply_entry(change, entry)
    if entries:
        keep_ceiling(registry, txn)
    return first if entries else None


def commit_arrived(
    registry: Registry, txn: WriteTxn, act: Act, arrival: Arrival, entries_of: Callable[[Dot, int], list[Known]]
) -> None:
    """Commit what came from another registry: no rule here sends that on, or two rules could make a circle."""
    meta = registry.store.meta
    before = meta.journal.last(txn)
    commit(registry, txn, act, entries_of)
    for position in range(before, meta.journal.last(txn)):
        meta.replicas.note_arrived(txn, position + 1, arrival)


def _cut(entries: list[Known]) -> list[list[Known]]:
    """Return the entries in order, in parts that fit in a record each."""
    parts: list[list[Known]] = []
    room = 0
    for entry in entries:
        size = len(_encode(entry))
        if size > _ROOM:
            raise ManifestTooLarge(
                f"a manifest that names so much that it takes {size} bytes to say; {_ROOM} are taken"
            )
        if size > room:
            parts.append([])
            room = _ROOM
        parts[-1].append(entry)
        room -= size
    return parts


def stored_clock(registry_documents: Callable[[str], int]) -> Clock:
    """Return the clock that goes on where the last one, whose ceiling is stored, may have been."""
    return Clock(registry_documents(CEILING))


def clock_at_start(meta: Meta, txn: ReadTxn) -> Clock:
    """Return the stored clock; where its ceiling is damaged, one that goes on above all records that can be read."""
    try:
        return stored_clock(lambda name: meta.documents.number(txn, name))
    except Damaged:
        heads = [head.hlc for _, head in meta.journal.heads.sound(txn, b"", limit=2**31)]
        last = meta.journal.records.sound(txn, b"", after=_before_last(meta, txn), limit=2)
        return Clock(max([0, *heads, *(read_record(data).hlc for _, data in last)]))


def _before_last(meta: Meta, txn: ReadTxn) -> bytes:
    last = int.from_bytes(meta.journal.records.last_key(txn) or b"", "big")
    return max(0, last - 2).to_bytes(8, "big")
