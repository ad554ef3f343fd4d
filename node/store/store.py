"""The whole store: opened once, under a lock, with the version of its format checked first."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import lmdb
import trio

from node.store.chunks import MAP_SIZE, Chunks, open_chunks
from node.store.extents import Leases, Verified
from node.store.format import prepare, require_current
from node.store.ingest import Sink
from node.store.lock import held
from node.store.meta import Meta, open_meta
from node.store.pages import BALLAST, Pages, allocate_lock
from node.store.readers import Readers
from node.store.space import RESERVE, Space
from node.store.whole import require_sound
from node.store.writer import Writer, open_writer
from protocol.errors import Damaged, NotReady

_NUMBERS_AT_ONCE = 64  # Whose chunks are looked for in one transaction: most have one, and some have none.
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

    async def delete_chunks(self, *numbers: int) -> None:
        """Free the chunks of numbers that no row names, in small transactions; 0 has none."""
        for number in numbers:
            self.verified.forget(number)
        left = [number for number in numbers if number]
        while left:
            some = left[:_NUMBERS_AT_ONCE]
            done = await self.chunk_writer.write(partial(self.chunks.delete_some, numbers=some))
            left = left[done:]


@dataclass(frozen=True, slots=True)
class StoppedStore:
    """What lies on the disk of a node that is not running: it is looked at, and nothing is written."""

    meta: Meta
    chunks: Chunks


@asynccontextmanager
async def open_store(path: Path, *, map_size: int = MAP_SIZE, reserve: int = RESERVE) -> AsyncIterator[Store]:
    """Open the store in the directory *path*, which exists and may be empty; writes end with the block.

    Raises:
        NotReady: another process holds it, its format is not known here, its files are not whole, or it cannot be
            read or written; the message says what to do.
    """
    with held(path):
        prepare(path)
        for name in ("meta", "chunks"):
            (path / name).mkdir(mode=0o700, exist_ok=True)
            require_sound(path / name)
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
                    f"the store in {path} cannot be opened: {error}; look at the disk, and `entrepot restore` a backup"
                ) from error
            space = opened.enter_context(_space(path, meta, chunks, reserve))
            async with (
                open_writer(meta.env, nested=True, after=space.meta.hold) as writer,
                open_writer(
                    chunks.env, nested=False, group=_CHUNKS_PER_COMMIT, after=space.chunks.hold
                ) as chunk_writer,
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
    require_current(path)
    with held(path):
        for name in ("meta", "chunks"):
            require_sound(path / name)
        with ExitStack() as opened:
            try:
                meta = opened.enter_context(open_meta(path / "meta", map_size=map_size, readonly=True))
                chunks = opened.enter_context(open_chunks(path / "chunks", map_size=map_size, readonly=True))
            except (lmdb.Error, OSError) as error:
                raise NotReady(f"the store in {path} is not whole: {error}; `entrepot restore` a backup") from error
            try:
                yield StoppedStore(meta, chunks)
            except lmdb.Error as error:
                raise Damaged(f"the pages of {path} make no sense: {error}; `entrepot restore` a backup") from error


def _numbers(first: int) -> Callable[[], int]:
    return count(first).__next__


def _first_number(meta: Meta, chunks: Chunks) -> int:
    with meta.read() as txn:
        named = int.from_bytes(meta.blobs.numbers.last_key(txn) or b"", "big")
    with chunks.read() as txn:
        return 1 + max(named, chunks.last_number(txn))
