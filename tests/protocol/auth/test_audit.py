"""The chain shows what was changed, left out or put in; a checkpoint what the owner of the chain changed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.auth.audit import (
    FIRST,
    Chain,
    Checkpoint,
    Entry,
    checkpoint_message,
    encode_entry,
    entry_hash,
    read_entry,
)


def chain_of(count: int) -> list[tuple[int, bytes | None]]:
    found: list[tuple[int, bytes | None]] = []
    prev = FIRST
    for seq in range(1, count + 1):
        data = encode_entry(Entry(seq, seq << 16, "arn", "203.0.113.9", "ecr:PutImage", "app", "ok", "r-1", prev))
        found.append((seq, data))
        prev = entry_hash(data)
    return found


def faults(entries: list[tuple[int, bytes | None]]) -> list[int]:
    found: list[int] = []
    chain = Chain((0, FIRST), lambda seq, _what: found.append(seq))
    for seq, data in entries:
        chain.add(seq, data)
    return found


def test_a_chain_has_no_faults() -> None:
    assert faults(chain_of(5)) == []


@given(st.integers(0, 4), st.sampled_from(["who", "action", "resource", "result", "source"]))
def test_an_entry_that_was_changed_shows_at_the_next_one(at: int, field: str) -> None:
    entries = chain_of(6)
    data = entries[at][1]
    assert data is not None
    changed = msgspec.structs.replace(read_entry(data), **{field: "somebody else"})
    entries[at] = entries[at][0], encode_entry(changed)
    assert faults(entries) == [at + 2]


@given(st.integers(0, 4))
def test_an_entry_that_was_taken_out_is_missing(at: int) -> None:
    entries = chain_of(6)
    del entries[at]
    assert faults(entries) == [at + 1]


@given(st.binary(max_size=40))
def test_what_is_no_entry_is_told_of(data: bytes) -> None:
    entries = chain_of(3)
    entries[1] = 2, data
    assert 2 in faults(entries)


@pytest.mark.parametrize("field", ["registry", "node", "incarnation", "seq", "hash", "hlc"])
def test_a_checkpoint_signs_for_all_that_it_says(field: str) -> None:
    one = Checkpoint("111111111111/eu-west-1", "node", bytes(16), 7, bytes(32), 9)
    other = msgspec.structs.replace(
        one, **{field: {"seq": 8, "hlc": 8}.get(field, b"x" if field in {"hash", "incarnation"} else "x")}
    )
    assert checkpoint_message(one) != checkpoint_message(other)
    assert checkpoint_message(one) == checkpoint_message(msgspec.structs.replace(one, signature=b"s"))
