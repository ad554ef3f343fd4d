"""The clock's ceiling, stored before a stamp above it is used: see ``protocol.sync.clock``."""

from node.registry.registry import Registry
from node.store.table import WriteTxn

CEILING = "clock-ceiling"
"""Document that holds it."""


def keep_ceiling(registry: Registry, txn: WriteTxn) -> None:
    """Store the ceiling where it has risen, in the transaction that uses a stamp."""
    documents, clock = registry.store.meta.documents, registry.author.clock
    if documents.number(txn, CEILING) < clock.ceiling:
        documents.put_number(txn, CEILING, clock.ceiling)
