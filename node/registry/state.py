"""How an entry of a record changes the tables: the only way that they change, whoever wrote the record.

Theory of operation
===================
Each entry is merged into the row of its repository, image or tag by the rules of ``protocol.sync``. What follows from
the merge is done here, in the same transaction: an image that came to life holds its manifest's bytes, names its blobs
and children, and refers to its subject; one that went lets go of all that, and its tags with it. Counts and indexes
are derived from the row before and the row after, so a repeated entry, which changes no row, changes nothing else.
The fingerprints move with each row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from node.store.meta import Meta
from node.store.rows import RepositoryRow, image_key
from node.store.table import Table, WriteTxn
from protocol.oci.digest import Digest, packed, unpacked
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import (
    ImageDelete,
    ImagePut,
    ImageValue,
    Known,
    RepositoryDelete,
    RepositoryPut,
    TagPut,
)
from protocol.sync.fingerprint import entry_hash
from protocol.sync.images import ImageState, bury_image, merge_image
from protocol.sync.repositories import RepositoryState, merge_repository, note_life
from protocol.sync.tags import HISTORY, TagState, bury_tag, history_excess, merge_tag
from protocol.sync.vector import Dot, is_dead

State = TypeVar("State")

_PAGE = 500  # Rows that are looked at together while a repository is buried.


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


def repository_place(name: RepositoryName) -> bytes:
    """Return what a repository is called in fingerprints, the same at every replica."""
    return b"repository\0" + name.encode()


def image_place(name: RepositoryName, short: bytes) -> bytes:
    """Return what an image is called in fingerprints; *short* is the short form of its digest."""
    return b"image\0" + name.encode() + b"\0" + short


def tag_place(name: RepositoryName, tag: str) -> bytes:
    """Return what a tag is called in fingerprints."""
    return b"tag\0" + name.encode() + b"\0" + tag.encode()


def _apply_repository(change: Change, entry: RepositoryPut | RepositoryDelete) -> None:
    name = entry.key.repository
    row = change.meta.repositories.get(change.txn, name)
    state = merge_repository(None if row is None else row.state, entry, change.dot, change.hlc)
    row = _put_repository(change, name, row, state)
    if isinstance(entry, RepositoryDelete):
        _bury(change, name, row)


def _apply_image(change: Change, entry: ImagePut | ImageDelete) -> None:
    row = _noted(change, entry.key.repository, entry.key.life)
    old = change.meta.images.get(change.txn, row.number, entry.key.digest)
    new = merge_image(old, entry, change.dot, change.hlc, row.state.dead)
    _put_image(change, entry.key.repository, row, entry.key.digest, old, new)


def _apply_tag(change: Change, entry: TagPut) -> None:
    row, tags = _noted(change, entry.key.repository, entry.key.life), change.meta.tags
    old = tags.get(change.txn, row.number, entry.key.tag)
    merged = merge_tag(old, entry, change.dot, change.hlc, row.state.dead)
    _put_tag(change, entry.key.repository, row, entry.key.tag, old, merged.state)
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


def _put_image(
    change: Change,
    name: RepositoryName,
    row: RepositoryRow,
    digest: Digest,
    old: ImageState | None,
    new: ImageState | None,
) -> None:
    if new is old:
        return
    key = image_place(name, packed(digest))
    change.meta.sums.replace(change.txn, key, entry_hash(key, old), entry_hash(key, new))
    change.meta.images.put(change.txn, row.number, digest, new)
    before = None if old is None else old.shown
    after = None if new is None else new.shown
    if before is None and after is not None:
        _came(change, row.number, digest, after.value)
    elif before is not None and after is None:
        _went(change, row.number, digest, before.value)
    elif before is not None and after is not None and before.value.blobs != after.value.blobs:
        _renamed(change, row.number, before.value, after.value)


def _put_tag(
    change: Change,
    name: RepositoryName,
    row: RepositoryRow,
    tag: TagName,
    old: TagState | None,
    new: TagState | None,
) -> None:
    if new is old:
        return
    key = tag_place(name, tag)
    change.meta.sums.replace(change.txn, key, entry_hash(key, old), entry_hash(key, new))
    change.meta.tags.put(change.txn, row.number, tag, new)


def _came(change: Change, repository: int, digest: Digest, value: ImageValue) -> None:
    meta, txn = change.meta, change.txn
    meta.blobs.hold(txn, digest)
    for blob in _named(value):
        meta.blobs.name(txn, repository, blob)
    for child in value.children:
        meta.images.parents.put(txn, image_key(repository, child) + packed(digest), b"")
    if value.subject is not None:
        meta.images.referrers.put(txn, image_key(repository, value.subject) + packed(digest), b"")


def _went(change: Change, repository: int, digest: Digest, value: ImageValue) -> None:
    meta, txn = change.meta, change.txn
    meta.blobs.release(txn, digest, now=change.now)
    for blob in _named(value):
        meta.blobs.unname(txn, repository, blob, now=change.now)
    for child in value.children:
        meta.images.parents.delete(txn, image_key(repository, child) + packed(digest))
    if value.subject is not None:
        meta.images.referrers.delete(txn, image_key(repository, value.subject) + packed(digest))


def _renamed(change: Change, repository: int, before: ImageValue, after: ImageValue) -> None:
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
        _put_image(change, name, row, unpacked(key), image, bury_image(image, dead))
    for key, tag in _all(change, row, meta.tags.alive, meta.tags.deleted):
        _put_tag(change, name, row, TagName(key.decode()), tag, bury_tag(tag, dead))
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
