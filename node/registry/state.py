"""How an entry of a record changes the tables: the only way that they change, whoever wrote the record.

Theory of operation
===================
Each entry is merged into the row of its repository, image or tag by the rules of ``protocol.sync``. What follows from
the merge is done here, in the same transaction: an image that came to life holds its manifest's bytes, names its blobs
and children, and refers to its subject; one that went lets go of all that, and its tags with it. Counts and indexes
are derived from the row before and the row after, so a repeated entry, which changes no row, changes nothing else.
The fingerprints move with each row.
"""

from dataclasses import dataclass

from node.store.meta import Meta
from node.store.rows import RepositoryRow, image_key
from node.store.table import WriteTxn
from protocol.oci.digest import Digest, packed
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
from protocol.sync.vector import Dot

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
    key = b"repository\0" + name.encode()
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
    key = b"image\0" + name.encode() + b"\0" + packed(digest)
    change.meta.sums.replace(change.txn, key, entry_hash(key, old), entry_hash(key, new))
    change.meta.images.put(change.txn, row.number, digest, new)
    before = None if old is None else old.shown
    after = None if new is None else new.shown
    if before is None and after is not None:
        _came(change, row.number, digest, after.value)
    elif before is not None and after is None:
        _went(change, row.number, digest, before.value)


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
    key = b"tag\0" + name.encode() + b"\0" + tag.encode()
    change.meta.sums.replace(change.txn, key, entry_hash(key, old), entry_hash(key, new))
    change.meta.tags.put(change.txn, row.number, tag, new)


def _came(change: Change, repository: int, digest: Digest, value: ImageValue) -> None:
    meta, txn = change.meta, change.txn
    meta.blobs.hold(txn, digest)
    for blob in value.blobs:
        meta.blobs.name(txn, repository, blob.digest)
    for child in value.children:
        meta.images.parents.put(txn, image_key(repository, child) + packed(digest), b"")
    if value.subject is not None:
        meta.images.referrers.put(txn, image_key(repository, value.subject) + packed(digest), b"")


def _went(change: Change, repository: int, digest: Digest, value: ImageValue) -> None:
    meta, txn = change.meta, change.txn
    meta.blobs.release(txn, digest, now=change.now)
    for blob in value.blobs:
        meta.blobs.unname(txn, repository, blob.digest, now=change.now)
    for child in value.children:
        meta.images.parents.delete(txn, image_key(repository, child) + packed(digest))
    if value.subject is not None:
        meta.images.referrers.delete(txn, image_key(repository, value.subject) + packed(digest))


def _bury(change: Change, name: RepositoryName, row: RepositoryRow) -> None:
    """Apply the deletes of a repository to all that lies in it."""
    meta, txn = change.meta, change.txn
    images = b""
    while page := meta.images.page(txn, row.number, after=images, limit=_PAGE):
        images = packed(page[-1][0])
        for digest, image in page:
            _put_image(change, name, row, digest, image, bury_image(image, row.state.dead))
    tags = ""
    while names := meta.tags.names(txn, row.number, after=tags, limit=_PAGE):
        tags = names[-1]
        for tag in names:
            state = meta.tags.get(txn, row.number, tag)
            assert state is not None  # It was listed in this transaction.
            _put_tag(change, name, row, tag, state, bury_tag(state, row.state.dead))
