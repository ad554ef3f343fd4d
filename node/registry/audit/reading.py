"""The audit is shown, and its chain verified."""

from collections.abc import Callable, Iterable

import msgspec
import trio

from node.registry.registry import Registry
from node.store.audit import Audit
from node.store.meta import Meta
from node.store.table import ReadTxn
from protocol.auth.audit import FIRST, Chain, Checkpoint, Entry, checkpoint_message, entry_hash, read_entry
from protocol.auth.caller import Caller
from protocol.auth.patterns import matches, pattern
from protocol.sync.clock import stamp_ms, stamp_of
from protocol.sync.record import FIRST as NO_RECORD
from protocol.sync.record import VERSION, Record, Verify

MAX_PAGE = 1000
_SCANNED = 20_000  # Entries that one page of a search looks at.
_STEP = 500
_VERIFIED = 10_000  # Entries in one step of a verification.


class EntryShown(msgspec.Struct, frozen=True, rename={"source": "from"}):
    """An entry, for people and programs."""

    seq: int
    time: float  # Seconds since 1970, UTC.
    who: str
    source: str
    action: str
    resource: str
    result: str
    request: str
    count: int
    what: tuple[str, ...]
    record: int
    hash: str  # Hexadecimal.


class AuditPage(msgspec.Struct, frozen=True):
    """A page of entries that were searched for, and where the search goes on."""

    entries: list[EntryShown]
    next: int  # Number of the last entry that was looked at.
    at_end: bool  # There were no more.


class Wanted(msgspec.Struct, frozen=True):
    """Which entries are wanted: all that is said has to fit; texts may have wildcards."""

    who: str = ""
    source: str = ""
    action: str = ""
    resource: str = ""
    result: str = ""
    request: str = ""
    since: float = 0.0  # Seconds since 1970, UTC.
    until: float = float("inf")


class Verified(msgspec.Struct, frozen=True):
    """What a step of a verification came to."""

    entries: int
    checkpoints: int
    faults: list[str]
    seq: int  # The last entry that was looked at; the next step goes on after it.
    hash: str  # Of that entry, hexadecimal.
    at_end: bool
    signed: int  # The last entry that a checkpoint signs for, so far; 0: none.


def list_audit(registry: Registry, caller: Caller, wanted: Wanted, *, after: int, limit: int) -> AuditPage:
    """Return at most *limit* entries beyond number *after* that are *wanted*; a page looks at some thousands at most.

    Raises:
        Denied: without ``entrepot:ListAudit``.
    """
    registry.authorize(caller, "entrepot:ListAudit", None)
    with registry.store.meta.read() as txn:
        return search(registry.store.meta, txn, wanted, after=after, limit=limit)


def last_audit(registry: Registry, caller: Caller, wanted: Wanted, *, limit: int) -> AuditPage:
    """Return the last entries that are *wanted*, at most *limit*, in their order, of the last thousands.

    Raises:
        Denied: without ``entrepot:ListAudit``.
    """
    registry.authorize(caller, "entrepot:ListAudit", None)
    with registry.store.meta.read() as txn:
        return search_back(registry.store.meta, txn, wanted, limit=limit)


def verify_audit(registry: Registry, caller: Caller, *, after: int, known: str) -> Verified:
    """Verify some thousands of entries beyond number *after*, whose hash is *known*; in a thread.

    Raises:
        Denied: without ``entrepot:VerifyAudit``.
    """
    registry.authorize(caller, "entrepot:VerifyAudit", None)
    author = registry.author

    def verify(record: Record, text: bytes, signature: bytes) -> bool:
        return record.node == author.node and author.sign(text) == signature  # Ed25519 signs alike each time.

    return verify_step(registry.store.meta, author.node, verify, after=after, known=known)


async def verify_audit_step(registry: Registry, caller: Caller, *, after: int, known: str) -> Verified:
    """Verify as ``verify_audit`` does, beside everything else."""
    return await trio.to_thread.run_sync(lambda: verify_audit(registry, caller, after=after, known=known))


def search(meta: Meta, txn: ReadTxn, wanted: Wanted, *, after: int, limit: int) -> AuditPage:
    """Return entries beyond number *after*; who asks was allowed to before."""
    fits = _fits(wanted)
    found: list[EntryShown] = []
    looked, at_end = 0, False
    while len(found) < limit and looked < _SCANNED and not at_end:
        page = meta.audit.page(txn, after, limit=_STEP)
        at_end = len(page) < _STEP
        for seq, data in page:
            after, looked = seq, looked + 1
            entry = _read(data)
            if entry is not None and data is not None and fits(entry):
                found.append(_shown(entry, data))
                if len(found) == limit:
                    at_end = at_end and seq == page[-1][0]
                    break
    return AuditPage(found, after, at_end)


def search_back(meta: Meta, txn: ReadTxn, wanted: Wanted, *, limit: int) -> AuditPage:
    """Return the last entries; who asks was allowed to before."""
    end, _ = meta.audit.end(txn)
    first = max(0, meta.audit.first(txn) - 1)
    found: list[EntryShown] = []
    upper, looked = end, 0
    while upper > first and len(found) < limit and looked < _SCANNED:
        lower = max(first, upper - _STEP)
        page = [one for one in meta.audit.page(txn, lower, limit=_STEP) if one[0] <= upper]
        found = [*_all(page, _fits(wanted)), *found][-limit:]
        looked, upper = looked + len(page), lower
    return AuditPage(found, end, True)


def verify_step(meta: Meta, node: str, verify: Verify, *, after: int, known: str) -> Verified:
    """Verify entries beyond number *after*; with a hash that is *known* the chain has to go on from there.

    Where the oldest entries were removed the chain goes on from a checkpoint that stayed. Signatures are those of
    *node*; what another one signed, before this store was restored from its backup, is compared and no more.
    """
    faults: list[str] = []

    def tell(seq: int, what: str) -> None:
        if len(faults) < 100:
            faults.append(f"entry {seq} {what}")

    with meta.read() as txn:
        audit = meta.audit
        checkpoints = {one.seq: one for one in audit.checkpoints_after(txn, max(0, after - 1), limit=_VERIFIED)}
        place = (after, bytes.fromhex(known)) if known else _start(audit, txn, after)
        page = audit.page(txn, after, limit=_VERIFIED)
    if known and after in checkpoints and checkpoints[after].hash != place[1]:
        tell(after, "is not what its checkpoint says")
    chain = Chain(place, tell)
    signed = count = 0
    for seq, data in page:
        chain.add(seq, data)
        if seq in checkpoints:
            count += 1
            signed = max(signed, _compared(seq, data, checkpoints[seq], node, verify, tell))
    end, digest = (page[-1][0], b"" if page[-1][1] is None else entry_hash(page[-1][1])) if page else place
    at_end = len(page) < _VERIFIED
    for seq in sorted(checkpoints) if at_end else ():
        if seq > end:
            tell(seq, "is missing: a checkpoint signs for it")
    return Verified(len(page), count, faults, end, digest.hex(), at_end, signed)


def _compared(
    seq: int, data: bytes | None, checkpoint: Checkpoint, node: str, verify: Verify, tell: Callable[[int, str], None]
) -> int:
    """Compare an entry with its checkpoint; return its number where that is signed, else 0."""
    if data is not None and entry_hash(data) != checkpoint.hash:
        tell(seq, "is not what its checkpoint says: it or one before it was changed")
    if is_signed(checkpoint, verify):
        return seq
    if checkpoint.node == node:
        tell(seq, "has a checkpoint that this node did not sign")
    return 0


def is_signed(checkpoint: Checkpoint, verify: Verify) -> bool:
    """Whether the node that a checkpoint names signed it."""
    as_record = Record(
        VERSION,
        checkpoint.registry,
        checkpoint.node,
        checkpoint.incarnation,
        0,
        NO_RECORD,
        checkpoint.hlc,
        (),
    )
    return verify(as_record, checkpoint_message(checkpoint), checkpoint.signature)


def _start(audit: Audit, txn: ReadTxn, after: int) -> tuple[int, bytes]:
    """Return the place that the entry after *after* follows: the beginning, or a checkpoint before what was removed."""
    first = audit.first(txn)
    if after == 0 and first > 1:
        checkpoint = audit.checkpoint_before(txn, first - 1)
        if checkpoint is not None and checkpoint.seq == first - 1:
            return checkpoint.seq, checkpoint.hash
    if after == 0:
        return 0, FIRST
    data = audit.entries.get(txn, after.to_bytes(8, "big"))
    return after, entry_hash(data or b"")


def _all(page: Iterable[tuple[int, bytes | None]], fits: Callable[[Entry], bool]) -> list[EntryShown]:
    rows = [(entry, data) for _, data in page if data is not None and (entry := _read(data)) is not None]
    return [_shown(entry, data) for entry, data in rows if fits(entry)]


def _fits(wanted: Wanted) -> Callable[[Entry], bool]:
    texts = [
        (name, pattern(text))
        for name in ("who", "source", "action", "resource", "result", "request")
        if (text := getattr(wanted, name))
    ]
    since = stamp_of(int(wanted.since * 1000))
    until = 2**64 if wanted.until == float("inf") else stamp_of(int(wanted.until * 1000))

    def fits(entry: Entry) -> bool:
        return since <= entry.hlc < until and all(matches(one, getattr(entry, name)) for name, one in texts)

    return fits


def _read(data: bytes | None) -> Entry | None:
    try:
        return None if data is None else read_entry(data)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _shown(entry: Entry, data: bytes) -> EntryShown:
    return EntryShown(
        entry.seq,
        stamp_ms(entry.hlc) / 1000,
        entry.who,
        entry.source,
        entry.action,
        entry.resource,
        entry.result,
        entry.request,
        entry.count,
        entry.what,
        entry.record,
        entry_hash(data).hex(),
    )
