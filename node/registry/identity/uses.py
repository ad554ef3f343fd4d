"""When each access key was used last: noted at every door, written down now and then. Each node knows of its own.

A key that nobody has used for months is one to delete, and the one that somebody uses from an unknown address is one to
look at; neither needs to be known to the second by every node.
"""

from itertools import islice

import msgspec

from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.keyuse import KeyUse

_ROW = "access-key-used/"  # Documents: the key's id behind it.
_BATCH = 500  # Keys in one transaction.


def note_use(registry: Registry, key: str, address: str, service: str) -> None:
    """Say that a key's signature or secret was right. On the event loop's thread; it waits for nothing."""
    registry.key_uses[key] = KeyUse(registry.now(), address, service)


def last_use(registry: Registry, txn: ReadTxn, key: str) -> KeyUse | None:
    """Return when a key was used last at this node, ``None``: never, as far as it knows."""
    noted = registry.key_uses.get(key)
    if noted is not None:
        return noted
    data = registry.store.meta.documents.get(txn, _ROW + key)
    return None if data is None else msgspec.msgpack.decode(data, type=KeyUse)


def forget_use(registry: Registry, txn: WriteTxn, key: str) -> None:
    """Forget a key that is deleted."""
    registry.store.meta.documents.delete(txn, _ROW + key)


async def write_uses(registry: Registry) -> None:
    """Write down what was noted; what could not be written is kept for the next time."""
    while batch := dict(islice(registry.key_uses.items(), _BATCH)):
        await registry.store.writer.write(lambda txn, batch=batch: _write(registry, txn, batch))  # type: ignore[misc]
        for key, use in batch.items():
            if registry.key_uses.get(key) is use:  # Else it was used again meanwhile.
                del registry.key_uses[key]


def _write(registry: Registry, txn: WriteTxn, batch: dict[str, KeyUse]) -> None:
    documents, registers = registry.store.meta.documents, registry.store.meta.registers
    for key, use in batch.items():
        state = registers.get(txn, "access-key", key)
        if state is not None and not state.ended:  # Else deleted meanwhile.
            documents.put(txn, _ROW + key, msgspec.msgpack.encode(use))
