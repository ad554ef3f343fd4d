"""Wildcards match as the plain recursive definition says, and never take more than the product of the lengths."""

import time

from hypothesis import example, given
from hypothesis import strategies as st

from protocol.auth.patterns import literal, matches, pattern

TEXTS = st.text("ab:/*?", max_size=8)


def naive(wanted: str, text: str) -> bool:
    if not wanted:
        return not text
    if wanted[0] == "*":
        return naive(wanted[1:], text) or (bool(text) and naive(wanted, text[1:]))
    return bool(text) and wanted[0] in {"?", text[0]} and naive(wanted[1:], text[1:])


@given(TEXTS, TEXTS)
@example("*", "")
@example("a*b*", "ab")
@example("*?", "")
def test_it_is_what_the_definition_says(wanted: str, text: str) -> None:
    assert matches(pattern(wanted), text) == naive(wanted, text)


@given(TEXTS)
def test_a_literal_matches_itself_alone(text: str) -> None:
    assert matches(literal(text), text)
    assert not matches(literal(text), f"{text}a")


def test_stars_do_not_explode() -> None:
    began = time.process_time()
    assert not matches(pattern("a*" * 100 + "b"), "a" * 5000)
    assert time.process_time() - began < 1
