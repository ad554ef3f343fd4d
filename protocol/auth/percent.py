"""Percent-encoding, as signatures want it: of bytes, with upper-case digits, and nothing but the unreserved spared.

Source: RFC 3986, 2.1 and 2.3.
"""

import re

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_CODE = re.compile(rb"%([0-9A-Fa-f]{2})")


def encoded(data: bytes, *, spared: bytes = b"") -> str:
    """Return *data* with every byte encoded that is neither unreserved nor *spared*."""
    kept = _UNRESERVED.union(spared)
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in data)


def decoded(text: str) -> bytes:
    """Return the bytes that *text* stands for; a percent sign that begins no code stands for itself."""
    return _CODE.sub(lambda found: bytes((int(found[1], 16),)), text.encode("utf-8", "surrogatepass"))
