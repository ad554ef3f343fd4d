"""Writing a backup: segments, blobs and, last of all, the manifest that makes them a generation.

Whatever is written before the manifest counts for nothing, and is found again by its name: a run that was killed is
simply run again and goes on where that one was, within a blob too. All of it is made durable at once before the
manifest is; so what a run left that did not get there, perhaps for a power cut, is hashed before it is relied on. What
no generation names is swept away at the end of the next run that gets there.
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import merge
from pathlib import Path

from node.registry.backup.archive import Archive, blob_rows, generations, read_format
from node.registry.backup.files import (
    PARTIAL,
    locked,
    make_folder,
    sync_all,
    write_all,
    write_whole,
    writing,
)
from node.registry.backup.layout import (
    FORMAT,
    Manifest,
    Name,
    Row,
    blob_path,
    encode_segment,
    encode_signed,
    file_of,
    generation_path,
    segment_name,
    segment_path,
)
from node.store.format import sync_folder
from protocol.errors import Damaged, NotReady, StoreFull
from protocol.oci.digest import Digest, algorithm, hasher

_BUFFER = 2**20  # Bytes that are read of a blob at once, where it is hashed again.
_UNFINISHED = "unfinished"


class Destination:
    """A backup that is being written; made by ``open_destination``."""

    def __init__(self, root: Path, *, was_cut_short: bool) -> None:
        self.root = root
        self.was_cut_short = was_cut_short
        """The run before did not come to its end: there may be files that no generation names."""
        self.written = 0
        """Bytes of files that were not there before."""
        paths = [generation_path(root, number) for number in generations(root)]
        self._synced = max((path.stat().st_mtime for path in paths), default=0.0)
        self._hashed: set[Path] = set()

    def put_segment(self, kind: str, rows: list[Row]) -> Name:
        """Write rows as a segment, unless it is there; return its name."""
        data = encode_segment(kind, rows)
        name = segment_name(data)
        path = segment_path(self.root, name)
        if not self.has_segment(name):
            write_whole(path, data, sync=False)
            self.written += len(data)
        return name

    def has_segment(self, name: Name) -> bool:
        """Whether a segment is there."""
        path = segment_path(self.root, name)
        return self._is_there(path, None, lambda: segment_name(path.read_bytes()) == name)

    def has_blob(self, digest: Digest, size: int) -> bool:
        """Whether a large blob is there, as long as it has to be."""
        return self._is_there(blob_path(self.root, digest), size, lambda: self._is_right(digest, size))

    def _is_there(self, path: Path, size: int | None, is_right: Callable[[], bool]) -> bool:
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        if size is not None and status.st_size != size:
            return False
        if self.was_cut_short and status.st_mtime >= self._synced and path not in self._hashed:
            if not is_right():
                return False
            self._hashed.add(path)
        return True

    def _is_right(self, digest: Digest, size: int) -> bool:
        try:
            return sum(len(data) for data in Archive(self.root).blob(digest, size)) == size
        except Damaged:
            return False

    def put_blob(self, digest: Digest, size: int, read: Callable[[int], Iterator[bytes]]) -> None:
        """Write a large blob; *read(start)* yields its bytes. What an earlier run left of it is hashed and kept.

        Raises:
            Damaged: the bytes end early, or have another digest; nothing of them is kept.
        """
        path = blob_path(self.root, digest)
        make_folder(path.parent)
        try:
            with writing(path, sync=False) as fd:
                self._fill(fd, digest, size, read)
        except Damaged:
            path.with_name(path.name + PARTIAL).unlink(missing_ok=True)
            raise

    def _fill(self, fd: int, digest: Digest, size: int, read: Callable[[int], Iterator[bytes]]) -> None:
        state, done = hasher(algorithm(digest)), 0
        while data := os.pread(fd, min(_BUFFER, size - done), done):
            state.update(data)
            done += len(data)
        os.ftruncate(fd, done)
        os.lseek(fd, done, os.SEEK_SET)
        for data in read(done):
            state.update(data)
            write_all(fd, data)
            done += len(data)
            self.written += len(data)
        if done != size or state.hexdigest() != digest.partition(":")[2]:
            raise Damaged(f"{done} bytes came of {size}, and they make another digest")

    def put_generation(self, manifest: Manifest, body: bytes, signature: bytes) -> None:
        """Write the manifest, which makes a generation of what was written."""
        data = encode_signed(body, signature)
        sync_all(self.root)
        write_whole(generation_path(self.root, manifest.generation), data)
        self.written += len(data)

    def prune(self, keep: Iterable[int]) -> list[int]:
        """Remove every generation but those to *keep*, and what none of them names; return which went.

        Raises:
            Damaged: the manifest of one to keep cannot be read. Nothing was removed.
        """
        kept, there = set(keep), generations(self.root)
        gone = [number for number in there if number not in kept]
        if gone:
            for number in kept & set(there):
                Archive(self.root).manifest(number)
        for number in gone:
            generation_path(self.root, number).unlink()
        if gone:
            sync_folder(self.root / "generations")
        if gone or self.was_cut_short:
            self.sweep()
        return gone

    def sweep(self) -> None:
        """Remove what no generation names; ``Damaged`` where one cannot be read, for it may name anything."""
        archive = Archive(self.root)
        manifests = [archive.manifest(number) for number in generations(self.root)]
        segments = {name.hex() for manifest in manifests for name in named_segments(manifest)}
        for path in _files(self.root / "segments"):
            if path.name not in segments:
                path.unlink()
        for folder in sorted((self.root / "blobs").glob("*")):
            _sweep_blobs(folder, merge(*(_large(archive, manifest, folder.name) for manifest in manifests)))


def _sweep_blobs(folder: Path, named: Iterator[str]) -> None:
    """Remove the blobs of one algorithm that are not *named*, in order; both lists come in the order of the digests."""
    following = next(named, None)
    for path in _files(folder):
        while following is not None and following < path.name:
            following = next(named, None)
        if path.name != following:
            path.unlink()


def _large(archive: Archive, manifest: Manifest, name: str) -> Iterator[str]:
    for short, place in blob_rows(archive, manifest):
        digest, _ = file_of(short, place)
        if not place.segment and algorithm(digest) == name:
            yield digest.partition(":")[2]


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files two levels down, in the order of their names."""
    for part in sorted(folder.glob("*")):
        yield from sorted(part.iterdir())


def named_segments(manifest: Manifest) -> Iterator[Name]:
    """Yield the name of every segment of a generation."""
    yield from (part.name for part in manifest.journal)
    for parts in manifest.tables.values():
        yield from (part.name for part in parts)
    yield from manifest.contents
    if manifest.identity:
        yield manifest.identity


@contextmanager
def open_destination(root: Path) -> Iterator[Destination]:
    """Write to the backup in the directory *root*, which is made where it is missing.

    Raises:
        NotReady: it holds something else, another backup is being written there, or it cannot be written.
        StoreFull: there is no room; what was written stays, and the next run goes on there.
    """
    try:
        with _opened(root) as destination:
            yield destination
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(
                f"no room left in {root}: make some, or thin it out with --keep, and run it again; it goes on there"
            ) from error
        raise NotReady(f"cannot write to {error.filename or root}: {error.strerror}") from error


@contextmanager
def _opened(root: Path) -> Iterator[Destination]:
    if root.exists() and not (root / "BACKUP").exists() and any(_of_others(root)):
        raise NotReady(f"{root} is not empty and no backup; name an empty or absent directory")
    make_folder(root)
    with locked(root / "lock", f"another backup is being written to {root}; wait for it"):
        if (root / "BACKUP").exists():
            read_format(root)
        else:
            write_whole(root / "BACKUP", FORMAT.encode())
        for name in ("generations", "segments", "blobs"):
            make_folder(root / name)
        unfinished = root / _UNFINISHED
        destination = Destination(root, was_cut_short=unfinished.exists())
        if not destination.was_cut_short:
            write_whole(unfinished, b"")
        yield destination
        unfinished.unlink()
        sync_folder(root)


def _of_others(root: Path) -> Iterator[str]:
    ours = {"lock", "BACKUP.partial", "lost+found"}
    return (one.name for one in root.iterdir() if one.name not in ours)
