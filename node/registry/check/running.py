"""``check_running``: what ``check_store`` proves, of a store that is in use.

Theory of operation
===================
Each page is read in a transaction of its own, with pauses (``reading``). What one page and the rows that it names say
is right or wrong by itself. What two pages say together may have changed in between:

* an index or a count that differs after two walks is looked at again, key by key, in one transaction (``again``);
* the fingerprint of a leaf is compared where no record touched the leaf between the beginning and the end of the walk;
  the walk over repositories, images and tags is repeated for the others, and what was touched each time is told of.
  The rows of a deleted repository go long after its record: where some went meanwhile, any leaf may be touched;
* chunks count as missing or damaged where their blob is still there afterwards.

So under load nothing is told that is not so, and a fault that stays is found; one that comes or goes meanwhile may not
be. It runs on a worker thread.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial

import msgspec
import trio

from node.registry.check.again import counted_again
from node.registry.check.chunks import ChunkCheck
from node.registry.check.findings import Checked, Report
from node.registry.check.places import Names
from node.registry.check.progress import CheckProgress
from node.registry.check.reading import PacedReading
from node.registry.check.registers import walk_registers
from node.registry.check.repositories import walk_images, walk_repositories, walk_tags
from node.registry.check.store import WALKS, differing_buckets, examined, rows_of, tell_difference
from node.registry.check.tally import Tally
from node.registry.check.walk import DERIVED, FINGERPRINTS, Own, Sums, Walk
from node.registry.registry import Registry
from node.registry.sealing import key_finder
from node.registry.state import image_place, register_place, repository_place, tag_place
from node.store.meta import Meta
from node.store.store import StoppedStore, Store
from node.store.table import ReadTxn
from protocol.auth.caller import Caller
from protocol.errors import Damaged
from protocol.oci.digest import packed
from protocol.sync.entries import Entry, ImageDelete, ImagePut, RegisterPut, RepositoryDelete, TagPut, Unknown
from protocol.sync.fingerprint import BUCKETS, LEAVES, Bucket, leaf
from protocol.sync.record import Record, read_record

_EXAMINED = 2048  # Buckets of 65 536: what was written during the first walk differs in it, too.
_ROUNDS = 4  # Walks over repositories, images and tags, for fingerprints of what changes all the time.


class _Moment(msgspec.Struct, frozen=True):
    """How far things were when a transaction began."""

    last: int
    """Position of the last record."""
    buried: tuple[object, ...]
    """The deleted repository whose rows go now, and which of them go next."""


async def check_node(registry: Registry, caller: Caller, *, deep: bool) -> Checked:
    """Check the store of this node while it is in use.

    Raises:
        Denied: without ``entrepot:Check``.
        Busy: it is being checked already.
    """
    registry.authorize(caller, "entrepot:Check", None)
    author = registry.author

    def verify(record: Record, text: bytes, signature: bytes) -> bool:
        return record.node == author.node and author.sign(text) == signature  # Ed25519 signs alike each time.

    store = registry.store
    progress = registry.checking.begin(rows_of(StoppedStore(store.meta, store.chunks)))
    own = Own(str(registry.name), author.node, verify, key_finder(registry.store.meta, registry.keyring))
    check = partial(check_running, store, own, deep=deep, progress=progress, cancelled=trio.from_thread.check_cancelled)
    try:
        return await trio.to_thread.run_sync(check)
    finally:
        registry.checking.end()


def check_running(
    store: Store, own: Own, *, deep: bool, progress: CheckProgress, cancelled: Callable[[], None]
) -> Checked:
    """Look at all of a store that is in use.

    Args:
        store: of the node that runs here.
        own: as whom it writes records.
        deep: read every chunk and verify every record of its own, too.
        progress: kept up to date.
        cancelled: called in each pause; what it raises ends the check.
    """
    report, counts = Report(), Counter[str]()

    def seen(table: str, rows: int) -> None:
        counts[table] += rows
        progress.table = table
        progress.done += 0 if table == "bytes" else rows

    reading = PacedReading(store.meta, cancelled)
    try:
        names = Names(store.meta, reading)
        tallies = {derived: Tally() for derived in DERIVED}
        walk = Walk(store.meta, reading, names, own, deep, report.tell, seen, tallies)
        since = _moment(walk.meta, walk.txn)
        for one in WALKS:
            one(walk)
        _compare(walk)
        _compare_fingerprints(walk, since)
    finally:
        reading.close()
    chunks = ChunkCheck(store.meta, store.chunks, report.tell, seen, own.key_of, reading.pause)
    chunks.blobs(walk.manifests, deep=deep)
    chunks.uploads()
    chunks.orphans(store.first_number)
    return Checked(report.findings(), dict(counts))


def _compare(walk: Walk) -> None:
    """Tell what differs after two walks and when it is looked at for the third time."""
    differing = differing_buckets(walk)
    if not any(differing.values()):
        return
    for derived, key, _, _ in examined(walk, differing, _EXAMINED):
        walk.reading.turn()
        expected, found = counted_again(walk.meta, walk.txn, derived, key)
        if expected != found:
            tell_difference(walk, derived, key, expected, found)
    for derived, buckets in differing.items():
        if len(buckets) > _EXAMINED:
            beyond = len(buckets) - _EXAMINED
            walk.tell(
                "skipped", derived, f"{beyond} of 65536 parts were not looked at: they were changing; check again"
            )


def _moment(meta: Meta, txn: ReadTxn) -> _Moment:
    number = meta.repositories.burial(txn)
    prefix = number.to_bytes(8, "big")
    tables = (meta.tags.alive.bytes, meta.images.alive.bytes) if number else ()
    return _Moment(meta.journal.last(txn), (number, *(b"".join(one.keys(txn, prefix, limit=1)) for one in tables)))


def _compare_fingerprints(walk: Walk, since: _Moment) -> None:
    """Compare the leaves that nothing has touched *since* the walk began; then the others again."""
    if FINGERPRINTS in walk.unread:
        return
    left, sums = set(range(LEAVES)), walk.sums
    for number_of_round in range(_ROUNDS):
        walk.reading.turn()
        with walk.reading.held():
            now = _moment(walk.meta, walk.txn)
            touched = _touched(walk.meta, walk.txn, since, now)
            stored = _stored(walk)
        if not number_of_round:
            _compare_sums(walk, stored)
        there = {number for level, number in stored if level == 2}
        there |= {number for number, count in enumerate(sums.counts) if count}
        for number in sorted(there & left - touched):
            expected = Bucket((sums.sums[number] % 2**256).to_bytes(32, "big"), sums.counts[number])
            found = stored.get((2, number), Bucket())
            if found != expected:
                what = "is of other entries" if found.count == expected.count else f"is of {found.count} entries"
                walk.tell("fingerprint", f"leaf {number}", f"{what}; there are {expected.count}")
        left &= touched
        if not left:
            return
        since = now
        sums = _summed(walk)
    walk.tell("skipped", FINGERPRINTS, f"{len(left)} of {LEAVES} parts were not compared: they change all the time")


def _touched(meta: Meta, txn: ReadTxn, since: _Moment, now: _Moment) -> set[int]:
    """Return the leaves of all that records say anything of; all where one cannot be read, or rows went without one."""
    if since.buried != now.buried:
        return set(range(LEAVES))
    found: set[int] = set()
    position = since.last
    while position < now.last:
        try:
            page = meta.journal.after(txn, position, limit=500)
            if not page:
                break
            for _, data in page:
                if data is None:
                    return set(range(LEAVES))
                for entry in read_record(data).entries:
                    if isinstance(entry, RepositoryDelete | Unknown):
                        return set(range(LEAVES))  # It may reach everything in it.
                    found |= _leaves(entry)
        except (Damaged, msgspec.DecodeError):
            return set(range(LEAVES))
        position = page[-1][0]
    return found


def _leaves(entry: Entry) -> set[int]:
    if isinstance(entry, RegisterPut):
        return {leaf(register_place(entry.key.group, entry.key.name))}
    name = entry.key.repository  # type: ignore[union-attr]  # Not of an unknown one.
    found = {leaf(repository_place(name))}  # An entry may be the first that says that there is one.
    match entry:
        case ImagePut(key) | ImageDelete(key):
            found.add(leaf(image_place(name, packed(key.digest))))
        case TagPut(key):
            found.add(leaf(tag_place(name, key.tag)))
        case _:
            pass
    return found


def _stored(walk: Walk) -> dict[tuple[int, int], Bucket]:
    """Return all fingerprints, of one moment, by level and number; one that fails its check was told of."""
    rows = walk.meta.sums.buckets.checked(walk.txn, limit=2**31)
    return {
        (key[0], int.from_bytes(key[1:], "big")): row
        for key, row in rows
        if len(key) == 3 and not isinstance(row, Damaged)
    }


def _compare_sums(walk: Walk, stored: dict[tuple[int, int], Bucket]) -> None:
    """Compare the inner buckets and the root, of one moment, with the leaves."""
    inner = [Bucket()] * (LEAVES // BUCKETS)
    for (level, number), bucket in stored.items():
        if level == 2:
            inner[number // BUCKETS] = _plus(inner[number // BUCKETS], bucket)
    for number, expected in enumerate(inner):
        if stored.get((1, number), Bucket()) != expected:
            walk.tell("fingerprint", f"inner {number}", "is not the sum of its leaves")
    root = Bucket()
    for bucket in inner:
        root = _plus(root, bucket)
    if stored.get((0, 0), Bucket()) != root:
        walk.tell("fingerprint", "root 0", "is not the sum of all leaves")


def _plus(one: Bucket, other: Bucket) -> Bucket:
    total = int.from_bytes(one.sum, "big") + int.from_bytes(other.sum, "big")
    return Bucket((total % 2**256).to_bytes(32, "big"), one.count + other.count)


def _summed(walk: Walk) -> Sums:
    """Walk over all that has a fingerprint once more."""
    tallies = {derived: Tally() for derived in DERIVED}
    again = Walk(walk.meta, walk.reading, walk.names, walk.own, False, lambda *_: None, lambda *_: None, tallies)
    for one in (walk_repositories, walk_images, walk_tags, walk_registers):
        one(again)
    return again.sums
