"""A store made of a backup, in a directory that has none.

Theory of operation
===================
The directory's ``FORMAT`` says from the first moment that a restore is under way, and is replaced by the real one as
the very last step: so what was killed half way is no store to any node, and the same command run again begins anew.

Nothing of the backup is believed. Its manifest is signed, every segment has the name that its bytes make, every record
is signed by its writer and follows the one before it, every blob is hashed whole. What is derived is not in the backup:
the records are applied one after the other by the code that applied them first, and rebuild counts, indexes and
fingerprints; and at the end the store passes the same check as ``entrepot check`` makes.

What is sealed stays sealed: it is compared with what the backup says of it, and nobody here needs a key. The files with
wrapped keys come as they are; the node that opens them is the one whose master key they are under.

Numbers of records stay what they were, for rows that are carried over name them; those of repositories and blobs begin
anew. Blobs come first, for records let their images hold them; then records; then links, by which repositories
see blobs; what nothing holds is due to go in a day.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import lmdb
import msgspec
from blake3 import blake3

from node.registry.backup.archive import Archive, blob_rows, verified_records
from node.registry.backup.layout import BlobPlace, Manifest, Progress, Row, file_of
from node.registry.backup.source import CERTIFICATE
from node.registry.backup.tables import EARLIER, KEYS, carried
from node.registry.check.store import check_store
from node.registry.check.walk import Own
from node.registry.content import map_of
from node.registry.state import Change, apply_entry
from node.store.blobs import BlobRow, DomainRow
from node.store.chunks import Chunks, chunk_count, open_chunks
from node.store.copies import unpacked_copy
from node.store.format import finish_new_store, new_store
from node.store.journal import Cursor, Head
from node.store.keyfiles import KEY_NAME, KeyFiles, WrappedKey
from node.store.meta import MAP_SIZE, Meta, open_meta
from node.store.replicas import StatusRow
from node.store.store import StoppedStore
from node.store.table import ReadTxn, WriteTxn
from protocol.blobs.chunkmap import CHUNK_SIZE, ChunkMap
from protocol.blobs.sealing import SEAL
from protocol.errors import Damaged, NotReady, Refusal, StoreFull
from protocol.oci.digest import Digest, algorithm, digest_of, unpacked
from protocol.oci.names import RepositoryName, repository_name
from protocol.sync.entries import RepositoryPut, Unknown
from protocol.sync.record import Record, Verify, record_hash
from protocol.sync.vector import Dot

Item = TypeVar("Item")

_BY_THEMSELVES = frozenset({"links", EARLIER, "blobs", "repository-names", "domains", "data-keys", KEYS})
_BATCH = 500  # Rows or records in one transaction.
_OPEN = 128  # Segments of small blobs in memory.
_SPARE = 256 * 2**20  # Bytes that a new store leaves free.
_decode_status = msgspec.msgpack.Decoder(StatusRow).decode


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation that is trusted."""

    archive: Archive
    manifest: Manifest
    verify: Verify
    """Verifies the signatures of everyone who wrote a record."""


@dataclass(frozen=True, slots=True)
class _New:
    """A store that is being made."""

    meta: Meta
    chunks: Chunks
    now: float
    progress: Progress

    def write(self, run: Callable[[WriteTxn], None]) -> None:
        with self.meta.env.begin(write=True) as txn:
            run(txn)


def restore_store(
    generation: Generation,
    data: Path,
    *,
    now: float,
    settle: Callable[[], None],
    progress: Progress,
    map_size: int = MAP_SIZE,
) -> None:
    """Make a store in the directory *data*, which holds none but what an earlier restore left.

    Args:
        generation: of a backup; trusted.
        data: the directory; its lock is held here.
        now: seconds since 1970, UTC.
        settle: called when the store is whole and before it counts as one; what it raises undoes all.
        progress: told what was done.
        map_size: of the environments.

    Raises:
        Damaged: the backup is not what its node wrote. Nothing is left.
        StoreFull: there is no room. Nothing is left.
    """
    manifest = generation.manifest
    with new_store(data, f"restoring generation {manifest.generation} of node {manifest.node}"):
        try:
            _require_room(data, manifest)
            _build(generation, data, now=now, progress=progress, map_size=map_size)
            _prove(data, generation, progress, map_size)
        except lmdb.Error as error:
            raise StoreFull(f"the disk of {data} took no more: {error}; make room, and restore again") from error
        settle()
        finish_new_store(data)


def _build(generation: Generation, data: Path, *, now: float, progress: Progress, map_size: int) -> None:
    archive, manifest = generation.archive, generation.manifest
    with (
        open_meta(data / "meta", map_size=map_size, sync=False) as meta,
        open_chunks(data / "chunks", map_size=map_size, sync=False) as chunks,
    ):
        new = _New(meta, chunks, now, progress)
        numbers = _Numbers(meta, archive, manifest)
        _put_keys(data, archive, manifest)
        _put_blobs(new, archive, manifest)
        _put_records(new, generation, numbers)
        _put_wrapped(new, archive, manifest, numbers)
        _put_links(new, archive, manifest, numbers)
        _put_carried(new, archive, manifest, numbers)
        _keep_unheld(new)
        meta.env.sync(True)
        chunks.env.sync(True)


def _put_blobs(new: _New, archive: Archive, manifest: Manifest) -> None:
    small = _Small(archive)
    number = 0
    for page in _pages(blob_rows(archive, manifest)):
        rows: list[_Blob] = []
        for short, place in page:
            digest = unpacked_copy(short)
            if place.segment:
                content = small.content(digest, short, place)
                root = place.root or ChunkMap(place.size, _hashes(map_of(content))).root
                rows.append(_Blob(digest, BlobRow(place.size, 0, root, 0, place.key), content))
                continue
            number += 1
            if place.key:
                parts = _put_sealed(new, number, archive, short, place)
                rows.append(_Blob(digest, BlobRow(place.size, number, place.root, 0, place.key), None, parts=parts))
            else:
                hashes = _put_chunks(new, number, archive.blob(digest, place.size))
                root = ChunkMap(place.size, _hashes(hashes)).root
                rows.append(_Blob(digest, BlobRow(place.size, number, root, 0), None, hashes))
        new.write(lambda txn, rows=rows: _add_blobs(new.meta, txn, rows))  # type: ignore[misc]  # Called at once.
        new.progress("contents", len(page))


class _Blob(NamedTuple):
    copy: Digest
    row: BlobRow
    content: bytes | None
    hashes: bytes = b""
    parts: tuple[bytes, ...] = ()


def _add_blobs(meta: Meta, txn: WriteTxn, rows: list[_Blob]) -> None:
    for one in rows:
        meta.blobs.add(txn, one.copy, one.row, one.content, one.hashes, parts=one.parts)


def _put_sealed(new: _New, number: int, archive: Archive, short: bytes, place: BlobPlace) -> tuple[bytes, ...]:
    """Write the chunks of a sealed blob as they are, and return its chunk map as it is kept."""
    count, index, trailer = chunk_count(place.size), 0, bytearray()
    for part in _pages(_recut(archive.blob(*file_of(short, place)), place.size), size=16):
        with new.chunks.env.begin(write=True) as txn:
            for data in part:
                if index == count:
                    trailer += data
                    continue
                new.chunks.put(txn, number, index, data)
                index += 1
                new.progress("blobs", len(data))
    try:
        return msgspec.msgpack.decode(trailer, type=tuple[bytes, ...])
    except msgspec.DecodeError as error:
        raise Damaged(f"the chunk map of {unpacked_copy(short)}: {error}") from error


def _recut(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield *size* bytes in chunks, the last one shorter, and what follows them as it comes."""
    left, rest = size, bytearray()
    for piece in pieces:
        rest += piece
        while left and len(rest) >= min(CHUNK_SIZE, left):
            length = min(CHUNK_SIZE, left)
            yield bytes(rest[:length])
            del rest[:length]
            left -= length
        if not left and rest:
            yield bytes(rest)
            rest.clear()


def _put_keys(data: Path, archive: Archive, manifest: Manifest) -> None:
    files = KeyFiles(data / "keys")
    for name, body in archive.rows(manifest, KEYS):
        text = name.decode("ascii", "replace")
        if not KEY_NAME.fullmatch(text):
            raise Damaged(f"a key is called {text!r}")
        try:
            files.put(text, msgspec.msgpack.decode(body, type=WrappedKey))
        except msgspec.DecodeError as error:
            raise Damaged(f"the key {text}: {error}") from error


def _put_wrapped(new: _New, archive: Archive, manifest: Manifest, numbers: "_Numbers") -> None:
    """Put back the data keys that repositories keep; a copy that is not in the backup has none."""
    blobs = new.meta.blobs

    def run(txn: WriteTxn, page: list[Row]) -> None:
        for key, wrapped in page:
            number = numbers.here(txn, key[-8:])
            if number is not None and blobs.rows.bytes.has(txn, key[:-8]):
                blobs.put_wrapped(txn, number, unpacked_copy(key[:-8]), wrapped)

    for page in _pages(archive.rows(manifest, "data-keys")):
        new.write(lambda txn, page=page: run(txn, page))  # type: ignore[misc]  # Called at once.
        new.progress("data-keys", len(page))


def _put_chunks(new: _New, number: int, chunks: Iterator[bytes]) -> bytes:
    """Write the chunks of a blob, and return its chunk map; what they make is compared after the last one."""
    hashes: list[bytes] = []
    for part in _pages(chunks, size=16):
        with new.chunks.env.begin(write=True) as txn:
            for data in part:
                new.chunks.put(txn, number, len(hashes), data)
                hashes.append(blake3(data).digest())
                new.progress("blobs", len(data))
    return b"".join(hashes)


class _Small:
    """Small blobs by the segments that they lie in: each generation that added some has one that is read now."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._open: dict[bytes, dict[bytes, bytes]] = {}

    def content(self, digest: Digest, short: bytes, place: BlobPlace) -> bytes:
        """Return the bytes of a small blob, or raise ``Damaged``."""
        found = self._open.pop(place.segment, None)
        if found is None:
            found = dict(self._archive.segment("contents", place.segment))
            if len(self._open) >= _OPEN:
                del self._open[next(iter(self._open))]
        self._open[place.segment] = found
        content = found.get(short)
        if place.key and content is not None and len(content) == place.size + SEAL:
            return content  # The name of its segment says that it is what the node had.
        if content is None or len(content) != place.size or digest_of(content, algorithm(digest)) != digest:
            raise Damaged(f"blob {digest} has other bytes than were written")
        return content


class _Numbers:
    """Numbers that repositories had right after the last record, and those that they have here."""

    def __init__(self, meta: Meta, archive: Archive, manifest: Manifest) -> None:
        self._repositories = meta.repositories
        self._names = {key: _name(name) for key, name in archive.rows(manifest, "repository-names")}
        rows = ((self._names.get(key), body) for key, body in archive.rows(manifest, "domains"))
        self._domains = {name: _domain(body) for name, body in rows if name is not None}

    def here(self, txn: ReadTxn, number: bytes) -> int | None:
        """Return the number here; ``None`` of a repository that was deleted by then, or new afterwards."""
        name = self._names.get(number)
        row = None if name is None else self._repositories.get(txn, name)
        return None if row is None else row.number

    def keep_as_there(self, txn: WriteTxn, name: RepositoryName, meta: Meta) -> None:
        """Have a repository that was just made keep its bytes as the last one of its name did when all was recorded.

        One of an earlier life held other copies, and holds and lets go of these: it comes to the same.
        """
        row, domain = meta.repositories.get(txn, name), self._domains.get(name)
        if row is not None and domain is not None:
            meta.blobs.put_domain(txn, row.number, domain)


def _domain(body: bytes) -> DomainRow:
    try:
        return msgspec.msgpack.decode(body, type=DomainRow)
    except msgspec.DecodeError as error:
        raise Damaged(f"a row of domains: {error}") from error


def _name(text: bytes) -> RepositoryName:
    try:
        return repository_name(text.decode())
    except (Refusal, UnicodeError) as error:
        raise Damaged(f"a repository has the name {text!r}") from error


def _put_records(new: _New, generation: Generation, numbers: _Numbers) -> None:
    meta, manifest = new.meta, generation.manifest

    def run(txn: WriteTxn, page: list[tuple[int, Record, bytes]]) -> None:
        for number, record, data in page:
            place, writer = number.to_bytes(8, "big"), record.node.encode() + record.incarnation
            meta.journal.records.put(txn, place, data)
            meta.journal.places.put(txn, writer + record.seq.to_bytes(8, "big"), place)
            meta.journal.heads.put(txn, writer, Head(record.seq, record_hash(data), record.hlc))
            change = Change(meta, txn, Dot(record.node, record.incarnation, record.seq), record.hlc, new.now)
            for entry in record.entries:
                if not isinstance(entry, Unknown):
                    apply_entry(change, entry)
                if isinstance(entry, RepositoryPut):
                    numbers.keep_as_there(txn, entry.key.repository, meta)

    for page in _pages(verified_records(generation.archive, manifest, generation.verify)):
        new.write(lambda txn, page=page: run(txn, page))  # type: ignore[misc]  # Called at once.
        new.progress("journal", len(page))
    new.write(lambda txn: meta.journal.cursors.put(txn, b"last", Cursor(manifest.position)))


def _put_links(new: _New, archive: Archive, manifest: Manifest, numbers: _Numbers) -> None:
    """Let repositories see their blobs; one that was damaged at the node is seen by nobody until it is pushed."""
    blobs = new.meta.blobs

    def run(txn: WriteTxn, page: list[Row], only_named: bool) -> None:
        for key, _ in page:
            number, digest = numbers.here(txn, key[:8]), unpacked(key[8:])
            copy = digest if number is None else blobs.copy(txn, number, digest)
            row = blobs.get(txn, copy)
            if number is None or row is None or (row.key and blobs.wrapped_key(txn, number, copy) is None):
                continue
            link = blobs.link(txn, number, digest)
            if not only_named or (link is not None and link.names):
                blobs.show(txn, number, digest, now=new.now)

    for table in ("links", EARLIER):
        for page in _pages(archive.rows(manifest, table)):
            new.write(lambda txn, page=page, table=table: run(txn, page, table == EARLIER))  # type: ignore[misc]
            new.progress(table, len(page))


def _put_carried(new: _New, archive: Archive, manifest: Manifest, numbers: _Numbers) -> None:
    """Put back the rows that no record says anything of; what they say of later records is cut off."""
    meta, tables = new.meta, carried(new.meta)

    unknown = manifest.tables.keys() - tables.keys() - {EARLIER, KEYS}
    if unknown:
        raise NotReady(f"the backup has {min(unknown)}, which this version does not know: use {manifest.software}")

    def run(txn: WriteTxn, name: str, page: list[Row]) -> None:
        for key, body in page:
            if name == "replication-status":
                _put_status(meta, txn, (key, body), manifest.position, numbers)
            elif not _is_beyond(name, key, manifest.position):
                tables[name].put(txn, key, body)

    for name in sorted(manifest.tables.keys() - _BY_THEMSELVES):
        for page in _pages(archive.rows(manifest, name)):
            new.write(lambda txn, name=name, page=page: run(txn, name, page))  # type: ignore[misc]  # Called at once.
            new.progress(name, len(page))

    def certificates(txn: WriteTxn) -> None:
        for node, one in manifest.certificates.items():
            meta.documents.put(txn, CERTIFICATE + node, msgspec.msgpack.encode(one))

    new.write(certificates)


def _is_beyond(name: str, key: bytes, position: int) -> bool:
    """Whether a row says something of records that are not in the backup, or how many there are."""
    return (name == "cursors" and key == b"last") or (
        name == "replication-arrived" and int.from_bytes(key, "big") > position
    )


def _put_status(meta: Meta, txn: WriteTxn, given: Row, position: int, numbers: _Numbers) -> None:
    key, body = given
    destination, _, image = key.partition(b"\0")
    try:
        row = _decode_status(body)
        digest = unpacked(image[8:])
    except (msgspec.DecodeError, KeyError, IndexError) as error:
        raise Damaged(f"a row of replication-status: {error}") from error
    row = msgspec.structs.replace(row, wanted=min(row.wanted, position), done=min(row.done, position))
    number = numbers.here(txn, image[:8])
    if number is not None and meta.images.is_alive(txn, number, digest):
        meta.replicas.put(txn, destination.decode(), number, digest, row)


def _keep_unheld(new: _New) -> None:
    """Have blobs that nothing holds looked at in a day, as everywhere."""
    blobs, last = new.meta.blobs, b""
    while True:
        with new.meta.read() as read:
            page = blobs.rows.items(read, b"", after=last, limit=_BATCH)
        if not page:
            return
        last = page[-1][0]
        unheld = [unpacked(key) for key, row in page if not row.holds]

        def run(txn: WriteTxn, unheld: list[Digest] = unheld) -> None:
            for digest in unheld:
                blobs.keep_for_a_day(txn, digest, now=new.now)

        new.write(run)


def _prove(data: Path, generation: Generation, progress: Progress, map_size: int) -> None:
    """Check the new store as ``entrepot check`` does. What was damaged at the node may show in it again."""
    with (
        open_meta(data / "meta", map_size=map_size, readonly=True) as meta,
        open_chunks(data / "chunks", map_size=map_size, readonly=True) as chunks,
    ):

        def seen(_table: str, rows: int) -> None:
            progress("check", rows)

        own = Own(generation.manifest.registry, generation.manifest.node, generation.verify)
        checked = check_store(StoppedStore(meta, chunks), own, deep=False, progress=seen)
    faults = [one for one in checked.findings if one.severity == "error"]
    if faults and not generation.manifest.damaged:
        raise Damaged(f"what the backup makes is not as it has to be: {faults[0].place} {faults[0].what}")


def _require_room(data: Path, manifest: Manifest) -> None:
    status = os.statvfs(data)
    free = status.f_bavail * status.f_frsize
    needed = manifest.size + manifest.size // 20 + sum(part.size for part in manifest.journal) * 3 + _SPARE
    if free < needed:
        raise StoreFull(
            f"the disk of {data} has {free} bytes free, and generation {manifest.generation} takes some {needed}: make "
            "room, or name a directory elsewhere"
        )


def _hashes(chunk_map: bytes) -> tuple[bytes, ...]:
    return tuple(chunk_map[at : at + 32] for at in range(0, len(chunk_map), 32))


def _pages(items: Iterator[Item], *, size: int = _BATCH) -> Iterator[list[Item]]:
    while page := list(islice(items, size)):
        yield page
