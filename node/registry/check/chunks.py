"""Chunks: those of each blob and upload are there and as long as they have to be; hashed where that is asked for.

Without reading a chunk, LMDB tells how long it is. Manifests that lie in chunks are always read; with *deep* all blobs
are: each chunk is compared with the map, and the digest of the whole is computed again, at the speed of the disk or of
one core, some 0.5 GB/s.
"""

from collections.abc import Callable, Collection

from blake3 import blake3

from node.registry.check.findings import Kind
from node.registry.check.places import readable
from node.registry.check.walk import KeyOf
from node.store.blobs import BlobRow, Chunked
from node.store.chunks import Chunks, chunk_count, stored_length
from node.store.copies import digest_of_copy, is_copy, unpacked_copy
from node.store.meta import Meta
from node.store.sealedmap import opened_map, plaintext
from node.store.table import ReadTxn
from node.store.uploads import UploadRow
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import Damaged
from protocol.oci.digest import algorithm, hasher

_PAGE = 1000  # Blobs, uploads or chunks that are looked at together.


class ChunkCheck:
    """What the parts of this check are given."""

    def __init__(
        self,
        meta: Meta,
        chunks: Chunks,
        tell: Callable[[Kind, str, str], None],
        seen: Callable[[str, int], None],
        key_of: KeyOf,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """Look at the chunks of a store.

        Args:
            meta: what says which chunks there are.
            chunks: those there are.
            tell: told what is wrong.
            seen: told how much was looked at.
            key_of: how what is sealed is opened.
            pause: called between two blobs and two chunks, for a store that is in use.
        """
        self.meta, self.chunks, self.tell, self.seen, self.pause = meta, chunks, tell, seen, pause
        self.key_of = key_of

    def blobs(self, manifests: Collection[int], *, deep: bool) -> None:
        """Look at the chunks of every blob that has some; read those of *manifests*, with *deep* those of all."""
        numbers, last = self.meta.blobs.numbers, b""
        while True:
            with self.meta.read() as txn:
                page = numbers.checked(txn, after=last, limit=_PAGE)
            if not page:
                return
            last = page[-1][0]
            for key, short in page:
                if isinstance(short, bytes) and is_copy(short):
                    self._blob(int.from_bytes(key, "big"), short, read=deep or int.from_bytes(key, "big") in manifests)

    def uploads(self) -> None:
        """Look for the chunks of every upload: all that was acknowledged."""
        last = b""
        while True:
            with self.meta.read() as txn:
                page = self.meta.uploads.rows.checked(txn, after=last, limit=_PAGE)
            if not page:
                return
            last = page[-1][0]
            for key, row in page:
                if not isinstance(row, Damaged) and row.number:
                    self.pause()
                    whole = row.size // CHUNK_SIZE * CHUNK_SIZE if row.tail else row.size
                    wrong = self._missing(row.number, whole, may_be_longer=True)
                    if not wrong and row.tail:
                        wrong = self._missing(row.tail, row.size - whole, may_be_longer=False)
                    if wrong and self._is_still(key, row):
                        self.tell("upload", f"upload {key.hex()}", wrong)

    def orphans(self, below: int = 2**63) -> None:
        """Count the numbers *below* that no blob and no upload has."""
        kept, above, found = self._of_uploads(), 0, 0
        while True:
            with self.chunks.read() as txn:
                numbers = self.chunks.numbers(txn, above=above, below=below, limit=_PAGE)
            if not numbers:
                break
            above = numbers[-1]
            with self.meta.read() as meta_txn:
                found += sum(not (one in kept or self.meta.blobs.is_numbered(meta_txn, one)) for one in numbers)
        if found:
            self.tell("orphan", "chunks", f"{found} numbers have chunks that no blob and no upload names")

    def _blob(self, number: int, short: bytes, *, read: bool) -> None:
        try:
            with self.meta.read() as txn:
                row = self.meta.blobs.rows.get(txn, short)
                if row is None or row.number != number:
                    return
                content = self._content(txn, row, short) if read else None
        except Damaged:
            return  # Told by the walk over ``meta``.
        self.pause()
        wrong = self._missing(number, row.size, may_be_longer=False)
        if not wrong and content is not None and len(content.hashes) == 32 * chunk_count(row.size):
            wrong = self._read(content, short)
        if wrong and self._is_whole(number):
            self.tell("chunk", readable(short), wrong)

    def _content(self, txn: ReadTxn, row: BlobRow, short: bytes) -> Chunked | None:
        """Return a blob with its map; ``None`` where it is sealed and cannot be opened now."""
        if not row.key:
            return Chunked(row, self.meta.blobs.hashes(txn, row))
        key = self.key_of(txn, unpacked_copy(short), row)
        parts = self.meta.blobs.map_parts(txn, row)
        return None if key is None else Chunked(row, *opened_map(key, row.size, parts), key)

    def _is_whole(self, number: int) -> bool:
        """Whether a blob still has this number: else its chunks may have been going while they were looked at."""
        with self.meta.read() as txn:
            return self.meta.blobs.is_numbered(txn, number)

    def _is_still(self, key: bytes, row: UploadRow) -> bool:
        """Whether an upload is as it was; one that ended or went had chunks that were going."""
        with self.meta.read() as txn:
            try:
                return self.meta.uploads.get(txn, key) == row
            except Damaged:
                return False

    def _missing(self, number: int, size: int, *, may_be_longer: bool) -> str:
        """Say what is wrong with the chunks of a number by their lengths, or nothing."""
        count, index = chunk_count(size), 0
        while True:
            with self.chunks.read() as txn:
                page = self.chunks.lengths(txn, number, first=index, limit=_PAGE)
            self.seen("chunks", len(page))
            for found, length in page:
                if found >= count:
                    return "" if may_be_longer and index == count else f"has chunk {found}, and {count} chunks"
                expected = stored_length(min(CHUNK_SIZE, size - found * CHUNK_SIZE))
                if found != index:
                    return f"chunk {index} of {count} is missing"
                if length < expected or (length > expected and not may_be_longer):
                    return f"chunk {found} of {count} has {length} bytes instead of {expected}"
                index += 1
            if len(page) < _PAGE:
                return f"chunk {index} of {count} is missing" if index < count else ""

    def _read(self, content: Chunked, short: bytes) -> str:
        """Say what is wrong with the bytes of a blob, or nothing."""
        row, digest = content.row, digest_of_copy(unpacked_copy(short))
        state = hasher(algorithm(digest))
        for index in range(chunk_count(row.size)):
            length = min(CHUNK_SIZE, row.size - index * CHUNK_SIZE)
            try:
                data = plaintext(content, index, self.chunks.load(row.number, index, length))
            except Damaged as damage:
                return str(damage)
            self.seen("bytes", length)
            if blake3(data).digest() != content.hashes[index * 32 : index * 32 + 32]:
                return f"chunk {index} of {chunk_count(row.size)} does not match its hash"
            state.update(data)
            self.pause()
        if state.hexdigest() != digest.partition(":")[2]:
            return "its chunks match their map, and make another digest"
        return ""

    def _of_uploads(self) -> set[int]:
        kept: set[int] = set()
        last = b""
        while True:
            with self.meta.read() as txn:
                page = self.meta.uploads.rows.checked(txn, after=last, limit=_PAGE)
            if not page:
                return kept
            last = page[-1][0]
            for _, row in page:
                if not isinstance(row, Damaged):
                    kept |= {row.number, row.tail}
