"""Fingerprints: the order of changes leaves no trace, and a difference is found where it is."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.sync.entries import TagValue
from protocol.sync.fingerprint import LEAVES, Bucket, differing, entry_hash, leaf
from protocol.sync.images import ImageDot, ImageState, Tombstone
from protocol.sync.repositories import RepositoryState
from protocol.sync.tags import TagDot, TagState
from protocol.sync.vector import Dot
from tests.protocol.sync.federation import IMAGES, image_value

HASHES = st.lists(st.binary(min_size=32, max_size=32))
DOT = Dot("a", bytes(16), 1)
LIVE = ImageDot(DOT, 1, 5, image_value(IMAGES[0]))


@given(HASHES)
def test_a_sum_does_not_know_the_order(hashes: list[bytes]) -> None:
    one, other = Bucket(), Bucket()
    for entry in hashes:
        one = one.add(entry)
    for entry in sorted(hashes):
        other = other.add(entry)
    assert one == other
    for entry in hashes:
        one = one.replace(entry, None)
    assert one == Bucket()


def test_what_differs_is_found() -> None:
    a, b = Bucket().add(b"a" * 32), Bucket().add(b"b" * 32)
    assert differing({1: a, 2: b, 3: Bucket()}, {1: a, 2: a, 7: b}) == [2, 7]


def test_leaves_are_spread() -> None:
    leaves = {leaf(b"%d" % n) for n in range(1000)}
    assert 0 <= min(leaves) < LEAVES // 8
    assert LEAVES * 7 // 8 < max(leaves) < LEAVES
    assert len(leaves) > 980


def test_what_is_deleted_has_no_hash() -> None:
    deleted = TagDot(DOT, 1, 5, TagValue(None, 5, "a", False, 0, "me"))
    assert entry_hash(b"k", None) is None
    assert entry_hash(b"k", TagState((deleted,))) is None
    assert entry_hash(b"k", TagState((), (deleted,))) is None
    assert entry_hash(b"k", ImageState((), (Tombstone(DOT, 1, 5),))) is None
    assert entry_hash(b"k", RepositoryState()) is None


def test_the_hash_covers_key_and_live_value_but_no_tombstone() -> None:
    known = entry_hash(b"k", ImageState((LIVE,)))
    assert known == entry_hash(b"k", ImageState((LIVE,), (Tombstone(Dot("b", bytes(16), 1), 1, 5),)))
    assert known != entry_hash(b"l", ImageState((LIVE,)))
    assert known != entry_hash(b"k", ImageState((ImageDot(DOT, 1, 6, LIVE.value),)))
