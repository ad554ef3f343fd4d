"""The whole store: opened once, under a lock, with the version of its format checked first."""

import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import lmdb
import trio

from node.store.chunks import MAP_SIZE, Chunks, open_chunks
from node.store.extents import Leases, Verified
from node.store.ingest import Sink
from node.store.meta import Meta, open_meta
from node.store.pages import BALLAST, Pages, allocate_lock
from node.store.readers import Readers
from node.store.space import RESERVE, Space
from node.store.writer import Writer, open_writer
from protocol.errors import Damaged, NotReady

FORMAT = "entrepot 1\n"
"""What the file ``FORMAT`` says. A node refuses every other text: it would misread what lies beside it."""

_CHUNKS_PER_COMMIT = 16  # 16 MiB: as fast as plain files with fsync.


@dataclass(frozen=True, slots=True)
class Store:
    """Everything on disk."""

    path: Path
    meta: Meta
    writer: Writer
    chunks: Chunks
    chunk_writer: Writer
    sink: Sink
    leases: Leases
    verified: Verified
    space: Space
    readers: dict[str, Readers]
    """By environment: ``meta``, ``chunks``."""
    first_number: int
    """Blob numbers from here on were given since the start: what lies below and no row names is left over."""

    async def delete_chunks(self, number: int) -> None:
        """Free the chunks of a number that no row names, in small transactions; 0 has none."""
        self.verified.forget(number)
        more = bool(number)
        while more:
            more = await self.chunk_writer.write(lambda txn: self.chunks.delete_some(txn, number))


@dataclass(frozen=True, slots=True)
class StoppedStore:
    """What lies on the disk of a node that is not running: it is looked at, and nothing is written."""

    meta: Meta
    chunks: Chunks


@asynccontextmanager
async def open_store(path: Path, *, map_size: int = MAP_SIZE, reserve: int = RESERVE) -> AsyncIterator[Store]:
    """Open the store in the directory *path*, which exists and may be empty; writes end with the block.

    Raises:
        NotReady: another process holds it, its format is not known here, or it cannot be read or written.
    """
    with _lock(path):
        _check_format(path)
        for name in ("meta", "chunks"):
            (path / name).mkdir(mode=0o700, exist_ok=True)
        with ExitStack() as opened:
            try:
                for name in ("meta", "chunks"):
                    allocate_lock(path / name)
                meta = opened.enter_context(open_meta(path / "meta", map_size=map_size))
                chunks = opened.enter_context(open_chunks(path / "chunks", map_size=map_size))
                meta.env.reader_check()
                chunks.env.reader_check()
            except (lmdb.Error, OSError) as error:
                raise NotReady(
                    f"the store in {path} cannot be opened: {error}; look at the disk, and restore a copy of it"
                ) from error
            space = opened.enter_context(_space(path, meta, chunks, reserve))
            async with (
                open_writer(meta.env, nested=True) as writer,
                open_writer(chunks.env, nested=False, group=_CHUNKS_PER_COMMIT) as chunk_writer,
            ):
                first = _first_number(meta, chunks)
                sink = Sink(chunks, chunk_writer, space, _numbers(first))
                yield Store(
                    path,
                    meta,
                    writer,
                    chunks,
                    chunk_writer,
                    sink,
                    Leases(),
                    Verified(chunks, meta.noticed),
                    space,
                    {"meta": Readers(meta.env, trio.current_time), "chunks": Readers(chunks.env, trio.current_time)},
                    first,
                )


@contextmanager
def _space(path: Path, meta: Meta, chunks: Chunks, reserve: int) -> Iterator[Space]:
    ballast = BALLAST if reserve else 0
    with (
        closing(Pages(meta.env, path / "meta", ballast=ballast)) as meta_pages,
        closing(Pages(chunks.env, path / "chunks", ballast=ballast)) as chunk_pages,
    ):
        space = Space(path, meta=meta_pages, chunks=chunk_pages, reserve=reserve)
        space.hold_ballast()
        yield space


@contextmanager
def open_stopped(path: Path, *, map_size: int = MAP_SIZE) -> Iterator[StoppedStore]:
    """Open the store in the directory *path* to look at it; no node can start on it before the block ends.

    Raises:
        NotReady: another process holds it, its format is not known here, or there is none that is whole.
        Damaged: in the block, where LMDB cannot find its way any more.
    """
    if not (path / "FORMAT").exists():
        raise NotReady(f"there is no store in {path}")
    with _lock(path):
        _check_format(path)
        with ExitStack() as opened:
            try:
                meta = opened.enter_context(open_meta(path / "meta", map_size=map_size, readonly=True))
                chunks = opened.enter_context(open_chunks(path / "chunks", map_size=map_size, readonly=True))
            except (lmdb.Error, OSError) as error:
                raise NotReady(f"the store in {path} is not whole: {error}; restore a copy of it") from error
            try:
                yield StoppedStore(meta, chunks)
            except lmdb.Error as error:
                raise Damaged(f"the pages of {path} make no sense: {error}; restore a copy of it") from error


def _numbers(first: int) -> Callable[[], int]:
    return count(first).__next__


def _first_number(meta: Meta, chunks: Chunks) -> int:
    with meta.read() as txn:
        named = int.from_bytes(meta.blobs.numbers.last_key(txn) or b"", "big")
    with chunks.read() as txn:
        return 1 + max(named, chunks.last_number(txn))


class _lock:  # noqa: N801 - reads as a verb where it is used.
    """Hold ``lock`` in the directory by flock for as long as the block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        try:
            self._fd = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotReady(
                f"cannot write to {self._path}: {error.strerror}; give the node a directory of its own"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise NotReady(
                f"another node runs on {self._path}; stop it first, or give this one another --data"
            ) from error

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _check_format(path: Path) -> None:
    file = path / "FORMAT"
    if not file.exists():
        if (path / "meta").exists():
            raise NotReady(f"{path} has a store without a FORMAT file; restore it from a backup")
        partial = path / "FORMAT.new"
        with partial.open("w") as out:
            out.write(FORMAT)
            out.flush()
            os.fsync(out.fileno())
        partial.rename(file)
        return
    found = file.read_text()
    if found != FORMAT:
        raise NotReady(f"{path} is in format {found.strip()!r} and this version reads {FORMAT.strip()!r}: run that one")
