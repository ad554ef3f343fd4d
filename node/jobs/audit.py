"""Writes down what was read and refused, once a second, and signs for it."""

from collections.abc import Callable
from contextlib import suppress

import structlog
import trio

from node.registry.audit.writing import (
    CHECKPOINT_ENTRIES,
    CHECKPOINT_SECONDS,
    Keeping,
    sign_checkpoint,
    trim_audit,
    write_notes,
)
from node.registry.registry import Registry
from protocol.errors import Busy

_SECOND = 1.0  # Of what is not a change, at most this much is lost by a power cut.
_LAST = 5.0  # Seconds for what is left when the node stops.

log = structlog.get_logger()


async def audit_forever(registry: Registry, keeping: Callable[[], Keeping]) -> None:
    """Write notes each second; sign a checkpoint each minute, or sooner where there is much; remove what is old."""
    signed, signed_at = _end(registry), trio.current_time()
    try:
        while True:
            await trio.sleep(_SECOND)
            try:
                await write_notes(registry)
                if _is_due(_end(registry) - signed, trio.current_time() - signed_at):
                    checkpoint = await sign_checkpoint(registry)
                    signed_at = trio.current_time()
                    signed = signed if checkpoint is None else checkpoint.seq
                    removed = await trim_audit(registry, keeping())
                    if removed:
                        log.info("audit trimmed", entries=removed)
            except Busy:  # The disk: the alarm is raised where that is watched, and the notes are kept.
                continue
    finally:
        with trio.move_on_after(_LAST, shield=True), suppress(Busy):
            await write_notes(registry)
            await sign_checkpoint(registry)


def _is_due(entries: int, seconds: float) -> bool:
    return entries >= CHECKPOINT_ENTRIES or seconds >= CHECKPOINT_SECONDS


def _end(registry: Registry) -> int:
    with registry.store.meta.read() as txn:
        return registry.store.meta.audit.end(txn)[0]
