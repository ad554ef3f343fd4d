"""Sums that prove two states equal, or find where they differ, without sending them.

Theory of operation
===================
Each live entry has a hash. 65 536 leaves, chosen by the hash of the key, each hold the sum of their entries' hashes
modulo 2^256 and their number; 256 inner buckets hold the sums of 256 leaves each, and the root that of all. A sum
is kept up to date by adding and subtracting, whatever the order. Two nodes compare the root, then the buckets that
differ, then the leaves in those, then keys: a few KiB for a few differences among millions.

A sum is only as strong as the honesty of those who choose the entries, who could solve for a collision: between
replicas of one registry it finds faults, and proves nothing to strangers.
"""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

import msgspec
from blake3 import blake3
from msgspec import Meta

from protocol.sync.images import ImageState
from protocol.sync.registers import RegisterState
from protocol.sync.repositories import RepositoryState
from protocol.sync.tags import TagState
from protocol.sync.vector import Count

LEAVES = 65_536
BUCKETS = 256

Hash: TypeAlias = bytes
"""32 bytes, a number modulo 2^256 in big-endian."""

_ZERO = bytes(32)
_encode = msgspec.msgpack.Encoder().encode


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """The entries of one leaf, inner bucket or root."""

    sum: Annotated[Hash, Meta(min_length=32, max_length=32)] = _ZERO
    count: Count = 0

    def add(self, entry: Hash) -> "Bucket":
        """Return the bucket with one entry more."""
        return Bucket(_plus(self.sum, entry, 1), self.count + 1)

    def remove(self, entry: Hash) -> "Bucket":
        """Return the bucket with one entry less; the caller knows that it was in."""
        return Bucket(_plus(self.sum, entry, -1), self.count - 1)

    def replace(self, old: Hash | None, new: Hash | None) -> "Bucket":
        """Return the bucket after an entry changed; ``None`` is an entry that was not or is no longer."""
        bucket = self if old is None else self.remove(old)
        return bucket if new is None else bucket.add(new)


def leaf(key: bytes) -> int:
    """Return the leaf of a key; its inner bucket is ``leaf >> 8``."""
    return int.from_bytes(blake3(key).digest(length=2), "big")


def entry_hash(key: bytes, state: RepositoryState | ImageState | TagState | RegisterState | None) -> Hash | None:
    """Return the hash of a live entry; ``None`` for what is deleted, which replicas forget at times of their own.

    *key* is the same at every replica: kind and names, never a local number.
    """
    match state:
        case RepositoryState(_, fields) if fields:
            value = _encode(state)
        case ImageState((_, *_) as dots):
            value = _encode(dots)
        case RegisterState():
            value = _encode(state)
        case TagState((current, *_)) if current.value.digest is not None:
            value = _encode(current)
        case _:
            return None
    return blake3(len(key).to_bytes(4, "big") + key + value).digest()


def differing(ours: Mapping[int, Bucket], theirs: Mapping[int, Bucket]) -> list[int]:
    """Return the numbers of the buckets that differ, ascending; a bucket that is absent is an empty one."""
    empty = Bucket()
    return sorted(n for n in ours.keys() | theirs.keys() if ours.get(n, empty) != theirs.get(n, empty))


def _plus(one: Hash, other: Hash, sign: int) -> Hash:
    value = int.from_bytes(one, "big") + sign * int.from_bytes(other, "big")
    return (value % 2**256).to_bytes(32, "big")
