"""Entries of the audit are written, checkpoints signed, and what is old enough removed.

A change and its entry are one transaction: where the audit cannot be written, nothing changes. Reads and refusals
come up to a second later; a power cut loses at most that second of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from node.registry.audit.notes import Key, Note, source_of
from node.registry.registry import Registry
from node.registry.stamping import keep_ceiling
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.audit import OK, Checkpoint, Entry, checkpoint_message, encode_entry, entry_hash
from protocol.auth.caller import Act
from protocol.auth.public import action_on
from protocol.sync.clock import stamp_of
from protocol.sync.entries import (
    ImageDelete,
    ImagePut,
    Known,
    RegisterPut,
    RepositoryDelete,
    RepositoryPut,
    TagPut,
)

CHECKPOINT_ENTRIES = 1000
CHECKPOINT_SECONDS = 60.0
_MAX_WHAT = 100  # Things that one entry names; CloudTrail names as many tags.
_DAY = 86_400.0  # Seconds.
_TRIMMED = 1000  # Entries that are removed in one transaction.
_LONGEST = 512  # Characters of what a stranger may choose.


@dataclass(frozen=True, slots=True)
class Keeping:
    """For how long entries are kept, as an operator chose."""

    days: int
    bytes: int  # Of the file, that entries take at most.


def append_change(registry: Registry, txn: WriteTxn, act: Act, hlc: int, entries: Sequence[Known], record: int) -> None:
    """Write down a change, in the transaction that makes it."""
    caller = act.caller
    what = tuple(dict.fromkeys(one for one in map(_told, entries[: 4 * _MAX_WHAT]) if one))[:_MAX_WHAT]
    note = Note(caller.request)
    action = action_on(act.action, act.resource)
    key = caller.arn, source_of(caller), action, act.resource, OK
    _append(registry, txn, hlc, [(key, note)], what, record)
    registry.notes_of_audit.wrote(caller.request, action)


async def write_notes(registry: Registry) -> int:
    """Write down what was read and refused since the last time; return how many entries that made.

    Raises:
        Busy: nothing can be written now; it is kept for the next time.
    """
    notes = registry.notes_of_audit.take()
    if not notes:
        return 0
    is_written = False
    try:
        await registry.store.writer.write(partial(_append_notes, registry, list(notes.items())))
        is_written = True
    finally:
        if not is_written:
            registry.notes_of_audit.put_back(notes)
    return len(notes)


def _append_notes(registry: Registry, notes: Sequence[tuple[Key, Note]], txn: WriteTxn) -> None:
    hlc = registry.author.clock.stamp(registry.now())
    keep_ceiling(registry, txn)
    _append(registry, txn, hlc, notes, (), 0)


def _append(
    registry: Registry,
    txn: WriteTxn,
    hlc: int,
    notes: Sequence[tuple[Key, Note]],
    what: tuple[str, ...],
    record: int,
) -> None:
    audit = registry.store.meta.audit
    seq, prev = audit.end(txn)
    for (who, source, action, resource, result), note in notes:
        seq += 1
        data = encode_entry(
            Entry(
                seq, hlc, who, source, action, resource[:_LONGEST], result, note.request, prev, note.count, what, record
            )
        )
        audit.append(txn, seq, data)
        prev = entry_hash(data)


def _told(entry: Known) -> str:
    match entry:
        case ImagePut() | ImageDelete():
            return entry.key.digest
        case TagPut():
            return f":{entry.key.tag}"
        case RegisterPut():
            return f"{entry.key.group}/{entry.key.name}"
        case RepositoryPut():
            return ",".join(sorted(entry.value.settings))[:_LONGEST]  # Which settings; their values are the record's.
        case RepositoryDelete():
            return ""


async def sign_checkpoint(registry: Registry) -> Checkpoint | None:
    """Sign for the end of the chain; ``None`` where it was signed for before.

    Raises:
        Busy: nothing can be written now.
    """
    audit, author = registry.store.meta.audit, registry.author

    def run(txn: WriteTxn) -> Checkpoint | None:
        seq, end = audit.end(txn)
        last = audit.checkpoint_before(txn, seq)
        if not seq or (last is not None and last.seq == seq):
            return None
        said = Checkpoint(str(registry.name), author.node, author.incarnation, seq, end, author.clock.last)
        signature = author.sign(checkpoint_message(said))
        signed = Checkpoint(said.registry, said.node, said.incarnation, seq, end, said.hlc, signature)
        audit.put_checkpoint(txn, signed)
        return signed

    return await registry.store.writer.write(run)


async def trim_audit(registry: Registry, keeping: Keeping) -> int:
    """Remove entries that need not be kept, up to a checkpoint, which stays; return how many went.

    Raises:
        Busy: nothing can be written now.
    """
    audit = registry.store.meta.audit
    with registry.store.meta.read() as txn:
        last = max(_too_old(registry, txn, keeping), _too_many(registry, txn, keeping))
        checkpoint = audit.checkpoint_before(txn, last) if last else None
    if checkpoint is None:
        return 0
    removed = 0
    while gone := await registry.store.writer.write(partial(audit.trim, last=checkpoint.seq, limit=_TRIMMED)):
        removed += gone
    return removed


def _too_old(registry: Registry, txn: ReadTxn, keeping: Keeping) -> int:
    """Return the last entry that is signed for and older than it has to be kept; 0: none."""
    audit, found = registry.store.meta.audit, 0
    before = stamp_of(max(0, int((registry.now() - keeping.days * _DAY) * 1000)))
    while page := audit.checkpoints_after(txn, found, limit=_TRIMMED):
        old = [one.seq for one in page if one.hlc < before]
        found = max([found, *old])
        if len(old) < len(page):
            break
    return found


def _too_many(registry: Registry, txn: ReadTxn, keeping: Keeping) -> int:
    """Return the last entry that there is no room for; 0: none. Entries are taken to be of one size."""
    audit = registry.store.meta.audit
    used, count = audit.size(txn), audit.entries.count(txn)
    if used <= keeping.bytes or not count:
        return 0
    return audit.first(txn) - 1 + count - int(count * keeping.bytes / used)
