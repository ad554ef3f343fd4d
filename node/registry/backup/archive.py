"""Reading a backup, without a node: every byte is compared with its name before anything is made of it.

The names come from a manifest, and that is signed by the node. Who says which key is the node's is handed in
(``Vouch``), for certificates are the peers' business.

For repair: ``find_content`` and ``find_chunk`` read what a store has lost of a blob out of a backup, ``find_record``
one record. They say ``None`` where the backup has no such thing, or has it damaged: what they return is right.
"""

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from node.registry.backup.layout import (
    FORMAT,
    MAX_MANIFEST,
    MAX_SEGMENT,
    BlobPlace,
    Certificates,
    JournalPart,
    Manifest,
    Name,
    Row,
    blob_path,
    decode_place,
    decode_segment,
    decode_signed,
    generation_path,
    kind_of,
    message,
    segment_name,
    segment_path,
)
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import BackupUnknown, Damaged, NotReady, PeerFault
from protocol.oci.digest import Digest, algorithm, digest_of, hasher, packed
from protocol.sync.record import FIRST, Record, Verify, follows, open_record, record_hash

_GENERATION = re.compile("[0-9]{8,12}")  # What ``generation_path`` calls one; others put other files there.

Vouch: TypeAlias = Callable[[str, Mapping[str, Certificates]], Verify]
"""``vouch(registry, certificates)``: returns what verifies the signatures of those nodes, each certificate of which was
issued by the authority beside it, for this registry; ``Damaged`` where one was not."""


class Archive:
    """A backup that is read."""

    def __init__(self, root: Path) -> None:
        """Nothing is read yet; *root* holds a backup."""
        self.root = root
        self._last: tuple[Name, list[Row]] = (b"", [])

    def manifest(self, generation: int) -> Manifest:
        """Return a manifest as it stands there, its signature not verified; ``Damaged`` where it is none."""
        return self._signed(generation)[0]

    def trusted(self, generation: int, vouch: Vouch) -> tuple[Manifest, Verify]:
        """Return a manifest that its node signed, and what verifies the records in it.

        Raises:
            Damaged: it is another one than the node wrote.
        """
        manifest, body, signature = self._signed(generation)
        if manifest.generation != generation:
            raise Damaged(f"the manifest of generation {generation} is that of {manifest.generation}")
        verify = vouch(manifest.registry, manifest.certificates)
        signer = Record(0, manifest.registry, manifest.node, manifest.incarnation, 0, FIRST, 0, ())
        if not verify(signer, message(body), signature):
            raise Damaged(f"the manifest of generation {generation} is not signed by node {manifest.node}")
        return manifest, verify

    def segment(self, kind: str, name: Name) -> list[Row]:
        """Return the rows of a segment; ``Damaged`` where it is missing or has other bytes."""
        if self._last[0] == name:
            return self._last[1]
        data = _read(segment_path(self.root, name), MAX_SEGMENT)
        if segment_name(data) != name:
            raise Damaged(f"segment {name.hex()} of {kind} has other bytes than were written")
        self._last = name, decode_segment(kind, data)
        return self._last[1]

    def rows(self, manifest: Manifest, table: str) -> Iterator[Row]:
        """Yield the rows of a table, in the order of their keys."""
        for part in manifest.tables.get(table, ()):
            yield from self.segment(kind_of(table), part.name)

    def blob(self, digest: Digest, size: int) -> Iterator[bytes]:
        """Yield a large blob chunk by chunk; what came is right only where ``Damaged`` is not raised at the end.

        Raises:
            Damaged: as said, or it is missing, or has another size.
        """
        state, path, left = hasher(algorithm(digest)), blob_path(self.root, digest), size
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Damaged(f"blob {digest} cannot be read: {error.strerror}") from error
        try:
            if os.fstat(fd).st_size != size:
                raise Damaged(f"blob {digest} has {os.fstat(fd).st_size} bytes instead of {size}")
            while left:
                data = _pread(fd, min(CHUNK_SIZE, left), size - left, digest)
                state.update(data)
                left -= len(data)
                yield data
        finally:
            os.close(fd)
        if state.hexdigest() != digest.partition(":")[2]:
            raise Damaged(f"blob {digest} has other bytes than were written")

    def place(self, manifest: Manifest, digest: Digest) -> BlobPlace | None:
        """Return where a blob is, ``None`` where the generation has none of that digest."""
        short, parts = packed(digest), manifest.tables.get("blobs", ())
        at = bisect_right(parts, short, key=lambda part: part.first)
        rows = self.segment("blobs", parts[at - 1].name) if at else []
        return next((decode_place(body) for key, body in rows if key == short), None)

    def _signed(self, generation: int) -> tuple[Manifest, bytes, bytes]:
        return decode_signed(_read(generation_path(self.root, generation), MAX_MANIFEST))


def open_archive(root: Path) -> Archive:
    """Return the backup in the directory *root*.

    Raises:
        BackupUnknown: there is none.
        NotReady: its format is not known here.
    """
    if not (root / "BACKUP").exists():
        raise BackupUnknown(f"there is no backup in {root}")
    read_format(root)
    if not generations(root):
        raise BackupUnknown(f"the backup in {root} has no generation: the run that began it did not come to its end")
    return Archive(root)


def read_format(root: Path) -> None:
    """Raise ``NotReady`` where the format of a backup is not known here."""
    try:
        found = (root / "BACKUP").read_bytes()[:100].decode("ascii", "replace")
    except OSError as error:
        raise NotReady(f"{root}/BACKUP cannot be read: {error.strerror}") from error
    if found != FORMAT:
        raise NotReady(
            f"{root} is in format {found.strip()!r}, and this version reads {FORMAT.strip()!r}: use that one"
        )


def generations(root: Path) -> list[int]:
    """Return the numbers of all generations, the oldest first."""
    folder = root / "generations"
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if _GENERATION.fullmatch(path.name))


def records(archive: Archive, manifest: Manifest) -> Iterator[tuple[int, bytes]]:
    """Yield the records of a generation with their numbers, in local order; none is verified."""
    for part in manifest.journal:
        for key, data in archive.segment("journal", part.name):
            yield int.from_bytes(key, "big"), data


def verified_records(archive: Archive, manifest: Manifest, verify: Verify) -> Iterator[tuple[int, Record, bytes]]:
    """Yield the records of a generation, each signed by its writer and following the one before it.

    Where the manifest says that a record was damaged at the node, the next one of its writer need not follow any.

    Raises:
        Damaged: one is not what it has to be.
    """
    last: dict[bytes, tuple[Record, bytes]] = {}
    has_gaps = any(one.kind == "record" for one in manifest.damaged)
    position = 0
    for number, data in records(archive, manifest):
        if number <= position or (number != position + 1 and position and not has_gaps):
            raise Damaged(f"record {number} comes after record {position}")
        position = number
        try:
            record = open_record(data, verify)
        except PeerFault as fault:
            raise Damaged(f"record {number}: {fault}") from fault
        writer = record.node.encode() + record.incarnation
        previous, hash_before = last.get(writer, (None, FIRST))
        if record.registry != manifest.registry or not (
            follows(previous, hash_before, record) or (has_gaps and (previous is None or record.seq > previous.seq))
        ):
            raise Damaged(f"record {number} does not follow the one of {record.node} before it")
        last[writer] = record, record_hash(data)
        yield number, record, data
    if position != manifest.position and not has_gaps:
        raise Damaged(f"the last record is {position} instead of {manifest.position}")


def blob_rows(archive: Archive, manifest: Manifest) -> Iterator[tuple[bytes, BlobPlace]]:
    """Yield where each blob of a generation is, by digests in short form."""
    for key, body in archive.rows(manifest, "blobs"):
        try:
            yield key, decode_place(body)
        except msgspec.DecodeError as error:
            raise Damaged(f"the place of blob {key.hex()}: {error}") from error


def find_content(archive: Archive, digest: Digest) -> bytes | None:
    """Return a small blob that any generation has, or ``None``."""
    for generation in reversed(generations(archive.root)):
        try:
            place = archive.place(archive.manifest(generation), digest)
            if place is not None and place.segment:
                found = dict(archive.segment("contents", place.segment)).get(packed(digest))
                if found is not None and digest_of(found, algorithm(digest)) == digest:
                    return found
        except Damaged:
            continue
    return None


def find_chunk(archive: Archive, digest: Digest, index: int, is_right: Callable[[bytes], bool]) -> bytes | None:
    """Return chunk *index* of a large blob, or ``None``.

    Args:
        archive: where to look.
        digest: of the blob.
        index: of the chunk, from 0; all but the last have ``CHUNK_SIZE`` bytes.
        is_right: compares a chunk with its hash in the chunk map, for the file says nothing of a part of it.
    """
    try:
        with blob_path(archive.root, digest).open("rb") as file:
            data = os.pread(file.fileno(), CHUNK_SIZE, index * CHUNK_SIZE)
    except OSError:
        return None
    return data if is_right(data) else None


def find_record(archive: Archive, position: int, is_right: Callable[[bytes], bool]) -> bytes | None:
    """Return a record by its number in the local order of the node, or ``None``.

    Args:
        archive: of this very node.
        position: of the record.
        is_right: verifies it: the hash that the next record names, or the signature.
    """
    for generation in reversed(generations(archive.root)):
        try:
            for part in archive.manifest(generation).journal:
                found = _of_part(archive, part, position)
                if found is not None and is_right(found):
                    return found
        except Damaged:
            continue
    return None


def _of_part(archive: Archive, part: JournalPart, position: int) -> bytes | None:
    if not part.first <= position <= part.last:
        return None
    return dict(archive.segment("journal", part.name)).get(position.to_bytes(8, "big"))


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise Damaged(f"{path.parent.name}/{path.name} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise Damaged(f"{path.parent.name}/{path.name} has more than {limit} bytes")
    return data


def _pread(fd: int, length: int, at: int, digest: Digest) -> bytes:
    try:
        data = os.pread(fd, length, at)
    except OSError as error:
        raise Damaged(f"blob {digest} cannot be read: {error.strerror}") from error
    if len(data) != length:
        raise Damaged(f"blob {digest} ends early")
    return data
