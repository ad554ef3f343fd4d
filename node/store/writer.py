"""One writer, many callers: durable writes that share a commit.

LMDB has one write transaction at a time and ties it to a thread. So one task takes whatever is queued, runs it
in one transaction on a worker thread, and answers nobody before the commit is on disk. The slower the disk, the
larger the group.

In ``meta`` each write runs in a nested transaction, so that one that raises undoes only itself: a microsecond more
for each (measured, lmdb 3.0), where a commit with its syncs takes hundreds. In ``chunks`` nesting costs 0.4 ms a
chunk: there a write that raises aborts the group, which runs again without it.

A commit that fails because the disk is full changed nothing: LMDB writes the page that makes a commit count last of
all. So the writer refuses, and goes on when there is room.

One that fails otherwise leaves the disk in doubt: from then on the writer refuses, reads go on, and ``probe`` tries
from time to time whether a small write comes through. That may be tried, and repeats no earlier sync: what a failed
sync may have lost are pages of a transaction that was undone; nothing refers to them, and a later one writes them
anew, and in full, before it uses them. After a failure in that last page, which says what is valid, LMDB gives no more
reads either: then the environment is *lost*, and the node opens the store anew by itself.
"""

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar, cast

import lmdb
import structlog
import trio

from node.store.table import WriteTxn
from node.telemetry.durations import COMMITS, Durations
from node.telemetry.tracing import span
from protocol.errors import Busy, StoreFull, StoreReadOnly

Result = TypeVar("Result")

MAX_GROUP = 256  # Writes per transaction: bounds how long one group can hold up the next.
_ROOM = 16 * 2**20  # Bytes free below which a commit that failed is taken to have found the disk full.
_PROBE = b"\0probe"  # In the table of tables, where no table has such a name; gone before the commit.

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Job:
    run: Callable[[WriteTxn], Any]
    done: trio.Event = field(default_factory=trio.Event)
    result: Any = None
    error: Exception | None = None


class Writer:
    """Where writes are queued; made by ``open_writer``."""

    def __init__(self, name: str, jobs: trio.MemorySendChannel[_Job]) -> None:
        self.name = name
        """Of the environment."""
        self._jobs = jobs
        self.broken = False
        """A commit failed, and not for want of room: nothing is written until a ``probe`` comes through."""
        self.is_full = False
        """The last group had a write that found no room, whatever the file system says: a quota does not show there."""
        self.lost = trio.Event()
        """Set when nothing can be read any more, either."""
        self.commits = 0
        """Groups that were committed, or may have been, since the start; counted before anyone is told."""
        self.writes = 0
        """Writes that were in those groups."""
        self.durations = Durations(COMMITS)
        """What each group took."""

    @property
    def waiting(self) -> int:
        """Writes that wait for the next commit."""
        queue = self._jobs.statistics()
        return queue.current_buffer_used + queue.tasks_waiting_send

    async def write(self, run: Callable[[WriteTxn], Result]) -> Result:
        """Return ``run(txn)`` once its effect is durable.

        *run* is called on a worker thread, perhaps twice: it must be quick and touch nothing but *txn*. What it
        raises comes out here, and only its own writes are undone. When this call is cancelled, the outcome is unknown.

        Raises:
            StoreFull: there is no room; nothing was written.
            StoreReadOnly: the disk failed, now or before.
        """
        if self.broken:
            raise StoreReadOnly("the disk of this node failed; writes are refused until it works again")
        return await self._write(run)

    async def probe(self) -> bool:
        """Try whether a writer that is ``broken``, or found no room, can write again; return whether it is sound."""
        if (self.broken or self.is_full) and not self.lost.is_set():
            try:
                await self._write(_touch)
            except Busy:
                return not self.broken
            if self.broken:
                log.warning("the disk works again")
            self.broken = False
        return not self.broken

    async def _write(self, run: Callable[[WriteTxn], Result]) -> Result:
        job = _Job(run)
        with span("commit", store=self.name):
            await self._jobs.send(job)
            await job.done.wait()
        if job.error is not None:
            raise job.error
        return cast("Result", job.result)


@asynccontextmanager
async def open_writer(
    env: "lmdb.Environment", *, nested: bool, group: int = MAX_GROUP, after: Callable[[], object] = lambda: None
) -> AsyncIterator[Writer]:
    """Run the writer for as long as the block; what is queued at its end is still written.

    Args:
        env: the environment; nothing else may write to it meanwhile.
        nested: whether each write gets a nested transaction of its own.
        group: most writes in one transaction.
        after: called on the writer's thread after each group.
    """
    send, receive = trio.open_memory_channel[_Job](group)
    writer = Writer(Path(env.path()).name, send)
    async with trio.open_nursery() as nursery:
        commit = _commit_nested if nested else _commit_flat

        def commit_group(group: list[_Job]) -> bool:
            try:
                return commit(env, group)
            finally:
                after()

        nursery.start_soon(_write_forever, env, receive, writer, commit_group, group)
        async with send:
            yield writer


async def _write_forever(
    env: "lmdb.Environment",
    jobs: trio.MemoryReceiveChannel[_Job],
    writer: Writer,
    commit: Callable[[list[_Job]], bool],
    limit: int,
) -> None:
    thread = trio.CapacityLimiter(1)  # Its own: a commit never waits for a hash to end.
    with trio.CancelScope(shield=True):  # Ends when the channel closes: what was queued gets to say how it ended.
        async for first in jobs:
            group = [first]
            while len(group) < limit and jobs.statistics().current_buffer_used:
                group.append(jobs.receive_nowait())
            began = perf_counter()
            if not await trio.to_thread.run_sync(commit, group, limiter=thread):
                if not writer.broken:
                    log.error("the disk failed", store=env.path(), reason=str(group[0].error))
                writer.broken = True
                if not _can_read(env):
                    writer.lost.set()
            writer.durations.observe(perf_counter() - began)
            writer.is_full = any(isinstance(job.error, StoreFull) for job in group)
            writer.writes += len(group)
            writer.commits += 1
            for job in group:
                job.done.set()


def _commit_nested(env: "lmdb.Environment", group: list[_Job]) -> bool:
    try:
        with env.begin(write=True) as group_txn:
            for job in group:
                try:
                    with env.begin(parent=group_txn, write=True) as txn:
                        job.result = job.run(txn)
                except Exception as error:  # noqa: BLE001 - its caller knows what it means.
                    job.error = _translated(error)
    except lmdb.Error as error:
        return _fail(env, group, error)
    return True


def _commit_flat(env: "lmdb.Environment", group: list[_Job]) -> bool:
    waiting = list(group)
    while waiting:
        job = waiting[0]
        try:
            with env.begin(write=True) as txn:
                for job in waiting:
                    job.result = job.run(txn)
                job = waiting[0]
                waiting = []
        except lmdb.Error as error:
            if not waiting or isinstance(
                error, lmdb.PanicError
            ):  # No write is to blame: nothing can be written any more.
                return _fail(env, group, error)
            job.error = _translated(error)
            waiting = [one for one in waiting if one is not job]
        except Exception as error:  # noqa: BLE001 - its caller knows what it means.
            job.error = _translated(error)
            waiting = [one for one in waiting if one is not job]
    return True


def _fail(env: "lmdb.Environment", group: list[_Job], error: lmdb.Error) -> bool:
    """Tell all of *group* that their commit failed; return whether the next one may be tried."""
    is_panic = isinstance(error, lmdb.PanicError)  # The last page of the commit before was the one that failed.
    is_full = not is_panic and (isinstance(error, lmdb.MapFullError | lmdb.DiskError) or _is_disk_full(env, error))
    # Where it was the page that says what is valid that found no room, room does not help: the store is opened anew.
    is_full = is_full and _can_read(env)
    for job in group:
        job.error = job.error or (StoreFull("the store has no room left") if is_full else _failed(error))
    return is_full


def _can_read(env: "lmdb.Environment") -> bool:
    try:
        env.begin().abort()
    except lmdb.PanicError:
        return False
    return True


def _is_disk_full(env: "lmdb.Environment", error: lmdb.Error) -> bool:
    # The error does not tell: where only part of a page fits, LMDB calls it an I/O error.
    status = os.statvfs(env.path())
    return status.f_bavail * status.f_frsize < _ROOM or os.strerror(errno.EDQUOT) in str(error)


def _touch(txn: WriteTxn) -> None:
    """Change a page, so that a commit has something to write, and leave nothing."""
    txn.put(_PROBE, b"")
    txn.delete(_PROBE)


def _translated(error: Exception) -> Exception:
    if isinstance(error, lmdb.MapFullError | lmdb.DiskError):
        return StoreFull("the store has no room left")
    if isinstance(error, lmdb.Error):
        return _failed(error)
    return error


def _failed(error: lmdb.Error) -> StoreReadOnly:
    return StoreReadOnly(f"the disk failed: {error}")
