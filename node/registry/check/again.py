"""Whether something derived still differs from what it is derived from, looked at in one transaction.

A walk over a running node reads pages at different times, so what it finds to differ may have changed in between. Here
all that one key depends on is looked up at once. That costs a few lookups, but for how many images name a blob, which
takes a look at every image of the repository.
"""

from node.registry.check.places import short_length, two_shorts
from node.registry.check.walk import Derived
from node.store.copies import digest_length
from node.store.meta import Meta
from node.store.rows import pointed_at
from node.store.table import BytesTable, ReadTxn
from protocol.errors import Damaged
from protocol.oci.digest import packed
from protocol.sync.entries import ImageValue
from protocol.sync.record import read_record

_PAGE = 500


def counted_again(meta: Meta, txn: ReadTxn, derived: Derived, key: bytes) -> tuple[int, int]:
    """Return how often a key is expected and found now; equal where a row cannot be read, which is told elsewhere."""
    try:
        return _COUNTS[derived](meta, txn, key)
    except (Damaged, IndexError, ValueError):
        return 0, 0


def is_forgotten(meta: Meta, txn: ReadTxn, short: bytes) -> bool:
    """Whether nothing holds a blob that is here, and nothing will ever look at it."""
    row = meta.blobs.rows.get(txn, short)
    if row is None or row.holds:
        return False
    place, last = bytes(8) + short, b""
    while keys := meta.blobs.due.keys(txn, b"", after=last, limit=_PAGE):
        if any(key[8:] == place for key in keys):
            return False
        last = keys[-1]
    return True


def _names_of_repositories(meta: Meta, txn: ReadTxn, key: bytes) -> tuple[int, int]:
    number, name = key[:8], key[8:]
    row = meta.repositories.rows.get(txn, name)
    expected = row is not None and row.number.to_bytes(8, "big") == number
    return expected, meta.repositories.numbers.get(txn, number) == name


def _value(meta: Meta, txn: ReadTxn, key: bytes) -> ImageValue | None:
    state = meta.images.alive.get(txn, key)
    return None if state is None or state.shown is None else state.shown.value


def _parents(meta: Meta, txn: ReadTxn, key: bytes) -> tuple[int, int]:
    child, parent = two_shorts(key, 8) or (b"", b"")
    value = _value(meta, txn, key[:8] + parent)
    expected = value is not None and child in {packed(one) for one in value.children}
    return expected, meta.images.parents.has(txn, key)


def _referrers(meta: Meta, txn: ReadTxn, key: bytes) -> tuple[int, int]:
    subject, image = two_shorts(key, 8) or (b"", b"")
    value = _value(meta, txn, key[:8] + image)
    expected = value is not None and value.subject is not None and packed(value.subject) == subject
    return expected, meta.images.referrers.has(txn, key)


def _tags_of_image(meta: Meta, txn: ReadTxn, key: bytes) -> tuple[int, int]:
    end = 8 + short_length(key, 8)
    digest = pointed_at(meta.tags.alive.get(txn, key[:8] + key[end:]))
    expected = digest is not None and packed(digest) == key[8:end]
    return expected, meta.tags.of_image.has(txn, key)


def _names(meta: Meta, txn: ReadTxn, key: bytes) -> tuple[int, int]:
    link, blob, last, expected = meta.blobs.links.get(txn, key), key[8:], b"", 0
    while page := meta.images.alive.items(txn, key[:8], after=last, limit=_PAGE):
        last = page[-1][0][8:]
        shown = [state.shown for _, state in page]
        expected += sum(
            one is not None and blob in {packed(named.digest) for named in one.value.blobs} for one in shown
        )
    return expected, 0 if link is None else link.names


def _holders(meta: Meta, txn: ReadTxn, key: bytes) -> tuple[int, int]:
    return meta.blobs.links.bytes.has(txn, key[-8:] + key[:-8]), meta.blobs.holders.has(txn, key)


def _due(meta: Meta, txn: ReadTxn, key: bytes) -> tuple[int, int]:
    link = meta.blobs.links.get(txn, key[8:])
    return link is not None and link.due == int.from_bytes(key[:8], "big"), meta.blobs.due.has(txn, key)


def _holds(meta: Meta, txn: ReadTxn, key: bytes) -> tuple[int, int]:
    row = meta.blobs.rows.get(txn, key)
    if row is None:
        return 0, 0
    short, domain = key[: digest_length(key)], key[digest_length(key) :]

    def holds(number: bytes, table: BytesTable) -> bool:
        return table.has(txn, number + short) and meta.blobs.domain(txn, int.from_bytes(number, "big")) == domain

    holders = meta.blobs.holders.keys(txn, short, limit=2**31)
    expected, last = sum(holds(one[-8:], meta.blobs.links.bytes) for one in holders), b""
    while numbers := meta.repositories.numbers.keys(txn, b"", after=last, limit=_PAGE):
        last = numbers[-1]
        expected += sum(holds(number, meta.images.alive.bytes) for number in numbers)
    return expected, row.holds


def _records(meta: Meta, txn: ReadTxn, key: bytes) -> tuple[int, int]:
    place, dot = key[-8:], key[:-8]
    data = meta.journal.records.get(txn, place)
    record = None if data is None else read_record(data)
    expected = record is not None and record.node.encode() + record.incarnation + record.seq.to_bytes(8, "big") == dot
    return expected, meta.journal.places.get(txn, dot) == place


def _replication_open(meta: Meta, txn: ReadTxn, key: bytes) -> tuple[int, int]:
    destination, _, rest = key.partition(b"\0")
    row = meta.replicas.statuses.get(txn, destination + b"\0" + rest[8:])
    expected = row is not None and row.status != "COMPLETE" and row.wanted.to_bytes(8, "big") == rest[:8]
    return expected, meta.replicas.open.has(txn, key)


_COUNTS = {
    "repository-names": _names_of_repositories,
    "parents": _parents,
    "referrers": _referrers,
    "tags-of-image": _tags_of_image,
    "names": _names,
    "holders": _holders,
    "due": _due,
    "holds": _holds,
    "records": _records,
    "replication-open": _replication_open,
}
