"""When a tag that was pulled through was last compared with its upstream.

A tag that was moved here after that is hosted: nobody asks an upstream about it any more.
"""

from node.registry.registry import Registry
from node.registry.settings import mutability_of
from node.store.table import WriteTxn
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.clock import stamp_ms

_UPSTREAM = "upstream"


def is_stale(registry: Registry, name: RepositoryName, tag: TagName, *, window: float) -> bool:
    """Whether a tag was pulled through, not compared for *window* seconds, and may move."""
    meta = registry.store.meta
    with meta.read() as txn:
        checked = meta.replicas.taken(txn, _UPSTREAM, name, tag)
        if not checked or checked > (registry.now() - window) * 1000:
            return False
        row = meta.repositories.get(txn, name)
        state = None if row is None else meta.tags.get(txn, row.number, tag)
    if row is None or state is None or state.current is None or mutability_of(row).is_frozen(tag):
        return False
    return stamp_ms(state.current.value.hlc) <= checked


def note_checked(registry: Registry, txn: WriteTxn, name: RepositoryName, tag: TagName) -> None:
    """Take note that a tag is as it is at its upstream, after the entry that moved it, if one did."""
    now = max(int(registry.now() * 1000), stamp_ms(registry.author.clock.last))
    registry.store.meta.replicas.take(txn, _UPSTREAM, name, tag, now)


async def put_checked(registry: Registry, name: RepositoryName, tag: TagName) -> None:
    """Take note, in a transaction of its own, that a tag has not moved at its upstream."""
    await registry.store.writer.write(lambda txn: note_checked(registry, txn, name, tag))
