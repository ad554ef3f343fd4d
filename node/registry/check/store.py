"""``check_store``: all tables, then all chunks.

Memory does not grow with the store but by 120 bytes for each blob that nothing holds, 60 for each manifest over 16 KiB
and 80 for each upload; Measured (2 cores, all in the page cache): 140 000 rows a
second, 80 s for a million images of two layers, 12 MB over what the start takes; with *deep* 50 000 rows a second, for
the signatures.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from node.registry.check.audit import walk_audit
from node.registry.check.blobs import walk_blobs, walk_contents, walk_domains, walk_due, walk_links, walk_numbers
from node.registry.check.chunks import ChunkCheck
from node.registry.check.findings import Checked, Kind, Report
from node.registry.check.journal import walk_journal
from node.registry.check.places import Names, readable, short_length, two_shorts
from node.registry.check.reading import Reading
from node.registry.check.registers import walk_registers
from node.registry.check.replicas import walk_documents, walk_notes, walk_replicas, walk_uploads
from node.registry.check.repositories import (
    walk_fingerprints,
    walk_images,
    walk_named,
    walk_remembered_tags,
    walk_repositories,
    walk_tags,
)
from node.registry.check.tally import MAX_EXAMINED, Examination, Tally
from node.registry.check.walk import DERIVED, Derived, Own, Walk
from node.store.store import StoppedStore

WALKS = (
    walk_repositories,
    walk_images,
    walk_named,
    walk_tags,
    walk_remembered_tags,
    walk_registers,
    walk_fingerprints,
    walk_blobs,
    walk_contents,
    walk_numbers,
    walk_links,
    walk_domains,
    walk_due,
    walk_replicas,
    walk_uploads,
    walk_notes,
    walk_documents,
    walk_audit,
    walk_journal,
)


def check_store(store: StoppedStore, own: Own, *, deep: bool, progress: Callable[[str, int], None]) -> Checked:
    """Look at all of a store that nobody changes meanwhile.

    Args:
        store: of a node that is not running.
        own: as whom the node writes records.
        deep: read every chunk and verify every record of its own, too.
        progress: told the name of a table and how many rows of it were looked at since it was told last.
    """
    report, counts = Report(), Counter[str]()

    def seen(table: str, rows: int) -> None:
        counts[table] += rows
        progress(table, rows)

    with store.meta.read() as txn:
        reading = Reading(txn)
        tallies = {derived: Tally() for derived in DERIVED}
        walk = Walk(store.meta, reading, Names(store.meta, reading), own, deep, report.tell, seen, tallies)
        for one in WALKS:
            one(walk)
        _compare(walk)
    chunks = ChunkCheck(store.meta, store.chunks, report.tell, seen, own.key_of)
    chunks.blobs(walk.manifests, deep=deep)
    chunks.uploads()
    chunks.orphans()
    return Checked(report.findings(), dict(counts))


def rows_of(store: StoppedStore) -> int:
    """Return how many rows and chunks there are to look at; constant cost."""
    with store.meta.read() as txn, store.chunks.read() as chunk_txn:
        return sum(table.count(txn) for table in store.meta.tables()) + store.chunks.count(chunk_txn)


def _compare(walk: Walk) -> None:
    """Tell what differs between what is derived and what it is derived from, and what cannot be known."""
    differing = differing_buckets(walk)
    if not any(differing.values()):
        return
    for derived, key, expected, found in examined(walk, differing, MAX_EXAMINED):
        tell_difference(walk, derived, key, expected, found)
    for derived, buckets in differing.items():
        beyond = len(buckets) - MAX_EXAMINED
        if beyond > 0:
            walk.tell("index", derived, f"differs in {beyond} more parts of 65536, which were not looked at one by one")


def differing_buckets(walk: Walk) -> dict[Derived, list[int]]:
    """Return the buckets in which a walk found a difference, and tell what cannot be compared."""
    for what, table in sorted(walk.unread.items()):
        walk.tell("skipped", what, f"was not compared: a row of {table} cannot be read")
    return {derived: tally.differing() for derived, tally in walk.tallies.items() if derived not in walk.unread}


def examined(
    walk: Walk, differing: Mapping[Derived, list[int]], most: int
) -> Iterator[tuple[Derived, bytes, int, int]]:
    """Walk again; yield each key that differs in the first *most* buckets, how often it is expected, and found."""
    examinations = {derived: Examination(differing.get(derived, [])[:most]) for derived in DERIVED}
    again = Walk(walk.meta, walk.reading, walk.names, walk.own, False, _tell_nobody, _nobody_sees, dict(examinations))
    for one in WALKS:
        one(again)
    for derived, examination in examinations.items():
        for key, expected, found in examination.differences():
            yield derived, key, expected, found


def tell_difference(walk: Walk, derived: Derived, key: bytes, expected: int, found: int) -> None:
    """Tell of a key that is not found as often as it is expected."""
    walk.tell(_kind(derived), _place(walk.names, derived, key), _what(derived, expected, found))


def _what(derived: Derived, expected: int, found: int) -> str:
    if derived == "names":
        return f"{expected} images name it, and its link says {found}"
    if derived == "holds":
        return f"{expected} links and images hold it, and its row says {found}"
    return f"a row of {derived} is {'missing' if expected > found else 'there without a reason'}"


def _kind(derived: Derived) -> Kind:
    return "count" if derived in {"names", "holds"} else "index"


def _place(names: Names, derived: Derived, key: bytes) -> str:
    """Return what a key of something derived is called for people."""
    place = key.hex()
    match derived:
        case "names":
            place = names.image(key)
        case "holds":
            place = readable(key)
        case "repository-names":
            place = key[8:].decode("ascii", "replace")
        case "parents" | "referrers":
            first, second = two_shorts(key, 8) or (key, b"")
            place = f"{names.repository(key)}@{readable(first)} by {readable(second)}"
        case "tags-of-image":
            end = 8 + short_length(key, 8)
            place = f"{names.image(key[:end])} {key[end:].decode('ascii', 'replace')}"
        case "holders":
            place = names.image(key[-8:] + key[:-8])
        case "due":
            place = names.image(key[8:])
        case "records" | "replication-open":
            pass
    return place


def _tell_nobody(_kind: Kind, _place: str, _what: str) -> None:
    """What a second walk sees was told by the first."""


def _nobody_sees(_table: str, _rows: int) -> None:
    """Nor is it counted twice."""
