"""One run: a generation more of a backup.

Theory of operation
===================
What a generation holds has to fit together, and the node goes on meanwhile. So it is read in an order that makes each
part cover the one before it:

1. large blobs, which takes as long as it takes, in the order of their digests;
2. what was taken from other registries; links, for those of a repository that is deleted after 3 go at once;
3. the last record: the generation is the node's state right after it. The places of followers come with it, and the
   numbers of repositories;
4. the records since the last generation, links and the rest; then all blobs once more, of which now few are missing.

A blob that a record of 3 names was there at that moment, and stays 25 hours after the last image that names it has
gone: 4 finds it. What else changed meanwhile is either in the records of 4, or later than the last one, and a restore
leaves that out. So nothing has to be held at the node, and its loop is asked for one short page at a time.

A generation begins where an earlier one ended whose last record this node still has, with the same bytes. A node that
was restored from an older one has another record there, and goes on from that older one.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from node.registry.backup.archive import Archive, blob_rows, generations
from node.registry.backup.destination import Destination
from node.registry.backup.layout import (
    REMEDIES,
    VERSION,
    BlobPlace,
    Certificates,
    Damage,
    DamagedKind,
    JournalPart,
    Manifest,
    Name,
    Progress,
    Row,
    TablePart,
    cut,
    encode_manifest,
    encode_place,
    encode_segment,
    file_of,
    message,
)
from node.registry.backup.source import MAX_CONTENTS, Source, Started, readable_key
from node.registry.backup.tables import EARLIER, FIRST, KEYS, THEN, Sized
from node.store.copies import unpacked_copy
from protocol.errors import BlobUnknown, Damaged, NotReady
from protocol.oci.digest import Digest, packed
from protocol.sync.record import record_hash

_JOURNAL_PART = (
    2**20
)  # Bytes: a last part that is smaller is written anew with what follows, so that they do not pile up.
_WAITING = (
    50_000  # Rows that wait for a segment of small blobs, some 10 MB: of few that are new it is not worth one each.
)
_decode_size = msgspec.msgpack.Decoder(Sized).decode


@dataclass(slots=True)
class _Run:
    source: Source
    destination: Destination
    progress: Progress
    base: Manifest | None
    archive: Archive
    damaged: dict[tuple[str, str], Damage] = field(default_factory=dict)
    files: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    """Names and lengths of the files of sealed blobs, by the ids of their data keys."""

    def note(self, kind: DamagedKind, place: str, what: str) -> None:
        """Take note of something that is damaged at the node, once."""
        self.damaged.setdefault((kind, place), Damage(kind, place, what, REMEDIES[kind]))


def back_up(source: Source, destination: Destination, *, identity: bool, progress: Progress) -> Manifest:
    """Write a generation; return its manifest, in which is said what was damaged at the node.

    Args:
        source: the node.
        destination: the backup, which holds nothing yet or generations of the same registry.
        identity: whether the node's keys go into it.
        progress: told what was done.

    Raises:
        NotReady: the backup is one of another registry.
        Damaged: nothing can be made of what the node says.
        OSError: the destination failed.
    """
    clock, began = time.monotonic(), source.start()
    archive = Archive(destination.root)
    run = _Run(source, destination, progress, _base(source, archive, began), archive)
    _note_files(run)
    for key, sized in _large_blobs(run):
        _copy(run, key, sized)
    tables = {name: _table(run, name) for name in FIRST}
    tables[EARLIER] = _table(run, "links")
    ending = source.ending()
    for name, rows in ending.tables.items():
        tables[name] = _segments(run, name, iter(rows))
    journal, last_hash = _journal(run, ending.position)
    for name in THEN[:-1]:
        tables[name] = _table(run, name)
    total = _Total()
    tables["blobs"] = _segments(run, "blobs", _blobs(run, total))
    tables[KEYS] = _segments(run, KEYS, iter(sorted((name.encode(), data) for name, data in source.keys().items())))
    files = source.identity() if identity else {}
    keys = (
        destination.put_segment("identity", [(name.encode(), data) for name, data in files.items()]) if files else b""
    )
    manifest = Manifest(
        version=VERSION,
        generation=max(generations(destination.root), default=0) + 1,
        began=began.now,
        made=began.now + time.monotonic() - clock,
        registry=began.who.registry,
        node=began.who.node,
        incarnation=began.who.incarnation,
        software=began.who.software,
        began_at=began.position,
        position=ending.position,
        last_hash=last_hash,
        journal=journal,
        tables=tables,
        contents=tuple(sorted(total.segments)),
        blobs=total.blobs,
        size=total.size,
        certificates=_certificates(began),
        damaged=tuple(run.damaged.values()),
        identity=keys,
    )
    body = encode_manifest(manifest)
    destination.put_generation(manifest, body, source.sign(message(body)))
    return manifest


def keep_which(archive: Archive, *, last: int | None, days: float | None, now: float) -> list[int]:
    """Return the generations to keep: the *last* ones and those of the last *days*; all where neither is given."""
    numbers = generations(archive.root)
    if last is None and days is None:
        return numbers
    kept = set(numbers[-max(last or 1, 1) :])
    if days is not None:
        kept |= {number for number in numbers if archive.manifest(number).made >= now - days * 86_400}
    return sorted(kept)


def _base(source: Source, archive: Archive, began: Started) -> Manifest | None:
    """Return the latest generation that this node's journal goes on from."""
    for generation in reversed(generations(archive.root)):
        try:
            manifest = archive.manifest(generation)
        except Damaged:
            continue
        if manifest.registry != began.who.registry:
            raise NotReady(
                f"{archive.root} holds backups of {manifest.registry}, and this is a node of {began.who.registry}: "
                "name another directory"
            )
        if manifest.position > began.position or any(one.kind == "record" for one in manifest.damaged):
            continue  # A record that could not be read then perhaps can be now.
        record = source.record(manifest.position) if manifest.position else None
        if (b"" if record is None else record_hash(record)) == manifest.last_hash:
            return manifest
    return None


def _note_files(run: _Run) -> None:
    """Take over what the base says of files of sealed blobs, which are never changed."""
    for _, place in _known(run):
        if place.file:
            run.files[place.key] = place.file, place.length


def _large_blobs(run: _Run) -> Iterator[tuple[bytes, Sized]]:
    for key, body in _rows(run, "blobs"):
        sized = _decode_size(body)
        if sized.is_large and not _is_copied(run, key, sized):
            yield key, sized


def _is_copied(run: _Run, key: bytes, sized: Sized) -> bool:
    """Whether the file of a large blob is there."""
    if sized.key and sized.key not in run.files:
        return False
    return run.destination.has_blob(*file_of(key, _place(run, sized)))


def _place(run: _Run, sized: Sized) -> BlobPlace:
    file, length = run.files.get(sized.key, (b"", 0))
    return BlobPlace(sized.size, b"", sized.key, sized.root, file, length)


def _copy(run: _Run, key: bytes, sized: Sized) -> bool:
    """Copy a large blob; whether it is in the backup now."""
    digest = unpacked_copy(key)

    def read(start: int) -> Iterator[bytes]:
        run.progress("blobs", start)
        for data in run.source.blob(digest, start):
            run.progress("blobs", len(data))
            yield data

    try:
        if sized.key and sized.key not in run.files:
            hashed, length = run.source.sealed(digest)
            run.files[sized.key] = packed(Digest(f"blake3:{hashed.hex()}")), length
        run.destination.put_blob(*file_of(key, _place(run, sized)), read)
    except BlobUnknown:
        return False  # It was let go of more than a day ago: no record that is in the backup needs it.
    except Damaged as damage:
        run.note("blob", digest, str(damage))
        return False
    return True


@dataclass(slots=True)
class _Total:
    blobs: int = 0
    size: int = 0
    segments: set[Name] = field(default_factory=set)


def _blobs(run: _Run, total: _Total) -> Iterator[Row]:
    """Yield where each blob is, after copying what is missing."""
    known = _known(run)
    following = next(known, None)
    waiting: list[tuple[bytes, Sized, BlobPlace | None]] = []  # Blobs, and small ones whose segment is to come.
    missing = 0
    for key, body in _rows(run, "blobs"):
        sized = _decode_size(body)
        while following is not None and following[0] < key:
            following = next(known, None)
        old = following[1] if following is not None and following[0] == key else None
        if sized.is_large:
            if _is_copied(run, key, sized) or _copy(run, key, sized):
                waiting.append((key, sized, _place(run, sized)))
        elif old is not None and old.segment and old.key == sized.key and _is_there(run, old.segment, total):
            waiting.append((key, sized, old))
        else:
            waiting.append((key, sized, None))
            missing += 1
        if missing == MAX_CONTENTS or len(waiting) == _WAITING:
            yield from _settled(run, waiting, total)
            waiting, missing = [], 0
    yield from _settled(run, waiting, total)


def _known(run: _Run) -> Iterator[tuple[bytes, BlobPlace]]:
    """Yield where the blobs of the base are, up to the first segment that cannot be read; what follows is copied."""
    try:
        if run.base is not None:
            yield from blob_rows(run.archive, run.base)
    except Damaged:
        return


def _settled(run: _Run, waiting: list[tuple[bytes, Sized, BlobPlace | None]], total: _Total) -> Iterator[Row]:
    """Copy small blobs as one segment, and yield where all of *waiting* are."""
    missing = [key for key, _, place in waiting if place is None]
    found: list[Row] = []
    for key, content in zip(missing, run.source.contents(missing) if missing else [], strict=True):
        if content.what:
            run.note("blob", unpacked_copy(key), content.what)
        elif content.data is not None:
            found.append((key, content.data))
    name = run.destination.put_segment("contents", found) if found else b""
    there = {key for key, _ in found}
    for key, sized, place in waiting:
        if place is None:
            if key not in there:
                continue
            place = BlobPlace(sized.size, name, sized.key, sized.root)  # noqa: PLW2901 - what was waited for.
        total.blobs += 1
        total.size += place.size
        if place.segment:
            total.segments.add(place.segment)
        yield key, encode_place(place)
    run.progress("contents", len(found))


def _is_there(run: _Run, name: Name, total: _Total) -> bool:
    return name in total.segments or run.destination.has_segment(name)


def _journal(run: _Run, last: int) -> tuple[tuple[JournalPart, ...], bytes]:
    """Return the journal up to *last*, of which the base has the beginning, and the hash of the last record."""
    parts = [] if run.base is None else list(run.base.journal)
    tail: list[Row] = []
    if parts and parts[-1].size < _JOURNAL_PART:
        try:
            tail = list(run.archive.segment("journal", parts[-1].name))
            parts.pop()
        except Damaged:
            parts, tail = [], []
    if not all(run.destination.has_segment(part.name) for part in parts):
        parts, tail = [], []
    after = max((int.from_bytes(key, "big") for key, _ in tail), default=parts[-1].last if parts else 0)
    rows = _with(tail, _records(run, after, last))
    last_hash = b"" if run.base is None else run.base.last_hash
    for part in _by_size(rows):
        name = run.destination.put_segment("journal", part)
        first, end = (int.from_bytes(one[0], "big") for one in (part[0], part[-1]))
        parts.append(JournalPart(first, end, len(encode_segment("journal", part)), name))
        last_hash = record_hash(part[-1][1])
    return tuple(parts), last_hash


def _records(run: _Run, after: int, last: int) -> Iterator[Row]:
    place: int | None = after
    while place is not None and place < last:
        page = run.source.records(place, last)
        for key, what in page.damaged:
            run.note("record", f"record {int.from_bytes(key, 'big')}", what)
        for key, data in page.rows:
            yield key, data
        run.progress("journal", len(page.rows))
        place = None if page.next is None else int.from_bytes(page.next, "big")


def _with(tail: list[Row], rows: Iterator[Row]) -> Iterator[Row]:
    yield from tail
    yield from rows


def _by_size(rows: Iterator[Row]) -> Iterator[list[Row]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        part.append(row)
        size += len(row[1]) + 16
        if size >= _JOURNAL_PART:
            yield part
            part, size = [], 0
    if part:
        yield part


def _table(run: _Run, name: str) -> tuple[TablePart, ...]:
    return _segments(run, name, _rows(run, name))


def _segments(run: _Run, name: str, rows: Iterator[Row]) -> tuple[TablePart, ...]:
    return tuple(TablePart(part[0][0], run.destination.put_segment(name, part)) for part in cut(rows))


def _rows(run: _Run, table: str) -> Iterator[Row]:
    after: bytes | None = b""
    while after is not None:
        page = run.source.rows(table, after)
        for key, what in page.damaged:
            run.note("row", readable_key(table, key), what)
        run.progress(table, len(page.rows))
        yield from page.rows
        after = page.next


def _certificates(began: Started) -> dict[str, Certificates]:
    return {**began.certificates, began.who.node: began.who.certificates}
