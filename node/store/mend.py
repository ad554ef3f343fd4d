"""A value of which one byte is wrong tells by its seal which: what the disk got wrong is found by trying.

The seal is 64 bits over key and body. So of all values that differ from a damaged one in one bit anywhere, or in one
byte of a short one, at most the right one fits, but for a chance of 2^-44. It needs no other copy, and mends what has
none: rules, cursors, uploads. A key is mended as well.
"""

from collections.abc import Iterator

from blake3 import blake3

from node.store.table import SEAL_SIZE, sealed

_MAX_BITS = 20 * 1024  # Bytes of key and value in which a bit is looked for: 1.5 s for 16 KiB.
_MAX_BYTES = 512  # In which a whole byte is: 0.2 s.


def mended(key: bytes, value: bytes) -> tuple[bytes, bytes] | None:
    """Return the key and the value that were written, or ``None`` where more is wrong than one byte. Slow: a thread."""
    body = value[SEAL_SIZE:]
    if len(value) >= SEAL_SIZE and _differing(value[:SEAL_SIZE], sealed(key, body)[:SEAL_SIZE]) <= 1:
        return key, sealed(key, body)  # It is the seal itself that is wrong.
    if len(value) < SEAL_SIZE or len(key) + len(value) > _MAX_BITS:
        return None
    whole = bytearray(key + body)
    wanted = value[1:SEAL_SIZE]
    for _ in _changed(whole, is_short=len(whole) <= _MAX_BYTES):
        if blake3(whole).digest(length=8) == wanted:
            right = bytes(whole[: len(key)]), bytes(whole[len(key) :])
            return right[0], sealed(*right)
    return None


def _changed(whole: bytearray, *, is_short: bool) -> Iterator[int]:
    """Change one byte of *whole* after the other, each to all that it could have been, and back; yield its place."""
    others = range(1, 256) if is_short else tuple(1 << bit for bit in range(8))
    for at in range(len(whole)):
        was = whole[at]
        for other in others:
            whole[at] = was ^ other
            yield at
        whole[at] = was


def _differing(one: bytes, other: bytes) -> int:
    return sum(mine != its for mine, its in zip(one, other, strict=True))
