"""What this node remembers of images that no record says: when they were pulled last, and what became of a scan."""

import lmdb
import msgspec

from node.store.table import ReadTxn, Table, WriteTxn
from protocol.oci.digest import Digest, packed
from protocol.oci.names import RepositoryName


class ImageNote(msgspec.Struct, frozen=True, array_like=True):
    """Times are seconds since 1970, UTC; 0: never."""

    pulled: float = 0.0
    scanned: float = 0.0  # When the last scan was started.
    status: str = ""  # What became of it, in ECR's words.
    reason: str = ""  # For people.


class Notes:
    """key: repository, NUL, digest in short form -> ``ImageNote``.

    By name and not by number, so that a restore, which gives other numbers, keeps it. What was noted before the last
    push of an image counts no more: who reads a note compares.
    """

    def __init__(self, env: "lmdb.Environment") -> None:
        self.rows = Table(env, "image-notes", ImageNote)

    def get(self, txn: ReadTxn, name: RepositoryName, digest: Digest) -> ImageNote:
        """Return what is noted of an image; an empty note where nothing is."""
        return self.rows.get(txn, note_key(name, digest)) or ImageNote()

    def between(self, txn: ReadTxn, name: RepositoryName, first: bytes, last: bytes) -> dict[bytes, ImageNote]:
        """Return the notes of a repository's images from *first* to *last*, short forms, by the same."""
        start = name.encode() + b"\0"
        keys = self.rows.bytes.span(txn, start + first, start + last + b"\xff")
        found = ((key[len(start) :], self.rows.get(txn, key)) for key in keys)
        return {short: note for short, note in found if note is not None}

    def put(self, txn: WriteTxn, name: RepositoryName, digest: Digest, note: ImageNote) -> None:
        """Add or replace."""
        self.rows.put(txn, note_key(name, digest), note)

    def delete(self, txn: WriteTxn, name: RepositoryName, digest: Digest) -> None:
        """Forget what is noted: the image went."""
        self.rows.delete(txn, note_key(name, digest))


def note_key(name: RepositoryName, digest: Digest) -> bytes:
    """Return the key of a note."""
    return name.encode() + b"\0" + packed(digest)
