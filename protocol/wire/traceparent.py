"""``traceparent``: which trace a request belongs to, as one node or client tells the next.

Source: W3C Trace Context, level 1, section 3.2.
"""

import re

import msgspec

_VALUE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_SAMPLED = 1


class TraceParent(msgspec.Struct, frozen=True):
    """Who asks."""

    trace: bytes  # 16 bytes, not all zero.
    span: bytes  # 8 bytes, not all zero.
    is_sampled: bool

    def __str__(self) -> str:  # type: ignore[explicit-override]  # 3.12 has it.
        return f"00-{self.trace.hex()}-{self.span.hex()}-{'01' if self.is_sampled else '00'}"


def parse_traceparent(text: str) -> TraceParent | None:
    """Return what *text* says; ``None`` where it is not one, which is no error: then a trace begins anew."""
    found = _VALUE.fullmatch(text)
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    trace, span = bytes.fromhex(found[2]), bytes.fromhex(found[3])
    if not any(trace) or not any(span):
        return None
    return TraceParent(trace, span, bool(int(found[4], 16) & _SAMPLED))
