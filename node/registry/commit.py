"""One record of what this node changes: appended and applied in one transaction.

The same functions apply a record of this node and one of a replica, so that a single node is the federation of one.
"""

from collections.abc import Callable

from node.registry.registry import Registry
from node.registry.state import Change, apply_entry
from node.store.journal import Head
from node.store.table import ReadTxn, WriteTxn
from protocol.sync.clock import Clock
from protocol.sync.entries import Known
from protocol.sync.record import VERSION, Record, encode, record_hash, seal
from protocol.sync.vector import Dot

_CEILING = "clock-ceiling"


def commit(registry: Registry, txn: WriteTxn, entries_of: Callable[[Dot, int], list[Known]]) -> Dot | None:
    """Append one record and apply it; on the writer's thread.

    Args:
        registry: to which this node writes.
        txn: the transaction; where it is undone, so is the record.
        entries_of: given the dot and the clock of the record to be, returns its entries; none, no record.

    Returns:
        The record's dot, or ``None`` where there was nothing to write.
    """
    author, meta, now = registry.author, registry.store.meta, registry.now()
    head = meta.journal.head(txn, author.node, author.incarnation)
    dot = Dot(author.node, author.incarnation, head.seq + 1)
    ceiling = author.clock.ceiling
    hlc = author.clock.stamp(now)
    entries = entries_of(dot, hlc)
    if not entries:
        return None
    record = Record(VERSION, str(registry.name), dot.node, dot.incarnation, dot.seq, head.hash, hlc, tuple(entries))
    data = seal(encode(record), author.sign)
    meta.journal.append(txn, dot, data, Head(dot.seq, record_hash(data), hlc))
    if author.clock.ceiling != ceiling or meta.documents.number(txn, _CEILING) < author.clock.ceiling:
        meta.documents.put_number(txn, _CEILING, author.clock.ceiling)
    change = Change(meta, txn, dot, hlc, now)
    for entry in entries:
        apply_entry(change, entry)
    return dot


def stored_clock(registry_documents: Callable[[str], int]) -> Clock:
    """Return the clock that goes on where the last one, whose ceiling is stored, may have been."""
    return Clock(registry_documents(_CEILING))


def last_position(registry: Registry, txn: ReadTxn) -> int:
    """Return the number of the newest record in local order."""
    return registry.store.meta.journal.last(txn)
