"""One wrong byte of a sealed value, or of its key, is found; what is wrong in more places is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.mend import mended
from node.store.table import sealed

KEY, BODY = b"library/nginx", b"\x93\x01\xa5abcde\x90"


@pytest.mark.parametrize("at", range(len(KEY) + len(sealed(KEY, BODY))))
@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_one_wrong_byte_anywhere_is_found(at: int, bits: int) -> None:
    whole = bytearray(KEY + sealed(KEY, BODY))
    whole[at] ^= bits
    assert mended(bytes(whole[: len(KEY)]), bytes(whole[len(KEY) :])) == (KEY, sealed(KEY, BODY))


def test_one_wrong_bit_of_a_long_value_is_found() -> None:
    body = bytes(range(256)) * 63
    value = bytearray(sealed(KEY, body))
    value[5000] ^= 0x10
    assert mended(KEY, bytes(value)) == (KEY, sealed(KEY, body))


def test_a_value_that_is_empty_is_mended_by_its_key() -> None:
    assert mended(KEY[:-1] + b"y", sealed(KEY, b"")) == (KEY, sealed(KEY, b""))


@given(st.binary(min_size=1, max_size=20), st.binary(max_size=20))
def test_two_wrong_bytes_are_left_alone(key: bytes, body: bytes) -> None:
    value = bytearray(sealed(key, body + b"ab"))
    value[-1] ^= 1
    value[-2] ^= 1
    assert mended(key, bytes(value)) is None


@pytest.mark.parametrize("value", [b"", b"\x01", bytes(8), bytes(9)])
def test_what_is_too_short_for_a_seal_is_left_alone(value: bytes) -> None:
    assert mended(KEY, value) is None
