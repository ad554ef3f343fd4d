"""Whether a registry takes pushes, and why not: what ``/readyz`` tells anyone who asks.

Only states that keep clients out are told here, in words of our own: what an alarm is about may name repositories, and
is for operators (``alarms`` of the admin API).
"""

import msgspec

from node.registry.registry import Registry


class Reason(msgspec.Struct, frozen=True):
    """One state that keeps pushes out."""

    name: str  # A fixed word.
    what: str


class Condition(msgspec.Struct, frozen=True):
    """What the registry does at the moment."""

    pushes: bool
    pulls: bool
    reasons: tuple[Reason, ...] = ()


def condition(registry: Registry) -> Condition:
    """Return what *registry* does now; asks the file system."""
    return Condition(not (reasons := tuple(_reasons(registry))), pulls=True, reasons=reasons)


def _reasons(registry: Registry) -> list[Reason]:
    store, found = registry.store, []
    if store.writer.broken or store.chunk_writer.broken:
        found.append(Reason("disk-failed", "the disk failed; pushes go on when a write comes through"))
    if store.space.is_full():
        found.append(Reason("disk-full", "the disk is full; delete images or add room"))
    return [*found, *(Reason("read-only", f"{closer}: {why}") for closer, why in registry.gate.closed.items())]
