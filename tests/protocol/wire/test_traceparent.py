"""``traceparent``, as W3C Trace Context has it; whatever else comes is no trace and no error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.wire.traceparent import TraceParent, parse_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),  # Other flags are not ours to know.
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),  # A later version begins alike.
    ],
)
def test_what_says_a_trace(text: str, is_sampled: bool) -> None:
    assert parse_traceparent(text) == TraceParent(bytes.fromhex(TRACE), bytes.fromhex(SPAN), is_sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",  # Forbidden.
        f"00-{TRACE}-{SPAN}-01-more",  # Not in version 00.
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01",  # Sent twice.
    ],
)
def test_what_says_none(text: str) -> None:
    assert parse_traceparent(text) is None


@given(st.text())
def test_any_text_is_a_trace_or_none(text: str) -> None:
    parse_traceparent(text)


@given(st.binary(min_size=16, max_size=16).filter(any), st.binary(min_size=8, max_size=8).filter(any), st.booleans())
def test_it_comes_back_as_it_was(trace: bytes, span: bytes, is_sampled: bool) -> None:
    assert parse_traceparent(str(TraceParent(trace, span, is_sampled))) == TraceParent(trace, span, is_sampled)
