"""Scrub: every page, every sealed value and every chunk is read from the disk and compared, a step at a time.

Theory of operation
===================
A pass goes through phases: the pages of the file of ``meta``, then each table in it, then the chunks of each blob. A
step takes some MiB at most, in a thread. Values are read through the map, where a sector that cannot be read would kill
the process; so that file is read first, page by page, by plain reads, and where one fails, or the file is shorter than
the engine thinks, the tables are passed over in this pass and the place is told. Chunks never go through the map.

The pages of a table are looked at in the same way, before LMDB goes by what they say: a place or a length that is
wrong would end the process, too.

What a pass finds goes to the list of damage, by way of those who meet damage anywhere else. Where it is stands in a
document, written once in a while: after a restart it goes on there.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import trio
from blake3 import blake3

from node.registry.backup.archive import open_archive
from node.registry.blobs import content_of_number
from node.registry.damage import PAGES, TREE, damage_count, note_place, untried_count
from node.registry.registry import Registry
from node.registry.scrubbing import Pass, ScrubState
from node.store.blobs import Chunked
from node.store.damage import CHUNKS, Place
from node.store.directio import MAX_READ, Disk, open_disk
from node.store.sealedmap import plaintext
from node.store.table import WriteTxn
from node.store.tree import Tree
from protocol.auth.caller import Caller
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import Damaged, KeyUnusable, ParameterInvalid

_STEP = 4 * 2**20  # Bytes of pages or chunks in one step,
_VALUES = 2**20  # and of values, each of which costs more.
_PAGE_SIZE = 4096
_MIN_RATE = 64 * 1024
_DOCUMENT = "scrub"


class ScrubStatus(msgspec.Struct, frozen=True):
    """How it stands, for people."""

    state: str  # idle, running
    phase: str
    began: float | None  # Seconds since 1970, UTC.
    completed: float | None  # The last whole pass.
    next: float | None  # ``None``: only when it is asked for.
    read: int  # Bytes, of this pass or the last one.
    total: int  # Bytes that a pass reads, about.
    found: int  # In this pass or the last one.
    damaged: int  # Places that are known to be damaged now,
    untried: int  # and those among them that nobody tried to mend yet.
    repaired: int  # Since the start.


def load_scrub(registry: Registry) -> None:
    """Go on where the last start left off; from the beginning where that is not to be read."""
    registry.scrubbing.size = (registry.store.path / "meta" / "data.mdb").stat().st_size
    with suppress(Damaged, msgspec.DecodeError), registry.store.meta.read() as txn:
        data = registry.store.meta.documents.get(txn, _DOCUMENT)
        if data is not None:
            registry.scrubbing.state = msgspec.msgpack.decode(data, type=ScrubState)


async def start_scrub(registry: Registry, caller: Caller, *, rate: int, backup: str = "") -> None:
    """Begin a pass now, and try again to mend all that is damaged; one that is under way goes on, at the new rate.

    Args:
        registry: to scrub.
        caller: who asks.
        rate: bytes a second; 0: as configured.
        backup: directory of a backup of this node, which may have what is damaged; nothing: none is known.

    Raises:
        Denied: without ``entrepot:Scrub``.
        ParameterInvalid: the rate is none.
        NotReady: there is no backup in that directory.
    """
    registry.authorize(caller, "entrepot:Scrub", None)
    if rate and rate < _MIN_RATE:
        raise ParameterInvalid(f"rate is at least {_MIN_RATE} bytes a second")
    if backup:
        registry.repairs.backup = (await trio.to_thread.run_sync(open_archive, Path(backup))).root
    old = registry.scrubbing.state
    if old.is_running:
        state = msgspec.structs.replace(old, now=msgspec.structs.replace(old.now, rate=rate))
    else:  # The next one by itself is an interval after this one: to be drawn anew.
        state = msgspec.structs.replace(old, now=Pass(registry.now(), rate=rate), next=0.0)
    registry.scrubbing.state = state
    registry.scrubbing.begin()
    registry.repairs.retry_all()


def scrub_status(registry: Registry, caller: Caller) -> ScrubStatus:
    """Return how the scrub stands; ``Denied`` without ``entrepot:DescribeScrub``."""
    registry.authorize(caller, "entrepot:DescribeScrub", None)
    state, store = registry.scrubbing.state, registry.store
    with store.chunks.read() as chunk_txn:
        total = _used(registry.store.meta.env) * 2 + store.chunks.count(chunk_txn) * CHUNK_SIZE
    return ScrubStatus(
        "running" if state.is_running else "idle",
        state.now.phase if state.is_running else "",
        state.now.began or None,
        state.completed or None,
        state.next or None,
        state.now.read,
        max(total, state.now.read),
        state.now.found,
        damage_count(registry),
        untried_count(registry),
        registry.repairs.repaired,
    )


async def put_scrub(registry: Registry) -> None:
    """Remember how far it has come."""
    data = msgspec.msgpack.encode(registry.scrubbing.state)

    def run(txn: WriteTxn) -> None:
        registry.store.meta.documents.put(txn, _DOCUMENT, data)

    await registry.store.writer.write(run)


class Files(NamedTuple):
    """The files of the two environments, to be read past the page cache."""

    meta: Disk
    chunks: Disk


@contextmanager
def open_files(registry: Registry) -> Iterator[Files]:
    """Open the files of the store for as long as the block."""
    path = registry.store.path
    with open_disk(path / "meta" / "data.mdb") as meta, open_disk(path / "chunks" / "data.mdb") as chunks:
        yield Files(meta, chunks)


async def scrub_step(registry: Registry, files: Files) -> int:
    """Look at the next few MiB of the pass under way, and move it on; return how many bytes were read."""
    scrubbing, at = registry.scrubbing, registry.scrubbing.state.now
    if at.phase == PAGES:
        step = await _scrub_pages(registry, at, files.meta)
    elif at.phase == CHUNKS:
        step = await _scrub_chunks(registry, at, files.chunks)
    else:
        step = await _scrub_table(registry, at)
    now = scrubbing.state.now  # A rate may have been asked for meanwhile.
    after = step.after
    phase = now.phase if after is not None else _next_phase(registry, now, is_readable=step.is_readable)
    scrubbing.state = msgspec.structs.replace(
        scrubbing.state,
        now=msgspec.structs.replace(
            now,
            ended=0.0 if phase else registry.now(),
            phase=phase or CHUNKS,
            after=after or b"",
            read=now.read + step.read,
            found=now.found + step.found,
            is_readable=now.is_readable and step.is_readable,
        ),
        completed=scrubbing.state.completed if phase else registry.now(),
    )
    scrubbing.read += step.read
    scrubbing.found += step.found
    return step.read


class _Step(msgspec.Struct, frozen=True):
    after: bytes | None  # Where the phase goes on; ``None`` at its end.
    read: int
    found: int
    is_readable: bool = True


def _next_phase(registry: Registry, at: Pass, *, is_readable: bool) -> str:
    """Return the phase after this one, or nothing after the last."""
    phases = [PAGES, *(table.name for table in registry.store.meta.tables()), CHUNKS]
    if at.phase == CHUNKS:
        return ""
    if at.phase == PAGES and not (is_readable and at.is_readable):
        return CHUNKS
    return phases[phases.index(at.phase) + 1] if at.phase in phases else CHUNKS


def _used(env: Any) -> int:  # noqa: ANN401 - lmdb.Environment.
    """Return the bytes of the file that the engine has given out."""
    return (int(env.info()["last_pgno"]) + 1) * _PAGE_SIZE


async def _scrub_pages(registry: Registry, at: Pass, disk: Disk) -> _Step:
    # The file may end before the last page that was given out: what is given back in the same commit is never written.
    registry.scrubbing.size = max(registry.scrubbing.size, (registry.store.path / "meta" / "data.mdb").stat().st_size)
    start = int.from_bytes(at.after, "big")
    end = min(_used(registry.store.meta.env), registry.scrubbing.size // _PAGE_SIZE * _PAGE_SIZE)
    stop = min(end, start + _STEP)
    bad = await trio.to_thread.run_sync(_unreadable, disk, start, stop)
    for offset in bad:
        note_place(registry, Place(PAGES, offset.to_bytes(8, "big")))
    after = stop.to_bytes(8, "big") if stop < end else None
    return _Step(after, stop - start, len(bad), is_readable=not bad)


def _unreadable(disk: Disk, start: int, stop: int) -> list[int]:
    """Return the offsets of pages that cannot be read, those beyond the end of the file among them."""
    bad: list[int] = []
    for offset in range(start, stop, MAX_READ):
        length = min(MAX_READ, stop - offset)
        if not _is_readable(disk, offset, length):
            bad += [
                one for one in range(offset, offset + length, _PAGE_SIZE) if not _is_readable(disk, one, _PAGE_SIZE)
            ]
    return bad


def _is_readable(disk: Disk, offset: int, length: int) -> bool:
    try:
        return len(disk.read(offset, length)) == length
    except OSError:
        return False


async def _scrub_table(registry: Registry, at: Pass) -> _Step:
    meta = registry.store.meta
    table = next((one for one in meta.tables() if one.name == at.phase), None)
    if table is None:  # Of another version.
        return _Step(None, 0, 0)

    def run() -> Any:  # noqa: ANN401 - Scanned.
        with meta.read() as txn, (registry.store.path / "meta" / "data.mdb").open("rb") as file:
            Tree(file.fileno(), table.name.encode()).verify(txn, at.after, 2 * _VALUES)
            return table.scan(txn, after=at.after, size=_VALUES)

    try:
        scanned = await trio.to_thread.run_sync(run)
    except Damaged:  # A page of the engine makes no sense, so that the rest of the table cannot be walked.
        note_place(registry, Place(TREE, table.name.encode()))
        return _Step(None, 0, 1)
    for key in scanned.damaged:
        note_place(registry, Place(table.name, key))
    return _Step(scanned.last, scanned.size, len(scanned.damaged))


async def _scrub_chunks(registry: Registry, at: Pass, disk: Disk) -> _Step:
    store = registry.store
    number, index = int.from_bytes(at.after[:8], "big"), int.from_bytes(at.after[8:], "big")
    content = _content(registry, number) if index else None
    if content is None:
        with store.meta.read() as txn:
            keys = store.meta.blobs.numbers.keys(txn, b"", after=number.to_bytes(8, "big"), limit=1)
        if not keys or len(keys[0]) != 8:
            return _Step(None, 0, 0)
        number, index = int.from_bytes(keys[0], "big"), 0
        content = _content(registry, number)
    if content is None:
        return _Step(number.to_bytes(8, "big") + bytes(4), 0, 0)
    store.leases.take(number)
    try:
        compare = partial(_compare, registry, content, index, disk)
        stop, read, bad = await trio.to_thread.run_sync(compare)
    finally:
        store.leases.release(number)
    for one in bad:
        store.verified.note_bad(number, one)
    is_done = stop * 32 >= len(content.hashes)
    after = number.to_bytes(8, "big") + (0 if is_done else stop).to_bytes(4, "big")
    return _Step(after, read, len(bad))


def _content(registry: Registry, number: int) -> Chunked | None:
    try:
        return content_of_number(registry, number)
    except KeyUnusable:  # No damage: it is looked at when its key may be used again.
        return None


def _compare(registry: Registry, content: Chunked, first: int, disk: Disk) -> tuple[int, int, list[int]]:
    """Compare some chunks from *first* on; return where to go on, the bytes read, and which ones are bad."""
    chunks, row, count = registry.store.chunks, content.row, len(content.hashes) // 32
    stop = min(count, first + _STEP // MAX_READ)
    read, bad = 0, list[int]()
    for index in range(first, stop):
        length = min(CHUNK_SIZE, row.size - index * CHUNK_SIZE)
        read += length
        try:
            with chunks.read() as txn:
                [offset] = chunks.offsets(txn, row.number, index, 1)
            data = plaintext(content, index, disk.read(offset, length))
        except (LookupError, OSError, Damaged):
            data = b""
        if blake3(data).digest() != content.hashes[index * 32 : index * 32 + 32]:
            bad.append(index)
    return stop, read, bad
