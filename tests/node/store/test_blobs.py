"""Counts, due times and links of blobs stay in step with each other, whatever happens in which order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.store.blobs import DUE_AFTER, BlobRow, LinkRow
from node.store.meta import Meta
from node.store.table import WriteTxn
from protocol.errors import Damaged
from protocol.oci.digest import Digest, digest_of, packed, unpacked

ONE, OTHER = digest_of(b"one"), digest_of(b"other", "sha512")
NOW = 1_800_000_000.0
HOUR = 3600.0
Step: TypeAlias = tuple[str, int, Digest]


def row(size: int = 3, number: int = 0) -> BlobRow:
    return BlobRow(size, number, bytes(32), 0)


def add(meta: Meta, txn: WriteTxn, digest: Digest) -> bool:
    return meta.blobs.add(txn, digest, row(), b"abc", b"")


@contextmanager
def writing(meta: Meta) -> Iterator[WriteTxn]:
    """A transaction that comes to nothing, so that the next one starts from nothing."""
    meta.blobs._seen = 0
    with meta.env.begin(write=True) as txn:
        yield txn
        txn.abort()


class Counted:
    """The same counts by hand: what was named how often where, and what holds what."""

    def __init__(self) -> None:
        self.links: dict[tuple[int, Digest], list[bool]] = {}  # Names, and whether it was seen.
        self.names: dict[tuple[int, Digest], int] = {}
        self.seen: set[tuple[int, Digest]] = set()
        self.here: set[Digest] = set()
        self.held: dict[Digest, int] = {}

    def check(self, meta: Meta, txn: WriteTxn, now: float) -> None:
        links = {(int.from_bytes(key[:8], "big"), unpacked(key[8:])): link for key, link in _links(meta, txn)}
        assert {key: link.names for key, link in links.items() if link.names} == {
            k: n for k, n in self.names.items() if n
        }
        assert {key for key, link in links.items() if link.seen} == self.seen
        assert links.keys() == self.seen | {key for key, names in self.names.items() if names}
        for digest in (ONE, OTHER):
            found = meta.blobs.get(txn, digest)
            assert (found is not None) == (digest in self.here)
            if found is not None:
                assert found.holds == self.held.get(digest, 0) + sum(key[1] == digest for key in links)
            assert sorted(meta.blobs.repositories(txn, digest, limit=99)) == sorted(
                k[0] for k in links if k[1] == digest
            )
        due = {(place, digest): when for when, place, digest in meta.blobs.due_before(txn, 2e9, limit=999) if place}
        assert due == {key: link.due for key, link in links.items() if link.due}
        assert {key for key, link in links.items() if link.due} == {
            key for key, link in links.items() if not link.names
        }
        assert all(now < link.due <= now + DUE_AFTER for link in links.values() if link.due)


def _links(meta: Meta, txn: WriteTxn) -> list[tuple[bytes, LinkRow]]:
    return meta.blobs.links.items(txn, b"", limit=999)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "show", "name", "name", "unname", "unlink", "hold", "release", "renew"]),
        st.integers(1, 2),
        st.sampled_from([ONE, OTHER]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_counts_are_those_of_a_recount(meta: Meta, steps: list[Step]) -> None:
    counted, now = Counted(), NOW
    with writing(meta) as txn:
        for step in steps:
            now += 600.0
            _act(meta, txn, counted, step, now)
            counted.check(meta, txn, now)


def _act(meta: Meta, txn: WriteTxn, counted: Counted, step: Step, now: float) -> None:
    deed, repository, digest = step
    blobs, key = meta.blobs, (repository, digest)
    match deed:
        case "add":
            assert add(meta, txn, digest) == (digest not in counted.here)
            counted.here.add(digest)
        case "show":
            blobs.show(txn, repository, digest, now=now)
            counted.seen.add(key)
        case "name":
            blobs.name(txn, repository, digest)
            counted.names[key] = counted.names.get(key, 0) + 1
        case "unname" if counted.names.get(key):
            blobs.unname(txn, repository, digest, now=now)
            counted.names[key] -= 1
        case "unlink" if not counted.names.get(key):
            blobs.unlink(txn, repository, digest, now=now)
            counted.seen.discard(key)
        case "hold" if digest in counted.here:
            blobs.hold(txn, digest)
            counted.held[digest] = counted.held.get(digest, 0) + 1
        case "release" if counted.held.get(digest):
            blobs.release(txn, digest, now=now)
            counted.held[digest] -= 1
        case "renew":
            blobs.renew(txn, repository, digest, now=now)
        case _:
            pass


def test_what_was_named_and_never_given_shows_nothing(meta: Meta) -> None:
    with writing(meta) as txn:
        add(meta, txn, ONE)
        meta.blobs.show(txn, 1, ONE, now=NOW)
        meta.blobs.name(txn, 2, ONE)
        assert meta.blobs.visible(txn, 1, ONE) is not None
        assert meta.blobs.visible(txn, 2, ONE) is None  # Knowing the digest opened nothing.
        assert meta.blobs.visible(txn, 3, ONE) is None
        meta.blobs.show(txn, 2, ONE, now=NOW)
        assert meta.blobs.visible(txn, 2, ONE) is not None


def test_a_link_to_what_is_not_here_shows_nothing(meta: Meta) -> None:
    with writing(meta) as txn:
        meta.blobs.show(txn, 1, ONE, now=NOW)
        assert meta.blobs.visible(txn, 1, ONE) is None


def test_a_name_without_a_link_is_damage(meta: Meta) -> None:
    with writing(meta) as txn, pytest.raises(Damaged):
        meta.blobs.unname(txn, 1, ONE, now=NOW)


def test_a_due_time_moves_at_most_once_an_hour(meta: Meta) -> None:
    with writing(meta) as txn:
        meta.blobs.show(txn, 1, ONE, now=NOW)
        for after, moves in ((HOUR - 1, False), (HOUR + 1, True), (24 * HOUR, True)):
            link = meta.blobs.link(txn, 1, ONE)
            assert link is not None
            assert meta.blobs.needs_renewal(link, now=NOW + after) == moves
            assert link.due - (NOW + after) >= 24 * HOUR or moves  # What was told to a client holds.
        meta.blobs.renew(txn, 1, ONE, now=NOW + 2 * HOUR)
        assert meta.blobs.due_before(txn, 2e9, limit=9) == [(int(NOW + 2 * HOUR) + DUE_AFTER, 1, ONE)]


def test_what_is_named_has_no_due_time(meta: Meta) -> None:
    with writing(meta) as txn:
        meta.blobs.show(txn, 1, ONE, now=NOW)
        meta.blobs.name(txn, 1, ONE)
        assert meta.blobs.due_before(txn, 2e9, limit=9) == []
        link = meta.blobs.link(txn, 1, ONE)
        assert link is not None
        assert not meta.blobs.needs_renewal(link, now=2e9)


def test_what_nothing_holds_goes_and_what_is_held_stays(meta: Meta) -> None:
    with writing(meta) as txn:
        meta.blobs.add(txn, ONE, row(600 * 2**20, 7), None, bytes(32) * 601)
        meta.blobs.hold(txn, ONE)
        assert meta.blobs.is_numbered(txn, 7)
        assert meta.blobs.drop_if_free(txn, ONE) is None
        meta.blobs.release(txn, ONE, now=NOW)
        assert meta.blobs.due_before(txn, 2e9, limit=9) == [(int(NOW) + DUE_AFTER, 0, ONE)]
        dropped = meta.blobs.drop_if_free(txn, ONE)
        assert dropped is not None
        assert dropped.number == 7
        assert not meta.blobs.is_numbered(txn, 7)
        assert meta.blobs.maps.count(txn) == 0
        assert meta.blobs.drop_if_free(txn, ONE) is None
        add(meta, txn, OTHER)
        small = meta.blobs.drop_if_free(txn, OTHER)
        assert small is not None
        assert small.number == 0
        assert meta.blobs.contents.count(txn) == 0


def test_a_long_chunk_map_comes_back_whole(meta: Meta) -> None:
    hashes = b"".join(n.to_bytes(32, "big") for n in range(1201))
    with writing(meta) as txn:
        meta.blobs.add(txn, ONE, row(1201 * 2**20, 7), None, hashes)
        found = meta.blobs.get(txn, ONE)
        assert found is not None
        assert meta.blobs.hashes(txn, found) == hashes


def test_a_content_that_is_missing_is_damage(meta: Meta) -> None:
    with writing(meta) as txn:
        add(meta, txn, ONE)
        meta.blobs.contents.delete(txn, packed(ONE))
        with pytest.raises(Damaged):
            meta.blobs.content(txn, ONE)


def test_due_rows_come_oldest_first_and_none_before_its_time(meta: Meta, tmp_path: Path) -> None:
    with writing(meta) as txn:
        for repository, at in ((2, NOW), (1, NOW + 5)):
            meta.blobs.show(txn, repository, ONE, now=at)
        due = int(NOW) + DUE_AFTER
        assert meta.blobs.due_before(txn, due - 1, limit=9) == []
        assert meta.blobs.due_before(txn, due, limit=9) == [(due, 2, ONE)]
        assert meta.blobs.due_before(txn, due + 5, limit=1) == [(due, 2, ONE)]
        meta.blobs.undue(txn, due, 2, ONE)
        assert meta.blobs.due_before(txn, due + 5, limit=9) == [(due + 5, 1, ONE)]


def test_a_clock_that_goes_back_shortens_no_day_and_one_that_was_wrong_is_forgotten(meta: Meta) -> None:
    with writing(meta) as txn:
        for now, due in (
            (NOW, NOW),
            (NOW - 24 * HOUR, NOW),
            (NOW + HOUR, NOW + HOUR),
            (NOW - 30 * 24 * HOUR, NOW - 30 * 24 * HOUR),
        ):
            meta.blobs.show(txn, 1, ONE, now=now)
            assert _links(meta, txn)[0][1].due == due + DUE_AFTER


def test_a_clock_that_goes_back_hides_no_link_that_is_to_be_put_off(meta: Meta) -> None:
    with writing(meta) as txn:
        meta.blobs.show(txn, 1, ONE, now=NOW)
        link = meta.blobs.link(txn, 1, ONE)
        assert link is not None
        meta.blobs.show(txn, 2, OTHER, now=NOW + 2 * HOUR)
        assert meta.blobs.needs_renewal(link, now=NOW - 20 * HOUR)
