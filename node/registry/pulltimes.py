"""When images were pulled last: noted at every door, written down now and then, and read back from both places.

Who is excluded leaves no trace. Each node knows of the pulls that it served.
"""

from collections.abc import Sequence
from itertools import islice

import msgspec

from node.registry.current import Current
from node.registry.exclusions import excluded
from node.registry.pulls import Times
from node.registry.registry import Registry
from node.store.notes import ImageNote
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Caller
from protocol.auth.decision import names_of
from protocol.oci.digest import Digest, packed
from protocol.oci.names import RepositoryName

_NEVER = ImageNote()
_BATCH = 500  # Images in one transaction.


def note_pull(registry: Registry, caller: Caller, name: RepositoryName, digest: Digest) -> None:
    """Say that *caller* is given an image; who calls has found it. On the event loop's thread; a microsecond or two."""
    pulls = registry.pulls
    if pulls.excluded is None:
        pulls.excluded = Current(registry.store, lambda txn: excluded(registry, txn))
    left_out = pulls.excluded.get()
    if not left_out or left_out.isdisjoint(names_of(caller.arn)):
        pulls.note(name, digest, registry.now())


def last_pull(registry: Registry, txn: ReadTxn, name: RepositoryName, digest: Digest, pushed: float) -> float | None:
    """Return when an image was pulled last, in seconds since 1970; ``None``: never since it was *pushed*."""
    at = max(registry.pulls.last(name, digest), registry.store.meta.notes.get(txn, name, digest).pulled)
    return at if at and at >= pushed else None


def last_pulls(registry: Registry, txn: ReadTxn, name: RepositoryName, digests: Sequence[Digest]) -> list[float]:
    """Return when each image was pulled last, 0 for never; *digests* lie in the order of their short forms."""
    if not digests:
        return []
    notes = registry.store.meta.notes.between(txn, name, packed(digests[0]), packed(digests[-1]))
    last = registry.pulls.last
    if not notes:
        return [last(name, one) for one in digests]
    return [max(last(name, one), notes.get(packed(one), _NEVER).pulled) for one in digests]


async def write_pull_times(registry: Registry) -> None:
    """Write down what was noted; what could not be written is kept for the next time."""
    pulls = registry.pulls
    pulls.leaving, pulls.times = pulls.times, {}
    try:
        while batch := dict(islice(pulls.leaving.items(), _BATCH)):
            await registry.store.writer.write(lambda txn, batch=batch: _write(registry, txn, batch))  # type: ignore[misc]
            for key in batch:
                del pulls.leaving[key]
    finally:
        pulls.times = pulls.leaving | pulls.times
        pulls.leaving = {}


def _write(registry: Registry, txn: WriteTxn, times: Times) -> None:
    meta = registry.store.meta
    for (name, digest), at in times.items():
        row = meta.repositories.get(txn, name)
        if row is None or not meta.images.is_alive(txn, row.number, digest):
            continue
        note = meta.notes.get(txn, name, digest)
        if at > note.pulled:
            meta.notes.put(txn, name, digest, msgspec.structs.replace(note, pulled=at))
