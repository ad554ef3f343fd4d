"""Tags: which value wins, what a delete beats, and when two writers are in conflict. One test for each rule."""

from itertools import permutations

import msgspec
import pytest

from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import TagKey, TagPut, TagValue
from protocol.sync.tags import (
    HISTORY,
    TagConflict,
    TagDot,
    TagMerged,
    TagState,
    bury_tag,
    history_excess,
    merge_tag,
    next_tag_value,
    shown_history,
    tag_delete_of,
)
from protocol.sync.vector import Dead, Dot, vector
from tests.protocol.sync.federation import IMAGES

NAME, TAG = RepositoryName("app"), TagName("latest")
ONE, TWO = IMAGES


def dot(node: str, seq: int = 1) -> Dot:
    return Dot(node, bytes(16), seq)


def tag_dot(value: TagValue, at: Dot, life: int = 1) -> TagDot:
    return TagDot(at, life, value.hlc, value)


def merge(state: TagState | None, *dots: TagDot, dead: tuple[Dead, ...] = ()) -> TagState | None:
    for one in dots:
        entry = TagPut(TagKey(NAME, one.life, TAG), one.value)
        state = merge_tag(state, entry, one.dot, one.hlc, dead).state
    return state


def put(state: TagState | None, node: str, seq: int, hlc: int, *, frozen: bool = False) -> TagDot:
    """Return what *node*, which has *state*, writes to point the tag at an image."""
    at, image = dot(node, seq), ONE if node == "a" else TWO
    value = next_tag_value(state, image, hlc=hlc, node=node, frozen=frozen, by="me", dot=at)
    return tag_dot(value, at)


def delete(state: TagState | None, node: str, seq: int) -> TagDot:
    value = tag_delete_of(state, by="me", dot=dot(node, seq))
    assert value is not None
    return TagDot(dot(node, seq), 1, 50, value)


def value(
    *, generation: int = 0, frozen: bool = False, hlc: int = 5, node: str = "a", deleted: bool = False
) -> TagValue:
    return TagValue(None if deleted else ONE, hlc, node, frozen, generation, "me")


@pytest.mark.parametrize(
    ("winner", "loser", "why"),
    [
        (value(hlc=6), value(hlc=5), "of mutable ones the last wins"),
        (value(hlc=5, frozen=True), value(hlc=6, frozen=True), "of frozen ones the first wins"),
        (value(hlc=5, frozen=True), value(hlc=9), "a frozen one wins over a mutable one"),
        (value(hlc=1, generation=1), value(hlc=9, frozen=True), "a generation wins over all before it"),
        (value(node="b"), value(node="a"), "a tie goes to the greater node"),
        (value(node="b", frozen=True), value(node="a", frozen=True), "also of frozen ones"),
        (value(deleted=True), value(), "a delete beats the value that it saw"),
        (value(deleted=True, frozen=True), value(frozen=True), "also a frozen one"),
        (value(hlc=6), value(hlc=5, deleted=True), "and no later one"),
        (value(hlc=4, frozen=True), value(hlc=5, frozen=True, deleted=True), "nor an earlier frozen one"),
        (value(node="b"), value(node="a", deleted=True), "nor one that wins the tie"),
    ],
)
def test_of_two_written_apart(winner: TagValue, loser: TagValue, why: str) -> None:
    above, below = tag_dot(winner, dot("x")), tag_dot(loser, dot("y"))
    for order in permutations([above, below]):
        assert merge(None, *order) == TagState((above, below))


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("deleted", [False, True])
def test_a_put_wins_over_what_it_saw(before: bool, frozen: bool, deleted: bool) -> None:
    state = merge(None, put(None, "a", 1, 5, frozen=before))
    state = merge(state, delete(state, "a", 2)) if deleted else state
    new = put(state, "b", 1, 6, frozen=frozen)
    assert new.value.generation == (1 if before else 0)
    assert merge(state, new) == TagState((new,))


def test_a_put_wins_also_where_the_clock_does_not() -> None:
    state = merge(None, put(None, "a", 1, 5))
    assert merge(state, put(state, "a", 2, 3)) == TagState((put(state, "a", 2, 3),))


def test_there_is_nothing_to_delete_where_nothing_is() -> None:
    state = merge(None, put(None, "a", 1, 5))
    deleted = merge(state, delete(state, "b", 1))
    assert tag_delete_of(None, by="me", dot=dot("a")) is None
    assert tag_delete_of(deleted, by="me", dot=dot("a")) is None


def test_what_was_seen_by_what_outranks_it_is_lost_to_the_history() -> None:
    first = put(None, "a", 1, 5)
    state = merge(None, first)
    second = put(state, "b", 1, 6)
    merged = merge_tag(state, TagPut(TagKey(NAME, 1, TAG), second.value), second.dot, second.hlc)
    assert merged == TagMerged(TagState((second,)), (first,))
    late = merge_tag(merge(None, second), TagPut(TagKey(NAME, 1, TAG), first.value), first.dot, first.hlc)
    assert late == TagMerged(TagState((second,)), (first,))


def test_a_value_that_its_writer_wrote_under_a_greater_one_does_not_outlive_it_nor_die_of_it() -> None:
    ours = put(None, "a", 1, 10)
    theirs = tag_dot(value(hlc=8, node="z"), dot("a", 2))  # Replicated, with the clock of its source.
    state = merge(None, theirs, ours)
    assert state == merge(None, ours, theirs) == TagState((ours, theirs))
    assert bury_tag(state, (Dead(1, vector([dot("a", 1)])),)) == TagState((theirs,))


def test_two_that_did_not_see_each_other_are_in_conflict_once() -> None:
    one, two = put(None, "a", 1, 5), put(None, "b", 1, 6)
    for order in permutations([one, two]):
        state = merge(None, order[0])
        entry = TagPut(TagKey(NAME, 1, TAG), order[1].value)
        merged = merge_tag(state, entry, order[1].dot, order[1].hlc)
        assert merged.conflict == TagConflict(two, one)
        assert merge_tag(merged.state, entry, order[1].dot, order[1].hlc).conflict is None


def test_the_same_image_twice_is_no_conflict() -> None:
    one = put(None, "a", 1, 5)
    other = msgspec.structs.replace(one, dot=dot("b"), value=msgspec.structs.replace(one.value, node="b", hlc=6))
    entry = TagPut(TagKey(NAME, 1, TAG), other.value)
    assert merge_tag(merge(None, one), entry, other.dot, other.hlc).conflict is None


def test_what_a_repository_delete_did_not_see_counts_again() -> None:
    unseen, seen = put(None, "a", 1, 5), put(None, "b", 1, 6)
    dead = (Dead(1, vector([dot("b")])),)
    state = merge(None, seen, unseen)
    assert state is not None
    assert bury_tag(state, dead) == merge(None, unseen, seen, dead=dead) == TagState((unseen,))
    assert bury_tag(TagState((seen,)), dead) is None


def test_what_was_overwritten_knowingly_does_not_come_back() -> None:
    old = put(None, "a", 1, 5)
    new = put(merge(None, old), "b", 1, 6)
    dead = (Dead(1, vector([dot("b")])),)  # Its writer knew new, but not yet old.
    state = merge(None, new, old)
    assert state is not None
    assert bury_tag(state, dead) == merge(None, old, new, dead=dead) == TagState((), (new,))
    assert merge(TagState((), (new,)), old, dead=dead) == TagState((), (new,))
    assert bury_tag(TagState((), (new,)), (Dead(1, vector([dot("a"), dot("b")])),)) is None


def test_what_was_put_in_a_later_life_is_not_dead() -> None:
    later = TagDot(dot("a"), 2, 5, value())
    assert merge(None, later, dead=(Dead(1, vector([dot("a")])),)) == TagState((later,))


def test_the_history_shows_the_latest_and_keeps_as_many_of_each_writer() -> None:
    busy = [TagDot(dot("a", n), 1, n, value(hlc=n)) for n in range(1, HISTORY + 11)]
    rare = TagDot(dot("b"), 1, 1, value(hlc=1, node="b"))
    assert shown_history(TagState((busy[-1],)), [rare, *busy[:-1]]) == busy[:9:-1]
    assert history_excess([rare, *busy]) == busy[9::-1]
