"""Rows of repositories, images and tags, worked out again from the journal.

Each is the merge of all entries about it, in whatever order (``protocol.sync``), and the journal has them all. It is
looked through before the write, in pages, by what a record that concerns the row has to contain as bytes; the write
looks through what came meanwhile. While the row is damaged nothing else can change it. A record that cannot be read may
be about the row: then the row waits for the record.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from node.registry.check.places import is_short
from node.registry.mending.lost import Lost
from node.store.meta import Meta
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn, WriteTxn
from protocol.errors import Damaged
from protocol.oci.digest import Digest, packed, unpacked
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import (
    ImageDelete,
    ImagePut,
    Known,
    RegisterPut,
    RepositoryDelete,
    RepositoryPut,
    TagPut,
    Unknown,
)
from protocol.sync.images import ImageState, merge_image
from protocol.sync.record import Record, read_record
from protocol.sync.registers import RegisterState, merge_register
from protocol.sync.repositories import RepositoryState, merge_repository, note_life
from protocol.sync.tags import TagState, merge_tag

_PAGE = 500  # Records that are looked at in one transaction.

IsWanted: TypeAlias = Callable[[Known], bool]


@dataclass(slots=True)
class Replay:
    """The entries about one row, of the records up to ``position``."""

    mark: bytes
    """What the bytes of each record have in them that is about the row."""
    is_wanted: IsWanted
    entries: list[tuple[Known, Record]] = field(default_factory=list)
    position: int = 0

    def go_on(self, meta: Meta, txn: ReadTxn, *, limit: int) -> bool:
        """Look at the next *limit* records; return whether there may be more. ``Lost`` where one cannot be read."""
        page = meta.journal.after(txn, self.position, limit=limit)
        for position, data in page:
            self.position = position
            if data is None:
                raise Lost(f"record {position} of the journal is damaged, too", may_come=True)
            if self.mark in data:
                record = read_record(data)
                self.entries += [
                    (entry, record)
                    for entry in record.entries
                    if not isinstance(entry, Unknown) and self.is_wanted(entry)
                ]
        return len(page) == limit

    def prepare(self, meta: Meta) -> None:
        """Look at all records that there are now. Slow: for a thread."""
        more = True
        while more:
            with meta.read() as txn:
                more = self.go_on(meta, txn, limit=_PAGE)

    def finish(self, meta: Meta, txn: WriteTxn) -> None:
        """Look at what came since ``prepare``."""
        while self.go_on(meta, txn, limit=_PAGE):
            pass


def replay_of(meta: Meta, table: str, key: bytes) -> Replay:
    """Return what looks for the entries about a row of *table*; ``Lost`` where its key is none.

    Raises:
        Damaged: the name of its repository cannot be read; that is mended first.
    """
    if table == "registers":
        group, _, register = key.partition(b"\0")
        return Replay(
            register,
            lambda entry: (
                isinstance(entry, RegisterPut)
                and (entry.key.group.encode(), entry.key.name.encode()) == (group, register)
            ),
        )
    if table.startswith("repositories"):
        name = RepositoryName(key.decode("ascii", "replace"))
        return Replay(name.encode(), lambda entry: not isinstance(entry, RegisterPut) and entry.key.repository == name)
    with meta.read() as txn:
        found = meta.repositories.name(txn, int.from_bytes(key[:8], "big"))
    if found is None:
        raise Lost("its key names no repository", is_nobodys=True)
    if table.startswith("tags"):
        tag = TagName(key[8:].decode("ascii", "replace"))
        return Replay(
            tag.encode(),
            lambda entry: isinstance(entry, TagPut) and (entry.key.repository, entry.key.tag) == (found, tag),
        )
    digest = _digest(key[8:])
    return Replay(
        digest.encode(),
        lambda entry: (
            isinstance(entry, (ImagePut, ImageDelete)) and (entry.key.repository, entry.key.digest) == (found, digest)
        ),
    )


def rebuilt_repository(meta: Meta, txn: ReadTxn, key: bytes, replay: Replay) -> RepositoryRow:
    """Return the row of a repository."""
    state: RepositoryState | None = None
    for entry, record in replay.entries:
        if isinstance(entry, (RepositoryPut, RepositoryDelete)):
            state = merge_repository(state, entry, record.dot, record.hlc)
        elif not isinstance(entry, RegisterPut):
            state = note_life(state, entry.key.life)
    names = meta.repositories.numbers.checked(txn, after=b"", limit=2**31)
    numbers = [number for number, name in names if name == key]
    unread = [number for number, name in names if isinstance(name, Damaged)]
    if not numbers and len(unread) == 1:
        numbers = unread  # It can be no other one's.
    if state is None or not numbers:
        raise Lost("no record of the journal is about it", is_nobodys=state is None and not numbers)
    return RepositoryRow(int.from_bytes(numbers[0], "big"), state)


def rebuilt_image(meta: Meta, txn: ReadTxn, key: bytes, replay: Replay) -> ImageState | None:
    """Return the state of an image; ``None``: nothing is left to remember."""
    row = _repository(meta, txn, key)
    state: ImageState | None = None
    if not replay.entries:
        raise Lost("no record of the journal is about it", is_nobodys=True)
    for entry, record in replay.entries:
        if isinstance(entry, (ImagePut, ImageDelete)):
            state = merge_image(state, entry, record.dot, record.hlc, row.state.dead)
    return state


def rebuilt_tag(meta: Meta, txn: ReadTxn, key: bytes, replay: Replay) -> TagState | None:
    """Return the state of a tag; ``None``: nothing is left to remember."""
    row = _repository(meta, txn, key)
    state: TagState | None = None
    if not replay.entries:
        raise Lost("no record of the journal is about it", is_nobodys=True)
    for entry, record in replay.entries:
        if isinstance(entry, TagPut):
            state = merge_tag(state, entry, record.dot, record.hlc, row.state.dead).state
    return state


def rebuilt_register(replay: Replay) -> RegisterState:
    """Return the state of a register."""
    state: RegisterState | None = None
    for entry, record in replay.entries:
        if isinstance(entry, RegisterPut):
            state = merge_register(state, entry, record.dot, record.hlc).state
    if state is None:
        raise Lost("no record of the journal is about it", is_nobodys=True)
    return state


def missing_places(meta: Meta, *, images: bool) -> list[tuple[str, bytes]]:
    """Return (table, key) of images, or of tags, that the journal knows and that have no row. Slow: for a thread.

    For where a key was damaged so much that nobody knows what it was.
    """
    found: set[tuple[str, bytes]] = set()
    position, more = 0, True
    while more:
        with meta.read() as txn:
            page = meta.journal.records.sound(txn, b"", after=position.to_bytes(8, "big"), limit=_PAGE)
            more = len(page) == _PAGE
            for place, data in page:
                position = int.from_bytes(place, "big")
                for entry in _entries(data):
                    found |= _missing(meta, txn, entry, images=images)
    return sorted(found)


def _entries(data: bytes) -> list[Known]:
    try:
        return [entry for entry in read_record(data).entries if not isinstance(entry, Unknown)]
    except msgspec.DecodeError:
        return []


def _missing(meta: Meta, txn: ReadTxn, entry: Known, *, images: bool) -> set[tuple[str, bytes]]:
    if isinstance(entry, (RepositoryPut, RepositoryDelete, RegisterPut)) or isinstance(entry, TagPut) == images:
        return set()
    try:
        row = meta.repositories.get(txn, entry.key.repository)
    except Damaged:
        return set()
    if row is None:
        return set()
    number = row.number.to_bytes(8, "big")
    if isinstance(entry, TagPut):
        key = number + entry.key.tag.encode()
        is_there = meta.tags.alive.bytes.has(txn, key) or meta.tags.deleted.bytes.has(txn, key)
        return set() if is_there else {("tags", key)}
    key = number + packed(entry.key.digest)
    is_there = meta.images.alive.bytes.has(txn, key) or meta.images.deleted.bytes.has(txn, key)
    return set() if is_there else {("images", key)}


def _repository(meta: Meta, txn: ReadTxn, key: bytes) -> RepositoryRow:
    name = meta.repositories.name(txn, int.from_bytes(key[:8], "big"))
    row = None if name is None else meta.repositories.get(txn, name)
    if row is None:
        raise Lost("its key names no repository", is_nobodys=True)
    return row


def _digest(short: bytes) -> Digest:
    if not is_short(short):
        raise Lost("its key is none", is_nobodys=True)
    return unpacked(short)
