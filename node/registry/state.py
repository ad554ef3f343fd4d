"""How an entry of a record changes the tables: the only way that they change, whoever wrote the record.

Theory of operation
===================
Each entry is merged into the row of its repository, image or tag by the rules of ``protocol.sync``. What follows from
the merge is done here, in the same transaction: an image that came to life holds its manifest's bytes, names its blobs
and children, and refers to its subject; one that went lets go of all that, and its tags with it. Counts and indexes
are derived from the row before and the row after, so a repeated entry, which changes no row, changes nothing else.
The fingerprints move with each row.

A delete of a repository that saw all there is, as every delete does where this node alone writes, unbinds the name
instead of going through what lay in it; ``burial`` does that afterwards, in small transactions. Only where records of
others are here that it did not see are all rows looked at at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from node.store.meta import Meta
from node.store.registers import register_key
from node.store.rows import RepositoryRow, image_key, pointed_at
from node.store.table import ReadTxn, Table, WriteTxn
from protocol.oci.digest import Digest, packed, unpacked
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import (
    ImageDelete,
    ImagePut,
    ImageValue,
    Known,
    RegisterPut,
    RepositoryDelete,
    RepositoryPut,
    TagPut,
)
from protocol.sync.fingerprint import entry_hash
from protocol.sync.images import ImageState, bury_image, merge_image
from protocol.sync.registers import merge_register
from protocol.sync.repositories import RepositoryState, merge_repository, note_life
from protocol.sync.tags import HISTORY, TagState, bury_tag, history_excess, merge_tag
from protocol.sync.vector import Dot, Vector, is_dead

State = TypeVar("State")

RULES_VERSION = "rules-version"
"""Document: see ``rules_version``."""

_PAGE = 500  # Rows that are looked at together while a repository is buried.


@dataclass(frozen=True, slots=True)
class Removal:
    """A transaction in which rows go that no record is about."""

    meta: Meta
    txn: WriteTxn
    now: float


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction, and the record whose entries are being merged in it."""

    meta: Meta
    txn: WriteTxn
    dot: Dot
    hlc: int
    now: float


def apply_entry(change: Change, entry: Known) -> None:
    """Merge one entry."""
    match entry:
        case RepositoryPut() | RepositoryDelete():
            _apply_repository(change, entry)
        case ImagePut() | ImageDelete():
            _apply_image(change, entry)
        case TagPut():
            _apply_tag(change, entry)
        case RegisterPut():
            _apply_register(change, entry)


def repository_place(name: RepositoryName) -> bytes:
    """Return what a repository is called in fingerprints, the same at every replica."""
    return b"repository\0" + name.encode()


def image_place(name: RepositoryName, short: bytes) -> bytes:
    """Return what an image is called in fingerprints; *short* is the short form of its digest."""
    return b"image\0" + name.encode() + b"\0" + short


def tag_place(name: RepositoryName, tag: str) -> bytes:
    """Return what a tag is called in fingerprints."""
    return b"tag\0" + name.encode() + b"\0" + tag.encode()


def register_place(group: str, name: str) -> bytes:
    """Return what a register is called in fingerprints."""
    return b"register\0" + register_key(group, name)


def rules_version(meta: Meta, txn: ReadTxn) -> int:
    """Return a number that is another one whenever a register or a repository's settings changed."""
    return meta.documents.number(txn, RULES_VERSION)


def _rules_changed(change: Change) -> None:
    change.meta.documents.put_number(change.txn, RULES_VERSION, rules_version(change.meta, change.txn) + 1)


def _apply_register(change: Change, entry: RegisterPut) -> None:
    group, name = entry.key.group, entry.key.name
    old = change.meta.registers.get(change.txn, group, name)
    new = merge_register(old, entry, change.dot, change.hlc).state
    key = register_place(group, name)
    change.meta.sums.replace(change.txn, key, entry_hash(key, old), entry_hash(key, new))
    change.meta.registers.put(change.txn, group, name, new)
    _rules_changed(change)


def _apply_repository(change: Change, entry: RepositoryPut | RepositoryDelete) -> None:
    name = entry.key.repository
    row = change.meta.repositories.get(change.txn, name)
    state = merge_repository(None if row is None else row.state, entry, change.dot, change.hlc)
    row = _put_repository(change, name, row, state)
    _rules_changed(change)
    if isinstance(entry, RepositoryPut):
        change.meta.repositories.revive(change.txn, name)
        return
    if _saw_all(change, entry.value.vector):
        change.meta.blobs.shred(change.txn, row.number)
        row = change.meta.repositories.unbind(change.txn, name, row)
    else:
        _bury(change, name, row)
        if not _is_lived_in(change, row):
            change.meta.blobs.shred(change.txn, row.number)
    if not row.state.is_put and not _is_lived_in(change, row):
        change.meta.repositories.retire(change.txn, name)


def _saw_all(change: Change, seen: Vector) -> bool:
    """Whether the delete's writer alone has written here, and had seen all of that."""
    for head in change.meta.journal.heads_of_all(change.txn):
        is_this = (head.node, head.incarnation) == (change.dot.node, change.dot.incarnation)
        last = Dot(head.node, head.incarnation, head.seq - 1) if is_this and head.seq == change.dot.seq else head
        if head.node != change.dot.node or (last.seq and not seen.covers(last)):
            return False
    return change.meta.journal.head(change.txn, change.dot.node, change.dot.incarnation).seq == change.dot.seq


def _is_lived_in(change: Change, row: RepositoryRow) -> bool:
    prefix = row.number.to_bytes(8, "big")
    tables = change.meta.images.alive.bytes, change.meta.tags.alive.bytes
    return any(table.keys(change.txn, prefix, limit=1) for table in tables)


def _apply_image(change: Change, entry: ImagePut | ImageDelete) -> None:
    row = _noted(change, entry.key.repository, entry.key.life)
    old = change.meta.images.get(change.txn, row.number, entry.key.digest)
    new = merge_image(old, entry, change.dot, change.hlc, row.state.dead)
    put_image(change, entry.key.repository, row.number, entry.key.digest, old, new)


def _apply_tag(change: Change, entry: TagPut) -> None:
    row, tags = _noted(change, entry.key.repository, entry.key.life), change.meta.tags
    old = tags.get(change.txn, row.number, entry.key.tag)
    merged = merge_tag(old, entry, change.dot, change.hlc, row.state.dead)
    put_tag(change, entry.key.repository, row.number, entry.key.tag, old, merged.state)
    if merged.lost:
        for lost in merged.lost:
            tags.lose(change.txn, row.number, entry.key.tag, lost)
        history = tags.lost(change.txn, row.number, entry.key.tag)
        if len(history) > HISTORY:
            for lost in history_excess(history):
                tags.forget(change.txn, row.number, entry.key.tag, lost)


def _noted(change: Change, name: RepositoryName, life: int) -> RepositoryRow:
    row = change.meta.repositories.get(change.txn, name)
    state = note_life(None if row is None else row.state, life)
    return row if row is not None and state is row.state else _put_repository(change, name, row, state)


def _put_repository(
    change: Change, name: RepositoryName, row: RepositoryRow | None, state: RepositoryState
) -> RepositoryRow:
    old = None if row is None else row.state
    key = repository_place(name)
    change.meta.sums.replace(change.txn, key, entry_hash(key, old), entry_hash(key, state))
    if row is None:
        return change.meta.repositories.add(change.txn, name, state)
    new = RepositoryRow(row.number, state)
    change.meta.repositories.put(change.txn, name, new)
    return new


def put_image(
    change: Change | Removal,
    name: RepositoryName,
    repository: int,
    digest: Digest,
    old: ImageState | None,
    new: ImageState | None,
) -> None:
    """Replace what is known of an image, and all that is derived from it."""
    if new is old:
        return
    key = image_place(name, packed(digest))
    change.meta.sums.replace(change.txn, key, entry_hash(key, old), entry_hash(key, new))
    change.meta.images.put(change.txn, repository, digest, new)
    before = None if old is None else old.shown
    after = None if new is None else new.shown
    if before is None and after is not None:
        _came(change, repository, digest, after.value)
        change.meta.repositories.revive(change.txn, name)
    elif before is not None and after is None:
        _went(change, repository, digest, before.value)
        change.meta.notes.delete(change.txn, name, digest)
    elif before is not None and after is not None and before.value.blobs != after.value.blobs:
        _renamed(change, repository, before.value, after.value)


def put_tag(
    change: Change | Removal,
    name: RepositoryName,
    repository: int,
    tag: TagName,
    old: TagState | None,
    new: TagState | None,
) -> None:
    """Replace what is known of a tag, and all that is derived from it."""
    if new is old:
        return
    key = tag_place(name, tag)
    change.meta.sums.replace(change.txn, key, entry_hash(key, old), entry_hash(key, new))
    change.meta.tags.put(change.txn, repository, tag, new)
    if pointed_at(new) is not None:
        change.meta.repositories.revive(change.txn, name)


def _came(change: Change | Removal, repository: int, digest: Digest, value: ImageValue) -> None:
    meta, txn = change.meta, change.txn
    meta.blobs.hold(txn, meta.blobs.copy(txn, repository, digest))
    for blob in _named(value):
        meta.blobs.name(txn, repository, blob)
    for child in value.children:
        meta.images.parents.put(txn, image_key(repository, child) + packed(digest), b"")
    if value.subject is not None:
        meta.images.referrers.put(txn, image_key(repository, value.subject) + packed(digest), b"")


def _went(change: Change | Removal, repository: int, digest: Digest, value: ImageValue) -> None:
    meta, txn = change.meta, change.txn
    meta.blobs.let_go(txn, repository, digest, now=change.now)
    for blob in _named(value):
        meta.blobs.unname(txn, repository, blob, now=change.now)
    for child in value.children:
        meta.images.parents.delete(txn, image_key(repository, child) + packed(digest))
    if value.subject is not None:
        meta.images.referrers.delete(txn, image_key(repository, value.subject) + packed(digest))


def _renamed(change: Change | Removal, repository: int, before: ImageValue, after: ImageValue) -> None:
    """The image stays, and names other blobs: a foreign layer counts only where it is in the repository."""
    old, new = _named(before), _named(after)
    for blob in new.keys() - old.keys():
        change.meta.blobs.name(change.txn, repository, blob)
    for blob in old.keys() - new.keys():
        change.meta.blobs.unname(change.txn, repository, blob, now=change.now)


def _named(value: ImageValue) -> dict[Digest, None]:
    """Return the digests of its blobs, each once, in order."""
    return dict.fromkeys(blob.digest for blob in value.blobs)


def _bury(change: Change, name: RepositoryName, row: RepositoryRow) -> None:
    """Apply the deletes of a repository to all that lies in it, and to what is remembered of it."""
    meta, txn, dead = change.meta, change.txn, row.state.dead
    for key, image in _all(change, row, meta.images.alive, meta.images.deleted):
        put_image(change, name, row.number, unpacked(key), image, bury_image(image, dead))
    for key, tag in _all(change, row, meta.tags.alive, meta.tags.deleted):
        put_tag(change, name, row.number, TagName(key.decode()), tag, bury_tag(tag, dead))
    for key, lost in _all(change, row, meta.tags.history):
        if is_dead(lost, dead):
            meta.tags.forget(txn, row.number, TagName(key.partition(b"\0")[0].decode()), lost)


def _all(change: Change, row: RepositoryRow, *tables: Table[State]) -> Iterator[tuple[bytes, State]]:
    """Yield the rows of a repository with what follows its number in their keys; they may change meanwhile."""
    prefix = row.number.to_bytes(8, "big")
    for table in tables:
        last = b""
        while page := table.items(change.txn, prefix, after=last, limit=_PAGE):
            last = page[-1][0][8:]
            yield from ((key[8:], state) for key, state in page)
