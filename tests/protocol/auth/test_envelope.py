"""A sealed secret opens under its own key and in its own place, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.auth.envelope import MASTER, NONCE, seal, subkey, unseal
from protocol.errors import Damaged

KEY = subkey(bytes(MASTER), "test")


@given(st.binary(max_size=200), st.binary(max_size=30), st.binary(min_size=NONCE, max_size=NONCE))
def test_what_is_sealed_opens(secret: bytes, place: bytes, nonce: bytes) -> None:
    sealed = seal(KEY, secret, place, nonce)
    assert unseal(KEY, sealed, place) == secret


@given(st.binary(min_size=1, max_size=40), st.integers(0, 10_000), st.integers(1, 255))
def test_nothing_can_be_changed(secret: bytes, at: int, by: int) -> None:
    sealed = bytearray(seal(KEY, secret, b"here", bytes(NONCE)))
    sealed[at % len(sealed)] ^= by
    with pytest.raises(Damaged):
        unseal(KEY, bytes(sealed), b"here")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01short", b"\x02" + bytes(40)])
def test_what_is_no_seal_is_damaged(sealed: bytes) -> None:
    with pytest.raises(Damaged):
        unseal(KEY, sealed, b"here")


def test_another_place_and_another_key_do_not_open() -> None:
    sealed = seal(KEY, b"secret", b"here", bytes(NONCE))
    for key, place in ((KEY, b"there"), (subkey(bytes(MASTER), "other"), b"here")):
        with pytest.raises(Damaged):
            unseal(key, sealed, place)


def test_keys_for_other_purposes_have_nothing_in_common() -> None:
    keys = {subkey(bytes(MASTER), label) for label in ("token-sign", "envelope", "backup", "credential-cache")}
    assert len(keys) == 4
    assert all(len(key) == 32 for key in keys)
