"""Repositories: lives follow one another, and a delete kills what it saw and nothing else."""

from protocol.oci.names import RepositoryName
from protocol.sync.entries import RepositoryDelete, RepositoryKey, RepositoryPut, RepositoryValue, Setting
from protocol.sync.repositories import RepositoryState, delete_of, merge_repository, note_life
from protocol.sync.vector import Dead, Dot, Vector, vector

KEY = RepositoryKey(RepositoryName("app"))
A1, A2, B1 = Dot("a", bytes(16), 1), Dot("a", bytes(16), 2), Dot("b", bytes(16), 1)


def put(
    state: RepositoryState | None, dot: Dot, hlc: int, values: dict[str, Setting] | None = None, *, life: int = 1
) -> RepositoryState:
    return merge_repository(state, RepositoryPut(KEY, RepositoryValue(life, values or {})), dot, hlc)


def delete(state: RepositoryState | None, life: int, *dots: Dot) -> RepositoryState:
    return merge_repository(state, RepositoryDelete(KEY, Dead(life, vector(dots))), Dot("d", bytes(16), 1), 9)


def test_the_first_life_is_one_and_each_delete_begins_the_next() -> None:
    state = put(None, A1, 5)
    assert (state.life, state.is_put) == (1, True)
    state = delete(state, 1, A1)
    assert (state.life, state.is_put) == (2, False)
    state = put(state, A2, 6, life=2)
    assert (state.life, state.is_put) == (2, True)
    assert delete(state, 2, A2).life == 3


def test_of_each_setting_the_last_writer_wins() -> None:
    one: dict[str, Setting] = {"mutability": "IMMUTABLE", "scan": True}
    two: dict[str, Setting] = {"mutability": "MUTABLE"}
    for state in (put(put(None, A1, 5, one), B1, 6, two), put(put(None, B1, 6, two), A1, 5, one)):
        assert state.settings() == {"mutability": "MUTABLE", "scan": True}
    assert put(put(None, A1, 5, {"x": 1}), B1, 5, {"x": 2}).settings() == {"x": 2}  # A tie goes to the greater node.


def test_what_a_delete_did_not_see_counts_in_the_next_life() -> None:
    for state in (
        delete(put(put(None, A1, 6, {"x": 1}), B1, 5, {"x": 2}), 1, A1),
        put(put(delete(None, 1, A1), B1, 5, {"x": 2}), A1, 6, {"x": 1}),
    ):
        assert (state.life, state.is_put, state.settings()) == (2, True, {"x": 2})


def test_an_entry_of_a_life_proves_that_the_one_before_is_over() -> None:
    state = note_life(put(None, A1, 5), 2)
    assert state.life == 2
    assert note_life(state, 1) is state
    assert delete_of(state, KEY, vector([A1])).value.life == 2


def test_a_delete_adds_what_earlier_ones_saw() -> None:
    state = delete(put(None, A1, 5), 1, A1, B1)
    assert delete_of(state, KEY, Vector((A2,))).value == Dead(2, Vector((A2, B1)))


def test_what_is_dead_stays_dead() -> None:
    state = delete(None, 1, A2)
    assert not put(state, A1, 5).is_put
    assert not put(state, A2, 5).is_put
    assert put(state, A2, 5, life=2).is_put
