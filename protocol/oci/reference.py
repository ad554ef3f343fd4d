"""References, and the parameters of lists: where a page begins, how long it is, and where the next one is.

Source: OCI distribution-spec 1.1, "Pulling manifests", "Listing Tags", "Listing Referrers"; RFC 8288 (Link); RFC 3986.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias, TypeGuard

import msgspec

from protocol.errors import ParameterInvalid
from protocol.oci.digest import Digest, digest
from protocol.oci.names import TagName, tag_name

MAX_PAGE = 1000  # Entries of one page, also where the client names no number.
_MAX_LAST = 256  # The longest name that a list can hold.
_DIGITS = frozenset("0123456789")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

Reference: TypeAlias = TagName | Digest
"""What names a manifest in a repository; only a digest has a colon."""


class Page(msgspec.Struct, frozen=True):
    """The part of a list that a client asks for."""

    limit: int  # Entries, 0 to ``MAX_PAGE``; for 0 the answer is an empty list without a Link.
    last: str  # The list goes on after this name; ``""`` for its beginning.


def reference(text: str) -> Reference:
    """Parse *text*, or raise ``DigestInvalid`` where it has a colon, ``TagInvalid`` where it has none."""
    return digest(text) if ":" in text else tag_name(text)


def is_digest(reference: Reference) -> TypeGuard[Digest]:
    """Whether *reference* is a digest, not a tag."""
    return ":" in reference


def single(name: str, values: Sequence[str]) -> str | None:
    """Return the one value of the query parameter *name*, ``None`` without; ``ParameterInvalid`` for several."""
    if len(values) > 1:
        raise ParameterInvalid(f"the parameter {name!r} comes {len(values)} times")
    return values[0] if values else None


def page(n: Sequence[str], last: Sequence[str]) -> Page:
    """Parse what the query has under ``n`` and ``last``, or raise ``ParameterInvalid``. A large *n* is ``MAX_PAGE``."""
    limit, after = single("n", n), single("last", last) or ""
    if limit is not None and (not limit or not _DIGITS.issuperset(limit)):
        raise ParameterInvalid(f"n is not a number: {limit[:40]!r}")
    if len(after) > _MAX_LAST or not (after.isascii() and after.isprintable()):
        raise ParameterInvalid(f"last is not a name: {after[:40]!r}")
    digits = str(MAX_PAGE) if limit is None else limit.lstrip("0") or "0"
    return Page(MAX_PAGE if len(digits) > 4 else min(int(digits), MAX_PAGE), after)


def next_link(path: str, parameters: Iterable[tuple[str, str]]) -> str:
    """Return the field Link to the next page; *path* is absolute, and nothing is percent-encoded yet."""
    query = "&".join(f"{percent_encoded(name)}={percent_encoded(value)}" for name, value in parameters)
    target = "/".join(percent_encoded(segment) for segment in path.split("/"))
    return f'<{target}?{query}>; rel="next"'


def percent_encoded(text: str) -> str:
    """Return *text* with all but unreserved characters as ``%XX``, so that it fits anywhere in a URI."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())
