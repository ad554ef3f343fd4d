"""Digests: ``algorithm:hex``, as OCI has them, and their short form in keys of the store.

Source: OCI image-spec 1.1, descriptor.md, "Digests"; blake3 as registered on its main branch.
"""

import hashlib
from collections.abc import Callable
from typing import NewType, Protocol, TypeAlias

from blake3 import blake3

from protocol.errors import DigestInvalid

Digest = NewType("Digest", str)
"""Parsed: a known algorithm and lower-case hex of the exact length."""

_NUMBERS = {"sha256": 1, "sha512": 2, "blake3": 3}  # Stored: never reassign a number.
_HEX_LENGTHS = {"sha256": 64, "sha512": 128, "blake3": 64}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_HEX = frozenset("0123456789abcdef")


class Hasher(Protocol):
    """What all three algorithms have in common."""

    def update(self, data: bytes | bytearray | memoryview, /) -> object:
        """Take more bytes; releases the GIL where there are many."""

    def hexdigest(self) -> str:
        """Return lower-case hex."""


_HASHERS: dict[str, Callable[[], Hasher]] = {"sha256": hashlib.sha256, "sha512": hashlib.sha512, "blake3": blake3}

Algorithm: TypeAlias = str
"""``sha256``, ``sha512`` or ``blake3``."""


def digest(text: str) -> Digest:
    """Parse *text*, or raise ``DigestInvalid``."""
    name, _, hexadecimal = text.partition(":")
    if _HEX_LENGTHS.get(name) != len(hexadecimal) or not _HEX.issuperset(hexadecimal):
        raise DigestInvalid(f"not a digest that is known here: {text[:80]!r}; use sha256, sha512 or blake3")
    return Digest(text)


def algorithm(digest: Digest) -> Algorithm:
    """Return the name before the colon."""
    return digest.partition(":")[0]


def hasher(algorithm: Algorithm) -> Hasher:
    """Return a new hash state; ``KeyError`` for an unknown algorithm."""
    return _HASHERS[algorithm]()


def digest_of(data: bytes, algorithm: Algorithm = "sha256") -> Digest:
    """Hash *data*. Not for the event loop where it is large."""
    state = hasher(algorithm)
    state.update(data)
    return Digest(f"{algorithm}:{state.hexdigest()}")


def packed(digest: Digest) -> bytes:
    """Return u8 algorithm and the raw hash: 33 or 65 bytes, for keys."""
    name, _, hexadecimal = digest.partition(":")
    return bytes((_NUMBERS[name],)) + bytes.fromhex(hexadecimal)


def unpacked(key: bytes) -> Digest:
    """Return the digest that ``packed`` made *key* of."""
    return Digest(f"{_NAMES[key[0]]}:{key[1:].hex()}")


def algorithm_name(text: str) -> Algorithm:
    """Parse the name of an algorithm, or raise ``DigestInvalid``."""
    if text not in _NUMBERS:
        raise DigestInvalid(f"not an algorithm that is known here: {text[:40]!r}; use sha256, sha512 or blake3")
    return text
