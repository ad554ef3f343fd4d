"""What lies in a backup: names of files, and what their bytes mean.

    BACKUP                    "entrepot backup 1"; another text is refused
    lock                      held by flock while a backup is written
    unfinished                there while one is written, and after one that was killed
    generations/00000001      [manifest, Ed25519 signature over "entrepot-backup-v1" || BLAKE3(manifest)]
    segments/ab/abcd...       [kind, rows]; named by the BLAKE3 of their bytes
    blobs/sha256/ab/abcd...   a blob of more than 16 320 bytes, as it is; named by its digest
    blobs/blake3/ab/abcd...   likewise; or one that is sealed, as it lies at the node, and its chunk map behind it

Everything but the manifests is named by what is in it, so that generations share what they have in common, and nothing
that is written is ever changed. What is sealed at the node is sealed here, and its keys are here as they are wrapped:
whoever has the node's master key, which ``--with-identity`` keeps as well, can open it, also after the repository was
deleted at the node. A manifest names all that belongs to its generation, so its signature vouches for
every byte. Large blobs are plain files, and ``sha256sum`` is all that is needed to look after them.

Rows of a table lie in the order of their keys. A segment ends after a row whose key says so by its hash, not after so
many rows: one row more changes one segment, and the next backup writes that one alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from blake3 import blake3
from msgspec import Meta

from protocol.errors import Damaged
from protocol.oci.digest import Digest, algorithm, unpacked

FORMAT = "entrepot backup 1\n"
VERSION = 1
SEGMENT_SIZE = 2**20  # Bytes after which a segment ends whatever follows.
MAX_SEGMENT = 16 * 2**20  # Bytes; a segment is read whole, and one row of it is a record or a document at most.
MAX_MANIFEST = 256 * 2**20  # Bytes: 3 million blobs are named by some 3 000 segments of 32 bytes each.
_CUT = 1024  # Rows in a segment on average.
_DOMAIN = b"entrepot-backup-v1"

Name: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""BLAKE3 of a segment's bytes."""

Row: TypeAlias = tuple[bytes, bytes]
DamagedKind: TypeAlias = Literal["record", "blob", "row"]

REMEDIES: Mapping[DamagedKind, str] = {
    "record": "look at the disk; `entrepot check` says more. Earlier generations may have the record",
    "blob": "push it again, or pull it from a peer: that replaces what is stored. Then run the backup again",
    "row": "look at the disk; `entrepot check` says more. The next generation tries it again",
}
"""What an operator does about something that could not be read."""


class Damage(msgspec.Struct, frozen=True, array_like=True):
    """Something that could not be read at the node when the backup was made, and is therefore not in it."""

    kind: DamagedKind
    place: str  # What it is called for people.
    what: str
    remedy: str = ""


class JournalPart(msgspec.Struct, frozen=True, array_like=True):
    """A segment with records: rows of u64 number in local order -> the record as on the wire."""

    first: int
    last: int
    size: int  # Bytes of the segment.
    name: Name


class TablePart(msgspec.Struct, frozen=True, array_like=True):
    """A segment with rows of a table."""

    first: bytes  # Its first key.
    name: Name


def kind_of(table: str) -> str:
    """Return the kind of the segments of a table: what is kept of two moments has the same."""
    return table.removesuffix("-earlier")


class Certificates(msgspec.Struct, frozen=True, array_like=True):
    """What says whose signature is on the records of a node. Nothing of it is secret."""

    node: bytes  # PEM
    authority: bytes  # PEM


class BlobPlace(msgspec.Struct, frozen=True, array_like=True):
    """Where the bytes of a blob are; row of the table ``blobs``, whose keys are digests in short form."""

    size: int
    segment: bytes  # Of ``contents``; empty: a file of its own.
    key: bytes = b""  # Of one that is sealed: id of its data key,
    root: bytes = b""  # and the root of its chunk map.
    file: bytes = b""  # Of a large one that is sealed: what its file is called, a digest in short form,
    length: int = 0  # and how long it is.


def file_of(short: bytes, place: BlobPlace) -> tuple[Digest, int]:
    """Return what the file of a large blob is called, and how long it is; *short* is the key of its row."""
    return (unpacked(place.file), place.length) if place.file else (unpacked(short), place.size)


class Manifest(msgspec.Struct, frozen=True):
    """One generation: all that a node had at one moment.

    It holds every record up to *position*, every blob that an image of that state names and that was here, and every
    link by which a repository saw a blob. So everything that was acknowledged before *began* is in it, but for what was
    deleted before *position*.
    """

    version: int
    generation: int
    began: float  # Seconds since 1970, UTC.
    made: float
    registry: str  # account/region
    node: str
    incarnation: bytes
    software: str
    began_at: int  # Number of the last record, in local order, when the backup began.
    position: int  # Of the last one that is in it.
    last_hash: bytes  # Of that record; empty where there is none.
    journal: tuple[JournalPart, ...]
    tables: dict[str, tuple[TablePart, ...]]
    contents: tuple[Name, ...]  # Segments with small blobs: short form of the digest -> bytes.
    blobs: int
    size: int  # Bytes of all blobs.
    certificates: dict[str, Certificates]
    """By node: of everyone who wrote a record."""
    damaged: tuple[Damage, ...] = ()
    identity: bytes = b""  # Segment with the node's keys; empty: they are not in the backup.


_encode = msgspec.msgpack.Encoder().encode
_decode_segment = msgspec.msgpack.Decoder(tuple[str, list[Row]]).decode
_decode_signed = msgspec.msgpack.Decoder(tuple[bytes, Annotated[bytes, Meta(min_length=64, max_length=64)]]).decode
_decode_manifest = msgspec.msgpack.Decoder(Manifest).decode
decode_place = msgspec.msgpack.Decoder(BlobPlace).decode
encode_place = _encode


def segment_name(data: bytes) -> Name:
    """Return what a segment with these bytes is called."""
    return blake3(data).digest()


def encode_segment(kind: str, rows: list[Row]) -> bytes:
    """Return the bytes of a segment; *kind* is the table that its rows are of."""
    return _encode((kind, rows))


def decode_segment(kind: str, data: bytes) -> list[Row]:
    """Return the rows of a segment whose name was compared; ``Damaged`` where it is of another table."""
    try:
        found, rows = _decode_segment(data)
    except msgspec.DecodeError as error:
        raise Damaged(f"a segment of {kind} is none: {error}") from error
    if found != kind:
        raise Damaged(f"a segment of {kind} has rows of {found}")
    return rows


def cut(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows in the parts that become segments; where one ends depends on its last row, and on its size."""
    part: list[Row] = []
    size = 0
    for row in rows:
        part.append(row)
        size += len(row[0]) + len(row[1])
        if size >= SEGMENT_SIZE or int.from_bytes(blake3(row[0]).digest(length=4), "big") % _CUT == 0:
            yield part
            part, size = [], 0
    if part:
        yield part


def message(manifest: bytes) -> bytes:
    """Return what the node signs."""
    return _DOMAIN + blake3(manifest).digest()


def is_message(text: bytes) -> bool:
    """Whether *text* is what a node signs for a backup, and could be nothing else that it signs."""
    return text.startswith(_DOMAIN) and len(text) == len(_DOMAIN) + 32


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the bytes that are signed."""
    return _encode(manifest)


def encode_signed(manifest: bytes, signature: bytes) -> bytes:
    """Return the file of a generation."""
    return _encode((manifest, signature))


def decode_signed(data: bytes) -> tuple[Manifest, bytes, bytes]:
    """Return the manifest, its bytes and the signature, which is still to be verified; ``Damaged`` where it is none."""
    try:
        body, signature = _decode_signed(data)
        manifest = _decode_manifest(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Damaged(f"the manifest is none: {error}") from error
    if manifest.version != VERSION:
        raise Damaged(f"the manifest has version {manifest.version}, and this program reads {VERSION}")
    return manifest, body, signature


def generation_path(root: Path, generation: int) -> Path:
    """Return where the manifest of a generation lies."""
    return root / "generations" / f"{generation:08}"


def segment_path(root: Path, name: Name) -> Path:
    """Return where a segment lies."""
    text = name.hex()
    return root / "segments" / text[:2] / text


def blob_path(root: Path, digest: Digest) -> Path:
    """Return where a large blob lies."""
    text = digest.partition(":")[2]
    return root / "blobs" / algorithm(digest) / text[:2] / text


Progress: TypeAlias = Callable[[str, int], None]
"""``progress(phase, amount)``: told how much more was done: of ``blobs`` bytes, of every other phase rows."""
