"""Rows that follow from other rows, worked out again from those.

Each function is given a key whose damaged value is gone already, and puts what belongs there, or nothing. All of them
run in one write: what they read cannot change meanwhile. ``Damaged`` from one of them means that what it follows from
is damaged as well; it is tried again once that is mended.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from blake3 import blake3

from node.registry.check.blobs import root_of
from node.registry.check.places import is_short, two_shorts
from node.registry.commit import stored_clock
from node.registry.content import map_of
from node.registry.images import UNKNOWN_ROOT
from node.registry.mending.lost import Lost
from node.registry.replication import FOLLOWER
from node.registry.state import RULES_VERSION
from node.store.blobs import DUE_AFTER, BlobRow, LinkRow
from node.store.chunks import Chunks
from node.store.copies import is_copy
from node.store.journal import Cursor, Head
from node.store.meta import Meta
from node.store.replicas import StatusRow, open_key
from node.store.rows import history_key, pointed_at
from node.store.table import BytesTable, WriteTxn
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.events.event import Arrival
from protocol.oci.digest import packed, unpacked
from protocol.oci.names import TagName
from protocol.sync.entries import ImagePut, ImageValue, TagPut
from protocol.sync.fingerprint import BUCKETS, Bucket
from protocol.sync.record import read_record, record_hash
from protocol.sync.tags import TagDot

_PAGE = 1000  # Rows that are looked at together.


@dataclass(frozen=True, slots=True)
class Mending:
    """One write in which a row is worked out again."""

    meta: Meta
    chunks: Chunks
    txn: WriteTxn
    now: float


Rebuild: TypeAlias = Callable[[Mending, bytes], None]


def repository_name_of(mending: Mending, key: bytes) -> None:
    """``repository-names``: from the row of the repository with this number."""
    repositories = mending.meta.repositories
    for table in (repositories.rows, repositories.deleted):
        for name, row in table.sound(mending.txn, b"", limit=2**31):
            if row.number.to_bytes(8, "big") == key:
                repositories.numbers.put(mending.txn, key, name)
                return
    raise Lost("no repository has this number", may_come=True)


def burial(mending: Mending, key: bytes) -> None:
    """``repository-burials``: the record of an image under the number has the name; without any it does not matter."""
    meta, txn = mending.meta, mending.txn
    for _, state in meta.images.alive.sound(txn, key, limit=_PAGE):
        for one in state.dots:
            dot = one.dot.node.encode() + one.dot.incarnation + one.dot.seq.to_bytes(8, "big")
            data = meta.journal.records.get(txn, meta.journal.places.get(txn, dot) or b"\0")
            for entry in read_record(data).entries if data else ():
                if isinstance(entry, ImagePut) and entry.value == one.value:
                    meta.repositories.burials.put(txn, key, entry.key.repository.encode())
                    return
    if meta.images.alive.bytes.keys(txn, key, limit=1) or meta.tags.alive.bytes.keys(txn, key, limit=1):
        raise Lost("no record of the journal says which repository it was")
    meta.repositories.burials.put(txn, key, b"lost")


def parent(mending: Mending, key: bytes) -> None:
    """``parents``: the index named last names the manifest."""
    first, second = two_shorts(key, 8) or (b"", b"")
    value = _value(mending, key[:8] + second)
    if value is None or first not in {packed(one) for one in value.children}:
        raise Lost("nothing says so", is_nobodys=True)
    mending.meta.images.parents.put(mending.txn, key, b"")


def referrer(mending: Mending, key: bytes) -> None:
    """``referrers``: the manifest named last refers to the subject."""
    first, second = two_shorts(key, 8) or (b"", b"")
    value = _value(mending, key[:8] + second)
    if value is None or value.subject is None or packed(value.subject) != first:
        raise Lost("nothing says so", is_nobodys=True)
    mending.meta.images.referrers.put(mending.txn, key, b"")


def tag_of_image(mending: Mending, key: bytes) -> None:
    """``tags-of-image``: the tag points at the image."""
    length = _short_length(key, 8)
    tag = key[8 + length :]
    digest = pointed_at(mending.meta.tags.alive.get(mending.txn, key[:8] + tag)) if tag else None
    if digest is None or packed(digest) != key[8 : 8 + length]:
        raise Lost("nothing says so", is_nobodys=True)
    mending.meta.tags.of_image.put(mending.txn, key, b"")


def holder(mending: Mending, key: bytes) -> None:
    """``holders``: the repository has a link."""
    if not mending.meta.blobs.links.bytes.has(mending.txn, key[-8:] + key[:-8]):
        raise Lost("nothing says so", is_nobodys=True)
    mending.meta.blobs.holders.put(mending.txn, key, b"")


def due(mending: Mending, key: bytes) -> None:
    """``due``: the link is due then; a blob may be looked at whenever."""
    blobs = mending.meta.blobs
    if not (is_short(key, 16) or is_copy(key[16:])):
        raise Lost("nothing says so", is_nobodys=True)
    if any(key[8:16]):
        link = blobs.links.get(mending.txn, key[8:])
        if link is None or link.due != int.from_bytes(key[:8], "big"):
            raise Lost("nothing says so", is_nobodys=True)
    elif not blobs.rows.bytes.has(mending.txn, key[16:]):
        raise Lost("nothing says so", is_nobodys=True)
    blobs.due.put(mending.txn, key, b"")


def tag_history(mending: Mending, key: bytes) -> None:
    """``tag-history``: the record that its key names has the value."""
    meta, txn = mending.meta, mending.txn
    tag, _, rest = key[8:].partition(b"\0")
    place = meta.journal.places.get(txn, rest[8:])
    data = None if place is None else meta.journal.records.get(txn, place)
    name = meta.repositories.name(txn, int.from_bytes(key[:8], "big"))
    if data is None or name is None:
        raise Lost("no record of the journal is about it", is_nobodys=True)
    record = read_record(data)
    for entry in record.entries:
        if isinstance(entry, TagPut) and (entry.key.repository, entry.key.tag.encode()) == (name, tag):
            lost = TagDot(record.dot, entry.key.life, record.hlc, entry.value)
            if history_key(int.from_bytes(key[:8], "big"), TagName(tag.decode()), lost) == key:
                meta.tags.history.put(txn, key, lost)
                return
    raise Lost("no record of the journal is about it", is_nobodys=True)


def blob(mending: Mending, key: bytes) -> None:
    """``blobs``: its bytes or its map say all but who holds it, and that is counted."""
    meta, txn = mending.meta, mending.txn
    if not is_copy(key):
        raise Lost("its key is none", is_nobodys=True)
    if not is_short(key):
        raise Lost("it is sealed, and its row alone told how: restore a backup, or delete what names it and push again")
    content = meta.blobs.contents.get(txn, key)
    if content is not None:
        row = BlobRow(len(content), 0, root_of(len(content), map_of(content)) or UNKNOWN_ROOT, 0)
    else:
        row = _large(mending, key)
    holds = meta.blobs.waiting(txn, unpacked(key)) + _images(mending, key)
    meta.blobs.rows.put(txn, key, msgspec.structs.replace(row, holds=holds))
    if not holds:
        meta.blobs.keep_for_a_day(txn, unpacked(key), now=mending.now)


def _large(mending: Mending, key: bytes) -> BlobRow:
    meta, txn = mending.meta, mending.txn
    numbers = [number for number, short in _all(mending, meta.blobs.numbers) if short == key]
    if not numbers:
        raise Lost("no bytes are here that it could be the row of", is_nobodys=True)
    number = int.from_bytes(numbers[0], "big")
    hashes = b"".join(body for _, body in meta.blobs.maps.items(txn, numbers[0], limit=2**31))
    size = _size(mending, number, hashes)
    root = root_of(size, hashes)
    if root is None:
        raise Lost("its chunk map is not whole")
    return BlobRow(size, number, root, 0)


def _size(mending: Mending, number: int, hashes: bytes) -> int:
    """Return the size of a blob: all of its chunks are full but the last, whose hash tells where it ends."""
    last = len(hashes) // 32 - 1
    with mending.chunks.read() as txn:
        lengths = mending.chunks.lengths(txn, number, first=max(0, last), limit=1)
    if last < 0 or not lengths or lengths[0][0] != last:
        raise Lost("its last chunk is missing")
    data = mending.chunks.load(number, last, min(CHUNK_SIZE, lengths[0][1]))
    length = len(data.rstrip(b"\0"))
    for end in range(length, min(len(data), length + 4096) + 1):
        if blake3(data[:end]).digest() == hashes[-32:]:
            return last * CHUNK_SIZE + end
    raise Lost("its last chunk is damaged, too", may_come=True)


def _images(mending: Mending, key: bytes) -> int:
    meta, found = mending.meta, 0
    for table in (meta.repositories.numbers, meta.repositories.burials):
        last = b""
        while numbers := table.keys(mending.txn, b"", after=last, limit=_PAGE):
            last = numbers[-1]
            alive = [one for one in numbers if meta.images.alive.bytes.has(mending.txn, one + key)]
            found += sum(not meta.blobs.domain(mending.txn, int.from_bytes(one, "big")) for one in alive)
    return found


def link(mending: Mending, key: bytes) -> None:
    """``links``: the images of the repository that name the blob are counted.

    It may be read where it is due, for then somebody was given it, and where an image names it that knew its chunk map:
    that is known only of what may be read.
    """
    meta, txn = mending.meta, mending.txn
    if not is_short(key, 8) or not meta.blobs.holders.has(txn, key[8:] + key[:8]):
        raise Lost("nothing says so", is_nobodys=True)
    digest, names, seen, last = unpacked(key[8:]), 0, False, b""
    while page := meta.images.alive.items(txn, key[:8], after=last, limit=_PAGE):
        last = page[-1][0][8:]
        for _, state in page:
            named = [one for one in state.shown.value.blobs if one.digest == digest] if state.shown else []
            names += bool(named)
            seen = seen or any(one.root != UNKNOWN_ROOT for one in named)
    if names:
        meta.blobs.links.put(txn, key, LinkRow(names, 0, seen=seen))
        return
    dues = [place for place in meta.blobs.due.keys(txn, b"", limit=2**31) if place[8:] == key]
    when = int.from_bytes(dues[0][:8], "big") if dues else int(mending.now) + DUE_AFTER
    meta.blobs.due.put(txn, when.to_bytes(8, "big") + key, b"")
    meta.blobs.links.put(txn, key, LinkRow(0, when, seen=True))


def number(mending: Mending, key: bytes) -> None:
    """``numbers``: from the row of the blob with this number."""
    last = b""
    rows = mending.meta.blobs.rows
    while page := rows.sound(mending.txn, b"", after=last, limit=_PAGE):
        last = page[-1][0]
        for short, row in page:
            if row.number and row.number.to_bytes(8, "big") == key:
                mending.meta.blobs.numbers.put(mending.txn, key, short)
                return
    raise Lost("no blob has this number", is_nobodys=True)


def place_of_record(mending: Mending, key: bytes) -> None:
    """``records``: where the record lies that its key names."""
    for position, data in _all(mending, mending.meta.journal.records):
        record = read_record(data)
        if record.node.encode() + record.incarnation + record.seq.to_bytes(8, "big") == key:
            mending.meta.journal.places.put(mending.txn, key, position)
            return
    raise Lost("no record of the journal has this number", may_come=True)


def head(mending: Mending, key: bytes) -> None:
    """``heads``: the last record of its writer."""
    journal = mending.meta.journal
    position = int.from_bytes(journal.records.last_key(mending.txn) or b"", "big")
    while position:
        data = journal.records.get(mending.txn, position.to_bytes(8, "big"))
        record = None if data is None else read_record(data)
        if data is not None and record is not None and record.node.encode() + record.incarnation == key:
            journal.heads.put(mending.txn, key, Head(record.seq, record_hash(data), record.hlc))
            return
        position -= 1
    raise Lost("no record of the journal is of this writer", is_nobodys=True)


def cursor(mending: Mending, key: bytes) -> None:
    """``cursors``: the number of records, or a place from which a follower misses nothing.

    One that replicates has passed all that is wanted anywhere. Of others nobody knows: they begin again, for twice is
    better than never.
    """
    journal, position = mending.meta.journal, 0
    if key == b"last":
        position = int.from_bytes(journal.records.last_key(mending.txn) or b"", "big")
    elif key == FOLLOWER.encode():
        rows = mending.meta.replicas.statuses.sound(mending.txn, b"", limit=2**31)
        position = max((row.wanted for _, row in rows), default=0)
    journal.cursors.put(mending.txn, key, Cursor(position))


def fingerprint(mending: Mending, key: bytes) -> None:
    """``sums``: a bucket is the sum of those below it, or what is left of the one above without the others."""
    sums, txn = mending.meta.sums.buckets, mending.txn
    if len(key) != 3 or key[0] > 2:
        raise Lost("its key is none", is_nobodys=True)
    if key[0] < 2:
        below = bytes([key[0] + 1]) + (key[2:] if key[0] else b"")
        parts = [row for _, row in sums.items(txn, below, limit=BUCKETS)]
        sums.put(txn, key, Bucket(_sum(parts), sum(one.count for one in parts)))
        return
    whole = sums.get(txn, b"\1\0" + key[1:2]) or Bucket()
    others = [row for place, row in sums.items(txn, key[:2], limit=BUCKETS) if place != key]
    left = (int.from_bytes(whole.sum, "big") - int.from_bytes(_sum(others), "big")) % 2**256
    sums.put(txn, key, Bucket(left.to_bytes(32, "big"), whole.count - sum(one.count for one in others)))


def _sum(parts: list[Bucket]) -> bytes:
    return (sum(int.from_bytes(one.sum, "big") for one in parts) % 2**256).to_bytes(32, "big")


def document(mending: Mending, key: bytes) -> None:
    """``documents``: the clock goes on above all that it gave; what only an operator knows is lost."""
    documents, heads = mending.meta.documents, mending.meta.journal.heads
    if key == b"clock-ceiling":
        clock = stored_clock(
            lambda _: max((row.hlc for _, row in heads.items(mending.txn, b"", limit=2**31)), default=0)
        )
        documents.put_number(mending.txn, "clock-ceiling", clock.ceiling)
    elif key == RULES_VERSION.encode():  # Any number that it never was.
        documents.put_number(mending.txn, RULES_VERSION, int(mending.now * 1000) << 16)
    elif key != b"scrub":  # How far a scrub was: the next one begins anew.
        name = key.decode("ascii", "replace")
        raise Lost(f"{name} is known to the operator alone: put it again, or restore it from a backup")


def replication_status(mending: Mending, key: bytes) -> None:
    """``replication-status``: announced again, since what became of it is not known; twice changes nothing there."""
    replicas, txn = mending.meta.replicas, mending.txn
    destination, _, image = key.partition(b"\0")
    state = mending.meta.images.alive.get(txn, image) if is_short(image, 8) else None
    places = [one for one in replicas.open.keys(txn, destination + b"\0", limit=2**31) if one.endswith(image)]
    for one in places:
        replicas.open.delete(txn, one)
    if state is None or state.shown is None:
        return  # It is not here any more: nothing is wanted.
    dot = state.shown.dot
    record = dot.node.encode() + dot.incarnation + dot.seq.to_bytes(8, "big")
    opened = [int.from_bytes(one[len(destination) + 1 :][:8], "big") for one in places]
    wanted = max([*opened, int.from_bytes(mending.meta.journal.places.get(txn, record) or b"", "big")])
    replicas.statuses.put(txn, key, StatusRow("IN_PROGRESS", wanted, 0, state.shown.hlc, changed=mending.now))
    replicas.open.put(txn, open_key(destination.decode(), wanted, image), b"")


def replication_open(mending: Mending, key: bytes) -> None:
    """``replication-open``: the image is not done there."""
    destination, _, rest = key.partition(b"\0")
    row = mending.meta.replicas.statuses.get(mending.txn, destination + b"\0" + rest[8:])
    if row is None or row.status == "COMPLETE" or row.wanted != int.from_bytes(rest[:8], "big"):
        raise Lost("nothing says so", is_nobodys=True)
    mending.meta.replicas.open.put(mending.txn, key, b"")


def arrived(mending: Mending, key: bytes) -> None:
    """``replication-arrived``: its key says that it came, and from where nobody knows any more."""
    if len(key) == 8 and 0 < int.from_bytes(key, "big") <= mending.meta.journal.last(mending.txn):
        mending.meta.replicas.note_arrived(mending.txn, int.from_bytes(key, "big"), Arrival())


def forgotten(_mending: Mending, _key: bytes) -> None:
    """An upload is begun anew, an announcement taken again, the next pull is noted: it goes."""


def audit_entry(_mending: Mending, _key: bytes) -> None:
    """``audit``: what was written down nothing else says."""
    raise Lost("what it said is lost; `entrepot audit verify` shows that it is damaged, and a backup may have it")


REBUILDS: dict[str, Rebuild] = {
    "repository-names": repository_name_of,
    "repository-burials": burial,
    "parents": parent,
    "referrers": referrer,
    "tags-of-image": tag_of_image,
    "tag-history": tag_history,
    "blobs": blob,
    "links": link,
    "holders": holder,
    "due": due,
    "numbers": number,
    "records": place_of_record,
    "heads": head,
    "cursors": cursor,
    "sums": fingerprint,
    "documents": document,
    "replication-status": replication_status,
    "replication-open": replication_open,
    "replication-arrived": arrived,
    "replication-taken": forgotten,
    "image-notes": forgotten,
    "audit": audit_entry,
    "audit-checkpoints": forgotten,  # The next one signs for all before it.
    "uploads": forgotten,
    "damage": forgotten,
}
"""By the name of the table."""


def _value(mending: Mending, key: bytes) -> ImageValue | None:
    state = mending.meta.images.alive.get(mending.txn, key) if is_short(key, 8) else None
    return None if state is None or state.shown is None else state.shown.value


def _short_length(key: bytes, at: int) -> int:
    return 65 if key[at : at + 1] == b"\2" else 33


def _all(mending: Mending, table: BytesTable) -> Iterator[tuple[bytes, bytes]]:
    last = b""
    while page := table.sound(mending.txn, b"", after=last, limit=_PAGE):
        last = page[-1][0]
        yield from page
