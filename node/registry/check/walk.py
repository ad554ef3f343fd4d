"""One pass over the tables of ``meta``, and what it collects on the way.

A second pass, where the first found that something derived differs, says what: it goes the same way, tells nothing of
the rows, and counts only what has to be looked at.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar, get_args

from node.registry.check.findings import Kind
from node.registry.check.places import Names
from node.registry.check.reading import Reading
from node.registry.check.tally import Tally
from node.store.blobs import BlobRow
from node.store.meta import Meta
from node.store.table import BytesTable, ReadTxn, Table
from protocol.blobs.sealing import DataKey
from protocol.errors import Damaged
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName
from protocol.sync.fingerprint import LEAVES
from protocol.sync.record import Verify

Row = TypeVar("Row")

Derived: TypeAlias = Literal[
    "repository-names",
    "parents",
    "referrers",
    "tags-of-image",
    "names",
    "holders",
    "due",
    "holds",
    "records",
    "replication-open",
]
"""What is worked out a second time by a ``Tally``: tables by their names, ``names`` of links, ``holds`` of blobs."""

FINGERPRINTS = "fingerprints"
"""What else cannot be compared where a row that counts in it cannot be read."""

DERIVED: tuple[Derived, ...] = get_args(Derived)


KeyOf: TypeAlias = Callable[[ReadTxn, Digest, BlobRow], DataKey | None]
"""``key_of(txn, copy, row)``: the data key of a sealed copy; ``None`` where it cannot be had now, which is no fault."""


def no_key(_txn: ReadTxn, _copy: Digest, _row: BlobRow) -> DataKey | None:
    """What is sealed is not opened: only its own checks are looked at."""


@dataclass(frozen=True, slots=True)
class Own:
    """As whom the node wrote its records, and how it opens what is sealed."""

    registry: str  # account/region
    node: str
    verify: Verify
    key_of: KeyOf = no_key


class Sums:
    """Fingerprints worked out again: for each leaf the sum of its entries' hashes, and how many they are."""

    def __init__(self) -> None:
        self.sums = [0] * LEAVES
        self.counts = [0] * LEAVES

    def add(self, leaf: int, entry: bytes) -> None:
        """One entry more."""
        self.sums[leaf] += int.from_bytes(entry, "big")
        self.counts[leaf] += 1


@dataclass(frozen=True, slots=True)
class Walk:
    """One pass."""

    meta: Meta
    reading: Reading
    names: Names
    own: Own
    deep: bool
    tell: Callable[[Kind, str, str], None]
    seen: Callable[[str, int], None]
    """``seen(table, rows)``: so many rows more were looked at."""
    tallies: dict[Derived, Tally]
    sums: Sums = field(default_factory=Sums)
    unread: dict[str, str] = field(default_factory=dict)
    """What cannot be compared, for a row that it is derived from could not be read; and the table of that row."""
    unheld: set[bytes] = field(default_factory=set)
    """Blobs, in short form, that nothing holds; some 120 bytes each."""
    manifests: set[int] = field(default_factory=set)
    """Numbers of blobs that are manifests of images."""
    nameless: set[int] = field(default_factory=set)
    """Repositories of which it was told that they have no name."""

    @property
    def txn(self) -> ReadTxn:
        """The transaction in which the page that is looked at was read."""
        return self.reading.txn

    def name_of(self, key: bytes) -> RepositoryName | None:
        """Return the name of the repository that *key* begins with; tell once where it has none."""
        number = int.from_bytes(key[:8], "big")
        name = self.names.of(number)
        if name is None and number not in self.nameless:
            self.nameless.add(number)
            self.unread[FINGERPRINTS] = "repository-names"
            self.tell("row", f"repository {number}", "has images, tags or links, and no name")
        return name

    def rows(self, table: Table[Row], *derived: str) -> Iterator[tuple[bytes, Row]]:
        """Yield every row; tell of each that fails its check, and that what is *derived* from it is not known."""
        for key, row in self.all_rows(table, *derived):
            if row is not None:
                yield key, row

    def all_rows(self, table: Table[Row], *derived: str) -> Iterator[tuple[bytes, Row | None]]:
        """As ``rows``, with ``None`` for a row that fails its check."""
        for key, row in self._pages(table.checked, table.bytes.name):
            if isinstance(row, Damaged):
                self._damaged(table.bytes.name, key, row, derived)
                yield key, None
            else:
                yield key, row

    def values(self, table: BytesTable, *derived: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield every value, as ``rows``."""
        for key, value in self.all_values(table, *derived):
            if value is not None:
                yield key, value

    def all_values(self, table: BytesTable, *derived: str) -> Iterator[tuple[bytes, bytes | None]]:
        """As ``values``, with ``None`` for one that fails its check."""
        for key, value in self._pages(table.checked, table.name):
            if isinstance(value, Damaged):
                self._damaged(table.name, key, value, derived)
                yield key, None
            else:
                yield key, value

    def keys(self, table: BytesTable) -> Iterator[bytes]:
        """Yield every key of a table whose values are empty: a damaged one says as much as a sound one."""
        for key, value in self._pages(table.checked, table.name):
            if isinstance(value, Damaged):
                self._damaged(table.name, key, value, ())
            elif value:
                self.tell("key", f"{table.name} {key.hex()}", "has a value where none belongs")
            yield key

    def copy_key(self, key: bytes) -> bytes | None:
        """Return what the copy is called that an image or link, with this key, holds: in its repository's domain.

        ``None`` where that cannot be read, which is told by the walk over its own table.
        """
        try:
            return key[8:] + self.meta.blobs.domain(self.txn, int.from_bytes(key[:8], "big"))
        except Damaged:
            self.unread["holds"] = "domains"
            return None

    def blob(self, short: bytes) -> BlobRow | Damaged | None:
        """Return the row of a copy; what is wrong with it is told by the walk over its own table."""
        try:
            return self.meta.blobs.rows.get(self.txn, short)
        except Damaged as damage:
            return damage

    def malformed(self, table: str, key: bytes) -> None:
        """Tell of a key that is not one."""
        self.tell("key", f"{table} {key.hex()}", "is not a key of this table")

    def _pages(
        self, checked: Callable[..., list[tuple[bytes, Row | Damaged]]], name: str
    ) -> Iterator[tuple[bytes, Row | Damaged]]:
        last = b""
        while True:
            self.reading.turn()
            page = checked(self.txn, after=last, limit=self.reading.page)
            if not page:
                return
            last = page[-1][0]
            self.seen(name, len(page))
            yield from page

    def _damaged(self, table: str, key: bytes, damage: Damaged, derived: tuple[str, ...]) -> None:
        _, _, why = str(damage).partition(": ")
        self.tell("value", f"{table} {key.hex()}", why or "fails its check")
        self.unread.update(dict.fromkeys(derived, table))
