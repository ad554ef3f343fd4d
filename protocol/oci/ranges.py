"""Byte ranges, entity tags and numbers in header fields, for content whose size is known.

Clients send ranges to resume a layer, attackers to have a node read and send it many times over. So ranges that
overlap or touch become one, and where more than ``MAX_RANGES`` remain the whole is sent instead: never more bytes than
the content has.

Source: RFC 9110, 8.8.3 (entity tags), 13 (conditions), 14 (ranges), 14.6 (multipart/byteranges); OCI distribution-spec
1.1, "Pushing a blob in chunks", whose Content-Range has no unit and no size.
"""

import re
from typing import TypeAlias

from protocol.errors import ParameterInvalid, RangeUnsatisfiable, UploadInvalid

MAX_RANGES = 16  # Parts of one answer.
MAX_OFFSET = 2**63 - 1  # No content is larger: past it a number is refused, not rounded.
_MAX_LISTED = 1024  # Commas that are looked at; what is left has one, is no range, and the field is ignored.
_DIGITS = frozenset("0123456789")
_ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")', re.ASCII)

Span: TypeAlias = tuple[int, int]
"""(start, length), both in bytes; the length is not 0."""


def parse_uint(text: str, maximum: int) -> int:
    """Parse decimal ASCII digits, at most *maximum*, or raise ``ParameterInvalid``.

    ``int`` by itself takes signs, spaces, ``1_0`` and the digits of other scripts.
    """
    if not text or not _DIGITS.issuperset(text):
        raise ParameterInvalid(f"not a number: {text[:40]!r}")
    digits = text.lstrip("0") or "0"
    if len(digits) > 19 or int(digits) > maximum:
        raise ParameterInvalid(f"a number above {maximum}: {text[:40]!r}")
    return int(digits)


def byte_ranges(header: str, size: int) -> list[Span] | None:
    """Return what the field Range asks for of *size* bytes, ascending and disjoint, or ``None`` for the whole.

    Ignored, as RFC 9110 allows, are other units, what is not a list of ranges, and lists of too many. One range that
    goes backwards is refused like one that lies past the end: the conformance suite of OCI wants 416 for both.

    Raises:
        RangeUnsatisfiable: no range has a byte of the content; answer with ``unsatisfied_range``.
    """
    unit, equals, listed = header.partition("=")
    ranges = [one for one in (text.strip(" \t") for text in listed.split(",", _MAX_LISTED)) if one]
    if not equals or unit.strip(" \t").lower() != "bytes" or not ranges:
        return None
    try:
        spans = [span for span in (_span(text, size) for text in ranges) if span is not None]
    except ParameterInvalid:
        return None
    if not spans:
        refusal = RangeUnsatisfiable(f"no byte of {size} lies in {header[:80]!r}")
        refusal.headers = (("content-range", unsatisfied_range(size)),)
        raise refusal
    merged = _merge(spans)
    return merged if len(merged) <= MAX_RANGES else None


def content_range(start: int, length: int, size: int) -> str:
    """Return the field Content-Range of a part; *length* is not 0."""
    return f"bytes {start}-{start + length - 1}/{size}"


def unsatisfied_range(size: int) -> str:
    """Return the field Content-Range of a 416."""
    return f"bytes */{size}"


def part_head(boundary: str, media_type: str, start: int, length: int, size: int) -> bytes:
    """Return what stands before one part of ``multipart/byteranges``."""
    head = f"\r\n--{boundary}\r\ncontent-type: {media_type}\r\ncontent-range: {content_range(start, length, size)}"
    return f"{head}\r\n\r\n".encode("ascii")


def part_end(boundary: str) -> bytes:
    """Return what stands after the last part."""
    return f"\r\n--{boundary}--\r\n".encode("ascii")


def upload_range(text: str) -> tuple[int, int]:
    """Parse the Content-Range of a chunk, ``<start>-<end>``, and return both offsets; the byte at *end* is included.

    ``bytes <start>-<end>/<size>``, as RFC 9110 has it, is taken as well. Raises ``UploadInvalid``.
    """
    ends = re.sub(r"\Abytes (.*)/(?:\*|[0-9]+)\Z", r"\1", text.strip(" \t"))
    first, _, last = ends.partition("-")
    try:
        start, end = parse_uint(first, MAX_OFFSET), parse_uint(last, MAX_OFFSET)
    except ParameterInvalid as error:
        raise UploadInvalid(f"Content-Range has to be <start>-<end>: {error}") from None
    if end < start:
        raise UploadInvalid(f"Content-Range ends before it starts: {text[:80]!r}")
    return start, end


def upload_extent(size: int) -> str:
    """Return the field Range that says how far an upload has come; ``0-0`` for nothing, as every registry does."""
    return f"0-{max(size - 1, 0)}"


def strong_etag(text: str) -> str:
    """Return *text*, which has no quotes, as a strong entity tag."""
    return f'"{text}"'


def etag_matches(header: str, etag: str) -> bool:
    """Whether If-None-Match names *etag*: then the answer is 304. The comparison is weak, as it has to be.

    The tag may come without its quotes, as Docker's older clients send a digest.
    """
    value = header.strip(" \t")
    return value in ("*", etag.strip('"')) or any(tag == etag for _, tag in _ENTITY_TAG.findall(value))


def if_match(header: str, etag: str) -> bool:
    """Whether If-Match lets the request go on; else the answer is 412. The comparison is strong."""
    value = header.strip(" \t")
    return value == "*" or any(tag == etag and not weak for weak, tag in _ENTITY_TAG.findall(value))


def if_range(header: str, etag: str) -> bool:
    """Whether the field Range is to be heeded. A date never matches: content here has none."""
    return header.strip(" \t") == etag


def _span(text: str, size: int) -> Span | None:
    """Return the bytes that *text* asks for, ``None`` if there are none; ``ParameterInvalid`` if it is no range."""
    first, dash, last = text.partition("-")
    if not dash:
        raise ParameterInvalid("no range")
    if not first:
        length = min(_bounded(last), size)
        return (size - length, length) if length else None
    start = _bounded(first)
    end = min(_bounded(last), size - 1) if last else size - 1
    return (start, end - start + 1) if start <= end else None


def _bounded(text: str) -> int:
    """Parse a number of any length; past the largest size they are all alike."""
    if len(text) > 19 and _DIGITS.issuperset(text):
        return MAX_OFFSET
    return parse_uint(text, 10**19)


def _merge(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, length in sorted(spans):
        if merged and start <= sum(merged[-1]):
            begin, before = merged[-1]
            merged[-1] = (begin, max(before, start + length - begin))
        else:
            merged.append((start, length))
    return merged
