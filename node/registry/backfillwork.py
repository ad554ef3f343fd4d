"""Backfills: what lay here before a replication rule did is sent to one of its destinations, once.

Theory of operation
===================
A backfill is prepared page by page: each image that the rules of now would send to the destination, and that did not
itself come from another registry, is made wanted there, in the transaction that writes the page down. From there on it
is replication like any other: the same rows, the same announcements, the same retries. What the backfill adds is the
list, in which it notes what became of each; so it can tell how far it is, and after a restart it goes on.

What is stopped is not wanted any more, as far as it is not under way: but for what a push wanted since.
"""

import msgspec
import trio

from node.registry.backfilling import (
    PAGE_SIZE,
    RUNNING,
    Backfill,
    Item,
    Page,
    backfills,
    counted,
    find_backfill,
    forget_items,
    pages_of,
    put_backfill,
    put_page,
)
from node.registry.registry import Registry
from node.registry.replication import configuration_in_force
from node.registry.storage import storage_of
from node.store.replicas import StatusRow
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.names import RegistryName
from protocol.errors import (
    Damaged,
)
from protocol.oci.digest import Digest, packed
from protocol.oci.names import RepositoryName, TagName
from protocol.rules.replication import destinations_for
from protocol.sync.clock import stamp_of
from protocol.sync.images import ImageState

_LOOK = 1.0  # Seconds between two looks at what became of images.
_REST = 20  # Times as long as a look took, until the next.
_GIVE_UP = 100  # Items, of which half or more failed.
_GONE = "ImageNotFound"
_TOO_MANY = "TooManyFailures"


async def run_backfills(registry: Registry) -> None:
    """Do what backfills are for, for ever."""
    while True:
        changed = registry.backfills.next()
        with registry.store.meta.read() as txn:
            running = [one for one in backfills(registry, txn) if one.state in RUNNING]
        began = trio.current_time()
        for one in running:
            await _step(registry, one)
        if running:  # A large one takes a second to look through: not all the time.
            with trio.move_on_after(max(_LOOK, _REST * (trio.current_time() - began))):
                await changed.wait()
        else:
            await changed.wait()


async def _step(registry: Registry, backfill: Backfill) -> None:
    try:
        match backfill.state:
            case "PREPARING":
                await _prepare(registry, backfill)
            case "IN_PROGRESS":
                await _look(registry, backfill)
            case _:
                await _stop(registry, backfill)
    except Damaged:  # Mended, or told by an alarm; looked at again in a moment.
        registry.repairs.hurry()


async def _prepare(registry: Registry, backfill: Backfill) -> None:
    """Write down all that is to be sent, and make it wanted; from the beginning, if the node stopped in between."""
    await registry.store.writer.write(lambda txn: forget_items(registry, txn, backfill.id))
    place: tuple[RepositoryName, bytes] | None = (RepositoryName(""), b"")
    number = 0
    while place is not None:
        items, place = await trio.to_thread.run_sync(_next_items, registry, backfill.destination, place)

        def run(txn: WriteTxn, items: list[Item] = items, number: int = number) -> bool:
            now = find_backfill(registry, txn, backfill.id)
            if now is None or now.state != "PREPARING":
                return False
            if items:
                put_page(
                    registry, txn, backfill.id, number, tuple(_want(registry, txn, backfill, one) for one in items)
                )
            return True

        if not await registry.store.writer.write(run):
            return
        number += 1
    await _update(registry, backfill, "PREPARING", "IN_PROGRESS")
    registry.wanted_again.notify()
    registry.backfills.notify()


def _next_items(
    registry: Registry, destination: RegistryName, place: tuple[RepositoryName, bytes]
) -> tuple[list[Item], tuple[RepositoryName, bytes] | None]:
    """Return the items of the next images beyond *place*, and where to go on; in a thread."""
    meta, (name, after), found = registry.store.meta, place, list[Item]()
    with meta.read() as txn:
        configuration = configuration_in_force(registry, txn)
        while True:
            row = meta.repositories.get(txn, name) if name else None
            if row is not None and any(one.registry == destination for one in destinations_for(configuration, name)):
                page = meta.images.page(txn, row.number, after=after, limit=PAGE_SIZE // 5)
                for digest, state in page:
                    after = packed(digest)
                    found += _items_of(registry, txn, name, row, digest, state)
                    if len(found) >= PAGE_SIZE // 2:
                        return found, (name, after)
                if page:
                    continue
            following = meta.repositories.page(txn, after=name, limit=1)
            if not following:
                return found, None
            name, after = following[0][0], b""


def _items_of(
    registry: Registry, txn: ReadTxn, name: RepositoryName, row: RepositoryRow, digest: Digest, state: ImageState
) -> list[Item]:
    """Return an image with each of its tags; nothing where it is sent with an index, archived, or came itself."""
    meta, shown = registry.store.meta, state.shown
    if shown is None or meta.images.is_child(txn, row.number, digest):
        return []
    dot = shown.dot
    record = dot.node.encode() + dot.incarnation + dot.seq.to_bytes(8, "big")
    position = int.from_bytes(meta.journal.places.get(txn, record) or b"", "big")
    if meta.replicas.is_arrived(txn, position) or storage_of(registry, txn, name, digest).status != "ACTIVE":
        return []
    tags: list[TagName | None] = [*meta.tags.pointing_at(txn, row.number, digest)]
    return [Item(name, digest, tag, 0) for tag in tags or [None]]


def _want(registry: Registry, txn: WriteTxn, backfill: Backfill, item: Item) -> Item:
    """Make an image wanted at the destination; return the item as it is written down."""
    meta, destination = registry.store.meta, str(backfill.destination)
    row = meta.repositories.get(txn, item.repository)
    if row is None or not meta.images.is_alive(txn, row.number, item.digest):
        return msgspec.structs.replace(item, outcome="FAILED", failure=_GONE)
    old = meta.replicas.status(txn, destination, row.number, item.digest)
    if old is not None and old.status == "COMPLETE":
        return msgspec.structs.replace(item, outcome="COMPLETE")
    if old is not None and old.status == "IN_PROGRESS":
        return msgspec.structs.replace(item, wanted=old.wanted)
    wanted, now = meta.journal.last(txn), registry.now()
    done = 0 if old is None else old.done
    status = StatusRow("IN_PROGRESS", wanted, done, stamp_of(int(now * 1000)), changed=now)
    meta.replicas.put(txn, destination, row.number, item.digest, status)
    return msgspec.structs.replace(item, wanted=wanted)


async def _look(registry: Registry, backfill: Backfill) -> None:
    """Note what became of images, and whether that was all."""
    changed, now = await trio.to_thread.run_sync(_looked_at, registry, backfill)
    state, ended_with = now.state, now.completed + now.failed
    if ended_with >= _GIVE_UP and 2 * now.failed >= ended_with:
        state = "FAILED"
    elif ended_with == now.total:
        state = "COMPLETE"
    if not changed and state == now.state and now == backfill:
        return
    failure = _TOO_MANY if state == "FAILED" else ""
    ended = registry.now() if state != "IN_PROGRESS" else 0.0
    new = msgspec.structs.replace(now, state=state, failure=failure, ended=ended)

    def run(txn: WriteTxn) -> None:
        stored = find_backfill(registry, txn, backfill.id)
        for number, page in changed.items():
            put_page(registry, txn, backfill.id, number, page)
        if stored is not None:
            kept = new if stored.state == "IN_PROGRESS" else msgspec.structs.replace(new, state=stored.state, ended=0.0)
            put_backfill(registry, txn, kept)
            if kept.state == "FAILED":
                _unwant(registry, txn, kept)

    await registry.store.writer.write(run)


def _looked_at(registry: Registry, backfill: Backfill) -> tuple[dict[int, Page], Backfill]:
    """Return the pages in which something changed, and the backfill with its counts; in a thread."""
    changed: dict[int, Page] = {}
    with registry.store.meta.read() as txn:
        pages = pages_of(registry, txn, backfill.id, limit=2**31)
        looked = []
        for number, page in pages:
            new = tuple(one if one.outcome else _became(registry, txn, backfill, one) for one in page)
            looked.append(new)
            if new != page:
                changed[number] = new
    return changed, counted(backfill, looked)


def _became(registry: Registry, txn: ReadTxn, backfill: Backfill, item: Item) -> Item:
    meta = registry.store.meta
    row = meta.repositories.get(txn, item.repository)
    status = None if row is None else meta.replicas.status(txn, str(backfill.destination), row.number, item.digest)
    if status is None:  # It was deleted here before it was there.
        return msgspec.structs.replace(item, outcome="FAILED", failure=_GONE)
    if status.done >= item.wanted and status.done:
        return msgspec.structs.replace(item, outcome="COMPLETE")
    if status.status == "FAILED" and status.changed >= backfill.started:
        return msgspec.structs.replace(item, outcome="FAILED", failure=status.failure or "InternalError")
    return item


async def _stop(registry: Registry, backfill: Backfill) -> None:
    """Want nothing any more that is not there yet."""
    changed, now = await trio.to_thread.run_sync(_looked_at, registry, backfill)
    new = msgspec.structs.replace(now, state="STOPPED", ended=registry.now())

    def run(txn: WriteTxn) -> None:
        for number, page in changed.items():
            put_page(registry, txn, backfill.id, number, page)
        put_backfill(registry, txn, new)
        _unwant(registry, txn, new)

    await registry.store.writer.write(run)
    registry.wanted.notify()


def _unwant(registry: Registry, txn: WriteTxn, backfill: Backfill) -> None:
    meta, destination = registry.store.meta, str(backfill.destination)
    for _, page in pages_of(registry, txn, backfill.id, limit=2**31):
        for item in page:
            row = meta.repositories.get(txn, item.repository) if not item.outcome else None
            status = None if row is None else meta.replicas.status(txn, destination, row.number, item.digest)
            if row is not None and status is not None and not status.done and status.wanted == item.wanted:
                meta.replicas.delete(txn, destination, row.number, item.digest)


async def _update(registry: Registry, backfill: Backfill, old: str, new: str) -> None:
    def run(txn: WriteTxn) -> None:
        stored = find_backfill(registry, txn, backfill.id)
        if stored is not None and stored.state == old:
            pages = (page for _, page in pages_of(registry, txn, backfill.id, limit=2**31))
            put_backfill(registry, txn, counted(msgspec.structs.replace(stored, state=new), pages))

    await registry.store.writer.write(run)
