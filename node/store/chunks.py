"""The ``chunks`` environment: blobs too large for ``meta``, cut into chunks.

Theory of operation
===================
A blob that is being written has a number; its chunks lie under (number, index) from the moment they arrive, and
finishing it moves nothing. A full chunk fills exactly 256 pages with the engine's page header. The last one is
padded to one of five sizes, so that the holes that deletes leave fit what comes next.

The number is never used twice while the node runs, and after a start only above all that is on disk: so a number in
memory always means the same bytes.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import lmdb

from node.store.table import MAX_READERS, WriteTxn
from node.store.tree import HEAD, PAGE, Tree, head_of
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import Damaged, StoreReadOnly

ViewTxn: TypeAlias = "lmdb.Transaction[memoryview]"
"""A read whose values are views of the map: none leaves the function that asked for it."""

MAP_SIZE = 2**40  # Bytes of address space set aside, not of disk. Never changed while the node runs.
DELETE_BATCH = 16  # Chunks per transaction: about 2 ms, and pages freed in one are only reusable in a later one.
_TAIL_SIZES = tuple(pages * 4096 - 16 for pages in (1, 4, 16, 64, 256))  # Bytes.


class Chunks:
    """key: u64 blob number, u32 chunk index, big-endian -> the chunk's bytes, the last one padded with zeros."""

    def __init__(self, env: "lmdb.Environment", data: Path, fd: int, tree_fd: int) -> None:
        self.env = env
        self.fd = fd
        """The file that the extents lie in, open for reading."""
        self._db = env.open_db(b"chunks")
        self._data = data
        self._tree = Tree(tree_fd, b"chunks")

    def read(self) -> ViewTxn:
        """Begin a read, for a ``with`` that holds no ``await``: a reader pins free pages.

        Raises:
            StoreReadOnly: the last page of a commit could not be written, and the node is about to open the store anew.
        """
        try:
            return self.env.begin(buffers=True)
        except lmdb.PanicError as error:
            raise StoreReadOnly("the disk failed; the store is being opened anew") from error

    def put(self, txn: WriteTxn, number: int, index: int, data: bytes | bytearray | memoryview) -> None:
        """Add or replace one chunk."""
        room = stored_length(len(data))
        if room != len(data):
            data = bytes(data) + bytes(room - len(data))
        txn.put(_key(number, index), data, db=self._db)

    def offsets(self, txn: ViewTxn, number: int, first: int, count: int) -> list[int]:
        """Return where chunks *first* to *first* + *count* - 1 begin in the file; ``LookupError`` if one is missing."""
        places = self._tree.places(txn, _key(number, first), count)
        for index in range(first, first + count):
            if index - first >= len(places) or places[index - first][0] != _key(number, index):
                raise LookupError(f"chunk {index} of blob {number}")
        return [offset for _, offset in places]

    def rewrite(self, number: int, index: int, data: bytes) -> None:
        """Write the right bytes of a chunk that is damaged into the place that it has; durable when it returns. Blocks.

        The caller holds a lease, so that the place stays the chunk's. What somebody is sending of it becomes right. A
        sector that cannot be read is given another place by the disk when it is written. ``LookupError``: it is gone.
        """
        with self.read() as txn:
            [offset] = self.offsets(txn, number, index, 1)
        room = stored_length(len(data))
        self._write(offset - HEAD, head_of(offset, room) + data + bytes(room - len(data)))

    def lengths(self, txn: ViewTxn, number: int, *, first: int, limit: int) -> list[tuple[int, int]]:
        """Return index and stored length, with padding, of at most *limit* chunks from *first* on; reads no chunk."""
        found: list[tuple[int, int]] = []
        prefix = number.to_bytes(8, "big")
        with txn.cursor(self._db) as cursor:
            here = cursor.set_range(_key(number, first))
            while here and len(found) < limit:
                key = bytes(cursor.key())
                if not key.startswith(prefix):
                    break
                found.append((int.from_bytes(key[8:], "big"), len(cursor.value())))
                here = cursor.next()
        return found

    def load(self, number: int, index: int, length: int) -> bytes:
        """Return the first *length* bytes of a chunk; ``Damaged`` where they cannot be read. Reads the disk."""
        with self.read() as txn:
            try:
                [offset] = self.offsets(txn, number, index, 1)
            except LookupError as error:
                raise Damaged(str(error)) from error
        return self.load_at(offset, length)

    def load_at(self, offset: int, length: int) -> bytes:
        """Return bytes of the file, or raise ``Damaged``. Reads the disk where they are not in the page cache."""
        try:
            data = os.pread(self.fd, length, offset)
        except OSError as error:
            raise Damaged(f"cannot read the store: {error}") from error
        if len(data) != length:
            raise Damaged(f"the store ends {length - len(data)} bytes early")
        return data

    def delete_some(self, txn: WriteTxn, numbers: Sequence[int]) -> int:
        """Delete up to ``DELETE_BATCH`` chunks of these blobs, in order; return how many of them have none left."""
        deleted = 0
        self._mend_heads(numbers)
        with txn.cursor(self._db) as cursor:
            for done, number in enumerate(numbers):
                prefix = number.to_bytes(8, "big")
                while cursor.set_range(prefix) and bytes(cursor.key()[:8]) == prefix:
                    if deleted == DELETE_BATCH:
                        return done
                    cursor.delete()
                    deleted += 1
        return len(numbers)

    def numbers(self, txn: ViewTxn, *, above: int, below: int, limit: int) -> list[int]:
        """Return at most *limit* numbers between *above* and *below*, both excluded, that have a chunk, in order."""
        found: list[int] = []
        while len(found) < limit:
            next_one = self._tree.places(txn, (above + 1).to_bytes(8, "big"), 1)
            if not next_one:
                break
            above = int.from_bytes(next_one[0][0][:8], "big")
            if above >= below:
                break
            found.append(above)
        return found

    def last_number(self, txn: ViewTxn) -> int:
        """Return the greatest number that has a chunk, or 0."""
        last = self._tree.last_key(txn)
        return int.from_bytes(last[:8], "big")

    def count(self, txn: ViewTxn) -> int:
        """Return how many chunks there are; constant cost."""
        return int(txn.stat(self._db)["entries"])

    def _mend_heads(self, numbers: Sequence[int]) -> None:
        """Make the first pages readable of what is deleted next: LMDB looks at them through the map."""
        left = DELETE_BATCH
        with self.read() as txn:
            for number in numbers:
                places = self._tree.places(txn, number.to_bytes(8, "big"), left)
                for key, offset in places:
                    if int.from_bytes(key[:8], "big") == number and not _is_readable(self.fd, offset - HEAD):
                        self._write(offset - HEAD, bytes(PAGE))
                left -= len(places)
                if left <= 0:
                    return

    def _write(self, offset: int, data: bytes) -> None:
        fd = os.open(self._data, os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = os.pwrite(fd, data, offset)
            os.fdatasync(fd)
        except OSError as error:
            raise Damaged(f"the store cannot be written: {error}") from error
        finally:
            os.close(fd)
        if written != len(data):
            raise Damaged(f"the store took {written} of {len(data)} bytes")


@contextmanager
def open_chunks(path: Path, *, map_size: int = MAP_SIZE, readonly: bool = False, sync: bool = True) -> Iterator[Chunks]:
    """Open the environment in the directory *path*, which exists; close it at the end. Durable, as ``open_meta``."""
    data = path / "data.mdb"
    with (
        lmdb.open(
            str(path),
            map_size=map_size,
            max_dbs=4,
            max_readers=MAX_READERS,
            readonly=readonly,
            sync=sync,
            lib_version=0,
        ) as env,
        data.open("rb") as file,
        data.open("rb") as tree,
    ):
        # A page of the tree is read alone: what lies behind it in the file are chunks that nobody asked for.
        os.posix_fadvise(tree.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        yield Chunks(env, data, file.fileno(), tree.fileno())


def chunk_count(size: int) -> int:
    """Return how many chunks *size* bytes make."""
    return -(-size // CHUNK_SIZE)


def stored_length(length: int) -> int:
    """Return how long a chunk of *length* bytes is with its padding."""
    return next(size for size in _TAIL_SIZES if size >= length)


def _key(number: int, index: int) -> bytes:
    return number.to_bytes(8, "big") + index.to_bytes(4, "big")


def _is_readable(fd: int, offset: int) -> bool:
    try:
        return len(os.pread(fd, PAGE, offset)) == PAGE
    except OSError:
        return False
