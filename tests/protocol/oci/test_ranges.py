"""Ranges ask for bytes that are there, each once, or are ignored, or refused; numbers are ASCII digits."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ParameterInvalid, RangeUnsatisfiable, UploadInvalid
from protocol.oci.ranges import (
    MAX_OFFSET,
    MAX_RANGES,
    Span,
    byte_ranges,
    etag_matches,
    if_match,
    if_range,
    parse_uint,
    part_end,
    part_head,
    upload_extent,
    upload_range,
)

HUGE = "9" * 400


@pytest.mark.parametrize(
    ("header", "spans", "why"),
    [
        ("bytes=500-1499", [(500, 1000)], "from the conformance suite"),
        ("bytes=500-", [(500, 1500)], "to the end"),
        ("bytes=-500", [(1500, 500)], "the last"),
        ("bytes=1000-5000", [(1000, 1000)], "past the end: what is there"),
        ("bytes=-5000", [(0, 2000)], "more than there is"),
        (f"bytes=5-{HUGE}", [(5, 1995)], "a number of any length"),
        ("Bytes = 0-0", [(0, 1)], "units have no case"),
        ("bytes=0-9,100-109", [(0, 10), (100, 10)], "two"),
        ("bytes=100-109,,\t0-9", [(0, 10), (100, 10)], "ascending, empty ones skipped"),
        ("bytes=0-9,10-19", [(0, 20)], "they touch"),
        ("bytes=0-99,50-60", [(0, 100)], "one in the other"),
        ("bytes=0-99,50-149,5000-", [(0, 150)], "they overlap, and one lies past the end"),
        ("bytes=" + "0-," * 1000, [(0, 2000)], "many, but all one"),
        ("items=0-9", None, "another unit"),
        ("bytes 0-9", None, "no list"),
        ("bytes=", None, "an empty list"),
        ("bytes=0-9;10-19", None, "no range"),
        ("bytes=x-9", None, "no number"),
        ("bytes=+0-9", None, "a sign"),
        ("bytes=0-1_0", None, "an underscore, which int() takes"),
        ("bytes=0-\uff19", None, "a digit, but not ASCII"),
        ("bytes=0-9,7", None, "one that is none spoils all"),
        ("bytes=" + ",".join(f"{n * 2}-{n * 2}" for n in range(MAX_RANGES + 1)), None, "too many parts"),
        ("bytes=" + "0-," * 10_000, None, "too long a list"),
    ],
)
def test_range(header: str, spans: list[Span] | None, why: str) -> None:
    assert byte_ranges(header, 2000) == spans


@pytest.mark.parametrize("header", ["bytes=2000-", "bytes=500-0", "bytes=-0", f"bytes={HUGE}-", "bytes=2000-2001,5-4"])
def test_an_unsatisfiable_range_says_how_much_there_is(header: str) -> None:
    with pytest.raises(RangeUnsatisfiable) as refusal:
        byte_ranges(header, 2000)
    assert refusal.value.headers == (("content-range", "bytes */2000"),)


def test_nothing_has_no_ranges() -> None:
    with pytest.raises(RangeUnsatisfiable):
        byte_ranges("bytes=0-", 0)


@given(
    size=st.integers(0, 100),
    ranges=st.lists(st.tuples(st.integers(0, 120) | st.just(""), st.integers(0, 120) | st.just(""))),
)
def test_ranges_cover_what_was_asked_for_once(size: int, ranges: list[tuple[object, object]]) -> None:
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in ranges)
    with suppress(RangeUnsatisfiable):
        spans = byte_ranges(header, size)
        if spans is not None:
            covered = [at for start, length in spans for at in range(start, start + length)]
            asked = {at for one in ranges for at in range(size) if is_in(at, one, size)}
            assert covered == sorted(asked)


def is_in(at: int, bounds: tuple[object, object], size: int) -> bool:
    first, last = bounds
    if isinstance(first, int):
        return first <= at and not (isinstance(last, int) and last < at)
    return isinstance(last, int) and at >= size - last


@given(header=st.text(), size=st.integers(0, 2**63))
def test_any_text_is_a_range_or_ignored_or_refused(header: str, size: int) -> None:
    with suppress(RangeUnsatisfiable):
        byte_ranges(f"bytes={header}", size)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("0010", 10), ("100", 100), ("0" * 5000 + "7", 7)])
def test_is_a_number(text: str, number: int) -> None:
    assert parse_uint(text, 100) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "+5", " 5", "1_0", "1e9", "\uff11\uff12", "0x1", "101", HUGE, "1\n", "\u00b2"]
)
def test_is_no_number(text: str) -> None:
    with pytest.raises(ParameterInvalid):
        parse_uint(text, 100)


@pytest.mark.parametrize(
    ("text", "ends"),
    [("0-9", (0, 9)), (" 10-10", (10, 10)), ("bytes 10-19/20", (10, 19)), ("bytes 10-19/*", (10, 19))],
)
def test_content_range_of_a_chunk(text: str, ends: tuple[int, int]) -> None:
    assert upload_range(text) == ends


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9",
        "9-",
        "-9",
        "9-0",
        "0-1_0",
        "0-9/10",
        "bytes=0-9",
        "bytes 0-9",
        "items 0-9/10",
        f"0-{HUGE}",
        "0-9-",
        "a-b",
    ],
)
def test_no_content_range_of_a_chunk(text: str) -> None:
    with pytest.raises(UploadInvalid):
        upload_range(text)


def test_how_far_an_upload_has_come() -> None:
    assert [upload_extent(size) for size in (0, 1, 2, 10)] == ["0-0", "0-0", "0-1", "0-9"]
    assert upload_range(f"0-{MAX_OFFSET}") == (0, MAX_OFFSET)


ETAG = '"sha256:ab"'


@pytest.mark.parametrize(
    ("header", "weakly", "strongly", "why"),
    [
        (ETAG, True, True, "itself"),
        (f'"x",  {ETAG}', True, True, "in a list"),
        (f"W/{ETAG}", True, False, "weak"),
        ("*", True, True, "anything"),
        ('"*"', False, False, "a tag like any other"),
        ("sha256:ab", True, False, "as old clients send it"),
        ("sha256:abc", False, False, "another"),
        ('"sha256:ab', False, False, "unfinished"),
        ("", False, False, "none"),
    ],
)
def test_conditions(header: str, weakly: bool, strongly: bool, why: str) -> None:
    assert (etag_matches(header, ETAG), if_match(header, ETAG)) == (weakly, strongly)


@pytest.mark.parametrize(
    ("header", "heeded"), [(ETAG, True), (f"W/{ETAG}", False), ("Wed, 21 Oct 2015 07:28:00 GMT", False)]
)
def test_if_range(header: str, heeded: bool) -> None:
    assert if_range(header, ETAG) == heeded


def test_parts() -> None:
    assert part_head("b", "text/plain", 5, 10, 20) + part_end("b") == (
        b"\r\n--b\r\ncontent-type: text/plain\r\ncontent-range: bytes 5-14/20\r\n\r\n\r\n--b--\r\n"
    )
