"""What a store holds, with names in place of numbers, and all that is derived worked out a second time, slowly."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar

from node.registry.state import register_place
from node.store.meta import Meta
from node.store.rows import RepositoryRow
from node.store.table import BytesTable, ReadTxn, Table
from protocol.oci.digest import Digest, packed, unpacked
from protocol.oci.names import RepositoryName
from protocol.sync.fingerprint import Bucket, entry_hash, leaf
from protocol.sync.images import ImageState
from protocol.sync.tags import TagDot, TagState

Row = TypeVar("Row")
Place = tuple[str, str]
"""Repository name, and a digest or tag."""


def repositories(meta: Meta, txn: ReadTxn) -> list[tuple[RepositoryName, RepositoryRow]]:
    tables = meta.repositories.rows, meta.repositories.deleted
    return [(RepositoryName(key.decode()), row) for table in tables for key, row in table.items(txn, b"", limit=9999)]


def images(meta: Meta, txn: ReadTxn, *, deleted: bool = False) -> dict[Place, ImageState]:
    table = meta.images.deleted if deleted else meta.images.alive
    return {(name, unpacked(rest)): row for name, rest, row in _rows(meta, txn, table)}


def tags(meta: Meta, txn: ReadTxn, *, deleted: bool = False) -> dict[Place, TagState]:
    table = meta.tags.deleted if deleted else meta.tags.alive
    return {(name, rest.decode()): row for name, rest, row in _rows(meta, txn, table)}


def history(meta: Meta, txn: ReadTxn) -> dict[Place, set[TagDot]]:
    found: dict[Place, set[TagDot]] = {}
    for name, rest, row in _rows(meta, txn, meta.tags.history):
        found.setdefault((name, rest.partition(b"\0")[0].decode()), set()).add(row)
    return found


def snapshot(meta: Meta, txn: ReadTxn) -> dict[str, object]:
    """All that has to be equal at two replicas that have the same records."""
    return {
        "repositories": {name: row.state for name, row in repositories(meta, txn)},
        "images": images(meta, txn),
        "images deleted": images(meta, txn, deleted=True),
        "tags": tags(meta, txn),
        "tags deleted": tags(meta, txn, deleted=True),
        "history": history(meta, txn),
        "links": {
            (name, unpacked(rest)): (row.names, row.seen) for name, rest, row in _rows(meta, txn, meta.blobs.links)
        },
        "sums": meta.sums.root(txn),
    }


def check(meta: Meta, txn: ReadTxn) -> None:
    """Compare every count, index and sum with what the rows say that it is."""
    alive, pointing = images(meta, txn), tags(meta, txn)
    assert all(row.dots for row in alive.values())
    assert not any(row.dots for row in images(meta, txn, deleted=True).values())
    assert not any(row.values and row.values[0].value.digest for row in tags(meta, txn, deleted=True).values())
    values = {place: row.dots[0].value for place, row in alive.items()}
    _check_indexes(meta, txn, values, pointing)
    names = Counter((place[0], blob.digest) for place, value in values.items() for blob in value.blobs)
    links = {(name, unpacked(rest)): row for name, rest, row in _rows(meta, txn, meta.blobs.links)}
    assert {place: row.names for place, row in links.items() if row.names} == dict(names)
    assert all(row.seen for row in links.values() if not row.names)
    holds = Counter(digest for _, digest in links) + Counter(Digest(digest) for _, digest in values)
    for key, blob in meta.blobs.rows.items(txn, b"", limit=9999):
        assert blob.holds == holds[unpacked(key)], unpacked(key)
    _check_sums(meta, txn, alive, pointing)


def _check_indexes(meta: Meta, txn: ReadTxn, values: dict[Place, Any], pointing: dict[Place, TagState]) -> None:
    parents = {(name, child, digest) for (name, digest), value in values.items() for child in value.children}
    referrers = {(name, value.subject, digest) for (name, digest), value in values.items() if value.subject}
    of_image = {(name, row.values[0].value.digest, tag) for (name, tag), row in pointing.items()}
    assert {(name, *_two(rest)) for name, rest in _keys(meta, txn, meta.images.parents)} == parents
    assert {(name, *_two(rest)) for name, rest in _keys(meta, txn, meta.images.referrers)} == referrers
    found = {(name, *_digest_and_rest(rest)) for name, rest in _keys(meta, txn, meta.tags.of_image)}
    assert {(name, digest, rest.decode()) for name, digest, rest in found} == of_image


def _check_sums(meta: Meta, txn: ReadTxn, alive: dict[Place, ImageState], pointing: dict[Place, TagState]) -> None:
    rows: list[tuple[bytes, Any]] = [
        (b"repository\0" + name.encode(), row.state) for name, row in repositories(meta, txn)
    ]
    rows += [(b"image\0" + name.encode() + b"\0" + packed(Digest(d)), row) for (name, d), row in alive.items()]
    rows += [(b"tag\0" + name.encode() + b"\0" + tag.encode(), row) for (name, tag), row in pointing.items()]
    registers = meta.registers.rows.items(txn, b"", limit=9999)
    rows += [(register_place(*key.decode().split("\0")), state) for key, state in registers]
    root, leaves = Bucket(), dict[int, Bucket]()
    for key, state in rows:
        new = entry_hash(key, state)
        root = root.replace(None, new)
        leaves[leaf(key)] = leaves.get(leaf(key), Bucket()).replace(None, new)
    assert meta.sums.root(txn) == root
    kept = {number: one for inner in meta.sums.inner(txn) for number, one in meta.sums.leaves(txn, inner).items()}
    assert {number: one for number, one in kept.items() if one.count} == {
        n: one for n, one in leaves.items() if one.count
    }
    assert sum(bucket.count for bucket in meta.sums.inner(txn).values()) == root.count


def _rows(meta: Meta, txn: ReadTxn, table: Table[Row]) -> Iterator[tuple[str, bytes, Row]]:
    for key, row in table.items(txn, b"", limit=9999):
        yield _name(meta, txn, key), key[8:], row


def _keys(meta: Meta, txn: ReadTxn, table: BytesTable) -> Iterator[tuple[str, bytes]]:
    for key in table.keys(txn, b"", limit=9999):
        yield _name(meta, txn, key), key[8:]


def _name(meta: Meta, txn: ReadTxn, key: bytes) -> str:
    number = int.from_bytes(key[:8], "big")
    name = meta.repositories.name(txn, number) or meta.repositories.buried(txn, number)
    assert name is not None
    return name


def _two(rest: bytes) -> tuple[Digest, Digest]:
    first, second = _digest_and_rest(rest)
    return first, unpacked(second)


def _digest_and_rest(rest: bytes) -> tuple[Digest, bytes]:
    length = 65 if rest[0] == 2 else 33
    return unpacked(rest[:length]), rest[length:]
