"""Repositories, images and tags: each row by itself, what follows from it, and the fingerprints of all."""

from itertools import chain

from node.registry.check.places import is_short, two_shorts
from node.registry.check.walk import FINGERPRINTS, Walk
from node.registry.state import image_place, repository_place, tag_place
from node.store.rows import history_key, pointed_at
from protocol.errors import Damaged, Refusal
from protocol.oci.digest import packed
from protocol.oci.names import TagName, repository_name, tag_name
from protocol.sync.entries import ImageValue
from protocol.sync.fingerprint import BUCKETS, LEAVES, Bucket, Hash, entry_hash, leaf


def walk_repositories(walk: Walk) -> None:
    """Compare names with numbers."""
    repositories, tally = walk.meta.repositories, walk.tallies["repository-names"]
    derived = ("repository-names", FINGERPRINTS)
    for key, row in chain(walk.rows(repositories.rows, *derived), walk.rows(repositories.deleted, *derived)):
        try:
            name = repository_name(key.decode("ascii", "replace"))
        except Refusal:
            walk.malformed("repositories", key)
            continue
        number = row.number.to_bytes(8, "big")
        tally.expect(number + key)
        if not repositories.numbers.has(walk.txn, number):
            walk.names.recovered[row.number] = name
        place = repository_place(name)
        _add(walk, place, entry_hash(place, row.state))
    for key, name_bytes in walk.values(repositories.numbers, "repository-names", FINGERPRINTS):
        tally.find(key + name_bytes)
    for key, _ in walk.values(repositories.burials):
        if len(key) != 8 or repositories.numbers.has(walk.txn, key):
            walk.malformed("repository-burials", key)


def walk_images(walk: Walk) -> None:
    """Look at each image, and expect what it names and what names it."""
    images = walk.meta.images
    derived = ("parents", "referrers", "names", "holds", FINGERPRINTS)
    for key, state in walk.rows(images.alive, *derived):
        if not is_short(key, 8):
            walk.malformed("images", key)
        elif state.shown is None:
            walk.tell("row", walk.names.image(key), "is deleted, in the table of those that are not")
        else:
            name = walk.name_of(key)
            if name is not None:
                place = image_place(name, key[8:])
                _add(walk, place, entry_hash(place, state))
            _expect_of_image(walk, key, state.shown.value)
    for key, state in walk.rows(images.deleted):
        if not is_short(key, 8):
            walk.malformed("images-deleted", key)
        elif state.dots:
            walk.tell("row", walk.names.image(key), "is alive, in the table of those that are deleted")
        elif images.alive.bytes.has(walk.txn, key):
            walk.tell("row", walk.names.image(key), "is alive and deleted")


def walk_named(walk: Walk) -> None:
    """Find which manifests name which."""
    for table, tally in (
        (walk.meta.images.parents, walk.tallies["parents"]),
        (walk.meta.images.referrers, walk.tallies["referrers"]),
    ):
        for key in walk.keys(table):
            if two_shorts(key, 8) is None:
                walk.malformed(table.name, key)
            else:
                tally.find(key)


def _expect_of_image(walk: Walk, key: bytes, value: ImageValue) -> None:
    repository, short = key[:8], key[8:]
    for blob in {packed(one.digest) for one in value.blobs}:
        walk.tallies["names"].expect(repository + blob)
    for child in {packed(one) for one in value.children}:
        walk.tallies["parents"].expect(repository + child + short)
    if value.subject is not None:
        walk.tallies["referrers"].expect(repository + packed(value.subject) + short)
    copy = walk.copy_key(key)
    if copy is None:
        return
    row = walk.blob(copy)
    if row is None:
        walk.tell("content", walk.names.image(key), "its manifest is missing")
        return
    walk.tallies["holds"].expect(copy)
    if isinstance(row, Damaged):
        return
    if (row.size, row.root) != (value.size, value.root):
        walk.tell("row", walk.names.image(key), "says another size or root than its manifest has")
    if row.number:
        walk.manifests.add(row.number)


def walk_tags(walk: Walk) -> None:
    """Look at each tag that is there, and compare the tags by what they point at."""
    tags, tally = walk.meta.tags, walk.tallies["tags-of-image"]
    for key, state in walk.rows(tags.alive, "tags-of-image", FINGERPRINTS):
        digest, tag = pointed_at(state), _tag(walk, "tags", key)
        if tag is None:
            continue
        if digest is None:
            walk.tell("row", walk.names.tag(key), "is deleted, in the table of those that are not")
            continue
        short, name = packed(digest), walk.name_of(key)
        tally.expect(key[:8] + short + key[8:])
        if name is not None:
            place = tag_place(name, tag)
            _add(walk, place, entry_hash(place, state))
        if not walk.meta.images.alive.bytes.has(walk.txn, key[:8] + short):
            walk.tell("dangling", walk.names.tag(key), f"points at {digest}, which is not there")
    for key in walk.keys(tags.of_image):
        tally.find(key)


def walk_remembered_tags(walk: Walk) -> None:
    """Look at each tag that was deleted, and at what tags pointed at before."""
    tags = walk.meta.tags
    for key, state in walk.rows(tags.deleted):
        if _tag(walk, "tags-deleted", key) is None:
            continue
        if pointed_at(state) is not None:
            walk.tell("row", walk.names.tag(key), "is alive, in the table of those that are deleted")
        elif tags.alive.bytes.has(walk.txn, key):
            walk.tell("row", walk.names.tag(key), "is alive and deleted")
    for key, lost in walk.rows(tags.history):
        tag = _tag(walk, "tag-history", key[:8] + key[8:].partition(b"\0")[0], whole=key)
        if tag is not None and history_key(int.from_bytes(key[:8], "big"), tag, lost) != key:
            walk.tell("row", walk.names.tag(key[: 8 + len(tag)]), "has a lost value in the wrong place of its history")


def _tag(walk: Walk, table: str, key: bytes, *, whole: bytes = b"") -> TagName | None:
    try:
        return tag_name(key[8:].decode("ascii", "replace"))
    except Refusal:
        walk.malformed(table, whole or key)
        return None


def _add(walk: Walk, place: bytes, entry: Hash | None) -> None:
    if entry is not None:
        walk.sums.add(leaf(place), entry)


def walk_fingerprints(walk: Walk) -> None:
    """Compare leaves, inner buckets and root with what the walks over repositories, images and tags came to."""
    table = walk.meta.sums.buckets
    is_known = FINGERPRINTS not in walk.unread and not walk.reading.is_live  # Else ``running`` compares.
    for key, bucket in walk.rows(table):
        expected = _expected(walk, key)
        if expected is None:
            walk.malformed("sums", key)
        elif is_known and bucket != expected:
            what = f"is of {bucket.count} entries" if bucket.count != expected.count else "is of other entries"
            walk.tell("fingerprint", _bucket(key), f"{what}; there are {expected.count}")
    if is_known:
        leaves = [number for number, count in enumerate(walk.sums.counts) if count]
        inner = sorted({number // BUCKETS for number in leaves})
        for level, numbers in ((0, [0] if leaves else []), (1, inner), (2, leaves)):
            for key in (bytes([level]) + number.to_bytes(2, "big") for number in numbers):
                if not table.bytes.has(walk.txn, key):
                    walk.tell("fingerprint", _bucket(key), "is missing")


def _expected(walk: Walk, key: bytes) -> Bucket | None:
    """Return what a fingerprint has to be; ``None`` where there is none of this key."""
    if len(key) != 3:
        return None
    number = int.from_bytes(key[1:], "big")
    match key[0]:
        case 0 if number == 0:
            part = slice(0, LEAVES)
        case 1 if number < BUCKETS:
            part = slice(number * BUCKETS, (number + 1) * BUCKETS)
        case 2:
            part = slice(number, number + 1)
        case _:
            return None
    return Bucket(_bytes(sum(walk.sums.sums[part])), sum(walk.sums.counts[part]))


def _bytes(total: int) -> bytes:
    return (total % 2**256).to_bytes(32, "big")


def _bucket(key: bytes) -> str:
    return f"{('root', 'inner', 'leaf')[key[0]]} {int.from_bytes(key[1:], 'big')}"
