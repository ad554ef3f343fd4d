"""What is sealed opens as what it was, and nothing else ever opens."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.blobs.sealing import (
    SEAL,
    DataKey,
    open_chunk,
    open_part,
    open_piece,
    seal_chunk,
    seal_part,
    unwrap,
    wrap,
)
from protocol.errors import Damaged

KEYS = st.builds(
    DataKey,
    st.binary(min_size=16, max_size=16),
    st.sampled_from([32, 64]).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
)
NONCE = st.binary(min_size=12, max_size=12)
DATA = st.binary(min_size=1, max_size=300)


@given(KEYS, st.integers(0, 2**32 - 1), DATA, NONCE)
@settings(deadline=None)
def test_a_chunk_keeps_its_length_and_opens(key: DataKey, index: int, data: bytes, nonce: bytes) -> None:
    kept, seal = seal_chunk(key, index, data, nonce)
    assert (len(kept), len(seal)) == (len(data), SEAL)
    assert open_chunk(key, index, kept, seal) == data


@given(KEYS, DATA, NONCE, st.data())
@settings(deadline=None)
def test_any_piece_of_a_chunk_opens_by_itself(key: DataKey, data: bytes, nonce: bytes, draw: st.DataObject) -> None:
    kept, seal = seal_chunk(key, 7, data, nonce)
    start = draw.draw(st.integers(0, (len(data) - 1) // 16)) * 16
    stop = draw.draw(st.integers(start, len(data)))
    assert open_piece(key, seal, start, kept[start:stop]) == data[start:stop]


@given(KEYS, DATA, NONCE, st.data())
@settings(deadline=None)
def test_one_bit_of_anything_and_it_does_not_open(key: DataKey, data: bytes, nonce: bytes, draw: st.DataObject) -> None:
    kept, seal = seal_chunk(key, 1, data, nonce)
    whole = bytes(kept) + seal
    bit = draw.draw(st.integers(0, 8 * len(whole) - 1))
    wrong = bytearray(whole)
    wrong[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Damaged):
        open_chunk(key, 1, bytes(wrong[: len(data)]), bytes(wrong[len(data) :]))


@given(KEYS, DATA, NONCE)
@settings(deadline=None)
def test_a_chunk_opens_in_its_own_place_alone(key: DataKey, data: bytes, nonce: bytes) -> None:
    kept, seal = seal_chunk(key, 1, data, nonce)
    other = DataKey(bytes(16 - len(b"x")) + b"x", key.secret)
    wrong: list[Callable[[], bytes]] = [
        lambda: open_chunk(key, 2, kept, seal),
        lambda: open_chunk(other, 1, kept, seal),
        lambda: open_chunk(key, 1, kept[:-1], seal),
        lambda: open_chunk(key, 1, bytes(kept) + b"\0", seal),
        lambda: open_part(key, "content", 1, len(data), seal[:12] + bytes(kept) + seal[12:]),
    ]
    for one in wrong:
        with pytest.raises(Damaged):
            one()


@given(KEYS, DATA, NONCE, st.binary(max_size=80))
@settings(deadline=None)
def test_a_part_is_bound_to_what_it_is(key: DataKey, data: bytes, nonce: bytes, junk: bytes) -> None:
    sealed = seal_part(key, "map", 3, 99, data, nonce)
    assert len(sealed) == len(data) + SEAL
    assert open_part(key, "map", 3, 99, sealed) == data
    for part, number, size in (("content", 3, 99), ("map", 2, 99), ("map", 3, 98)):
        with pytest.raises(Damaged):
            open_part(key, part, number, size, sealed)  # type: ignore[arg-type]  # One of the parts.
    if junk != sealed:
        with pytest.raises(Damaged):
            open_part(key, "map", 3, 99, junk)


@given(KEYS, st.binary(min_size=32, max_size=32), NONCE, st.binary(max_size=100))
@settings(deadline=None)
def test_a_data_key_opens_under_the_key_that_wraps_it(key: DataKey, wrapping: bytes, nonce: bytes, junk: bytes) -> None:
    wrapped = wrap(wrapping, key, nonce)
    assert unwrap(wrapping, key.id, wrapped) == key
    for other, id_, what in ((bytes(31) + b"\1", key.id, wrapped), (wrapping, bytes(15) + b"\1", wrapped)):
        if (other, id_) != (wrapping, key.id):
            with pytest.raises(Damaged):
                unwrap(other, id_, what)
    with pytest.raises(Damaged):
        unwrap(wrapping, key.id, junk)


def test_a_key_does_not_show_itself() -> None:
    assert repr(DataKey(bytes(16), b"secret" * 6)) == f"DataKey({'00' * 16}, ***)"
