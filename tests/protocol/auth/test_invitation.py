"""Tokens come back as they were made, or are refused with a reason; a proof holds for one server and one request."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.auth.invitation import Invitation, format_token, parse_token, proof, proves, verifier
from protocol.auth.names import Account, Region
from protocol.errors import ParameterInvalid

INVITATION = Invitation(
    1, Account("111111111111"), Region("eu-west-1"), b"f" * 32, ("a.example:6001",), b"i" * 8, b"s" * 16, 1_800_000_000
)
TOKEN = format_token(INVITATION)


def test_a_token_comes_back() -> None:
    assert parse_token(TOKEN) == INVITATION
    assert parse_token(f"  {TOKEN[:50]}\n  {TOKEN[50:].upper()} \n") == INVITATION


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "not a token"),
        ("x" * 5000, "not a token"),
        ("t\u00f6ken", "not a token"),
        ("0189", "damaged"),
        (TOKEN[:-1], "damaged"),
        (TOKEN[:40] + ("a" if TOKEN[40] != "a" else "b") + TOKEN[41:], "damaged"),
        (format_token(msgspec.structs.replace(INVITATION, version=2)), "version 2"),
    ],
)
def test_is_no_token(token: str, says: str) -> None:
    with pytest.raises(ParameterInvalid, match=says):
        parse_token(token)


@given(text=st.text("abcdefghijklmnopqrstuvwxyz234567= \n", max_size=300) | st.text(max_size=50))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with suppress(ParameterInvalid):
        parse_token(text)


def test_a_proof_holds_for_one_secret_one_server_and_one_request() -> None:
    kept = verifier(b"s" * 16)
    given = proof(kept, b"server", b"request")
    assert proves(kept, b"server", b"request", given)
    assert not proves(kept, b"serverr", b"equest", given)
    assert not proves(kept, b"other", b"request", given)
    assert not proves(kept, b"server", b"other", given)
    assert not proves(verifier(b"t" * 16), b"server", b"request", given)
    assert b"s" * 16 not in kept
