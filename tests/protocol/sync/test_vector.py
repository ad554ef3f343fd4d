"""Vectors say which records a state holds; deletes of a repository have one form for what they kill."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.sync.vector import Dead, Dot, Mark, Vector, is_dead, merge_dead, vector

DOTS = st.builds(Dot, st.sampled_from("abc"), st.sampled_from([bytes(16), b"\1" * 16]), st.integers(1, 4))
VECTORS = st.lists(DOTS, max_size=5).map(vector)
DEADS = st.lists(st.builds(Dead, st.integers(1, 3), VECTORS), max_size=5)


@given(st.lists(DOTS), DOTS)
def test_covers_what_is_not_above_its_highest(dots: list[Dot], dot: Dot) -> None:
    same = [one.seq for one in dots if (one.node, one.incarnation) == (dot.node, dot.incarnation)]
    assert vector(dots).covers(dot) == (dot.seq <= max(same, default=0))


@given(VECTORS, VECTORS)
def test_a_merge_is_the_least_that_dominates_both(one: Vector, other: Vector) -> None:
    merged = one.merge(other)
    assert merged == other.merge(one)
    assert merged.dominates(one)
    assert merged.dominates(other)
    assert set(merged.dots) <= {*one.dots, *other.dots}
    assert one.dominates(other) == (merged == one)


def test_a_mark_covers_what_dies_with_it() -> None:
    a1, a2, b1 = Dot("a", bytes(16), 1), Dot("a", bytes(16), 2), Dot("b", bytes(16), 1)
    assert Mark(a2, 2).covers(Mark(a2, 2))
    assert Mark(a2, 2).covers(Mark(a1, 1))
    assert not Mark(a2, 1).covers(Mark(a1, 2))
    assert not Mark(a1, 2).covers(Mark(a2, 2))
    assert not Mark(a2, 2).covers(Mark(b1, 1))
    assert not Mark(a2, 2).covers(Mark(Dot("a", b"x" * 16, 1), 1))


def all_dead(deads: list[Dead]) -> tuple[Dead, ...]:
    merged: tuple[Dead, ...] = ()
    for dead in deads:
        merged = merge_dead(merged, (dead,))
    return merged


@given(DEADS, DOTS, st.integers(1, 4))
def test_deletes_kill_the_same_in_any_order(deads: list[Dead], dot: Dot, life: int) -> None:
    merged = all_dead(deads)
    assert is_dead(Mark(dot, life), merged) == is_dead(Mark(dot, life), tuple(deads))
    assert all_dead(sorted(deads, key=repr)) == all_dead(deads[::-1] + deads) == merged
    assert [dead.life for dead in merged[:1]] == sorted({dead.life for dead in deads})[-1:]


def test_a_part_that_a_later_life_covers_is_left_out() -> None:
    a, b = Dot("a", bytes(16), 5), Dot("b", bytes(16), 7)
    early, late = Dead(1, vector([Dot("a", bytes(16), 4), b])), Dead(2, vector([a]))
    assert merge_dead((early,), (late,)) == (late, Dead(1, vector([b])))
    assert merge_dead((late,), (Dead(3, Vector()),)) == (Dead(3, Vector()), late)
