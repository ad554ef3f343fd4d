"""Of a field the last writer wins in any order of records; what lost unseen is told; what ended stays ended."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from protocol.sync.entries import RegisterKey, RegisterPut, RegisterValue
from protocol.sync.registers import MergedRegister, RegisterState, merge_register, seen_by
from protocol.sync.vector import Dot

KEY = RegisterKey("policy", "registry")
Written = tuple[RegisterPut, Dot, int]


def dot(node: str, seq: int) -> Dot:
    return Dot(node, bytes(16), seq)


def put(seen: tuple[Dot, ...] = (), *, ended: bool = False, **fields: str | None) -> RegisterPut:
    return RegisterPut(KEY, RegisterValue(dict(fields), ended, "arn:aws:iam::1:root", seen))


def merged(*written: Written) -> MergedRegister:
    state, last = None, MergedRegister(RegisterState())
    for entry, at, hlc in written:
        last = merge_register(state, entry, at, hlc)
        state = last.state
    return last


def test_the_last_writer_of_a_field_wins_and_others_stay() -> None:
    found = merged((put(text="a", by="x"), dot("n1", 1), 10), (put(text="b"), dot("n1", 2), 20))
    assert found.state.values() == {"text": "b", "by": "x"}
    assert [field.value for field in found.lost] == ["a"]
    assert not found.is_conflict


def test_a_field_is_taken_away_by_none() -> None:
    assert merged((put(text="a"), dot("n1", 1), 10), (put(text=None), dot("n1", 2), 20)).state.values() == {}


def test_a_change_that_had_seen_the_other_is_no_conflict_and_one_that_had_not_is() -> None:
    first: Written = (put(text="a"), dot("n1", 1), 10)
    known = seen_by(merged(first).state, ["text"])
    assert not merged(first, (put(known, text="b"), dot("n2", 1), 20)).is_conflict
    assert merged(first, (put(text="b"), dot("n2", 1), 20)).is_conflict
    assert merged((put(text="b"), dot("n2", 1), 20), first).is_conflict
    assert not merged((put(known, text="b"), dot("n2", 1), 20), first).is_conflict, "late, and seen all the same"


def test_what_was_seen_is_passed_on() -> None:
    first: Written = (put(text="a"), dot("n1", 1), 10)
    second: Written = (put(seen_by(merged(first).state, ["text"]), text="b"), dot("n2", 1), 20)
    third: Written = (put(seen_by(merged(first, second).state, ["text"]), text="c"), dot("n3", 1), 30)
    assert not merged(third, first).is_conflict


def test_two_that_agree_are_no_conflict() -> None:
    assert not merged((put(text="a"), dot("n1", 1), 10), (put(text="a"), dot("n2", 1), 20)).is_conflict


RECORDS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["text", "name"]), st.sampled_from(["a", "b", None]), max_size=2),
        st.booleans(),
        st.sampled_from(["n1", "n2"]),
        st.integers(1, 3),
    ),
    max_size=8,
)


@given(RECORDS, st.randoms())
def test_any_order_and_repetition_gives_the_same_state(
    records: list[tuple[dict[str, str | None], bool, str, int]], random: Random
) -> None:
    written: list[Written] = [
        (RegisterPut(KEY, RegisterValue(dict(fields), ended)), dot(node, seq), hlc)
        for seq, (fields, ended, node, hlc) in enumerate(records, 1)
    ]
    again = [*written, *random.sample(written, random.randint(0, len(written)))]
    random.shuffle(again)
    assert merged(*written).state == merged(*again).state
    assert merged(*written).state.ended == any(ended for _, ended, _, _ in records)
