"""Two collections of keys compared in constant memory, whatever order they come in.

Theory of operation
===================
What is derived (an index, a count) lies in the order of its own keys, and what it is derived from in another; sorting
one of them, or keeping it in memory, would cost a hundred bytes for each of millions of keys. So each key is given a
random weight of 64 bits, and to one of 65 536 buckets: what is expected adds its weight there, what is found takes it
away. Where both are equal every bucket ends at 0, and where they are not one of them does not, but for one case in
2^48. The weights are Python's own hashes, seeded anew by each process, so that nobody can choose keys against them.

A second walk then counts, key by key, in the buckets that differ alone: that says which ones. Memory is 0.5 to 3 MB a
tally, and in the second walk 300 bytes for each key in at most 256 buckets.
"""

from collections.abc import Iterable

BUCKETS = 65_536
MAX_EXAMINED = 256  # Buckets that are counted key by key: one in 256 of all keys.


class Tally:
    """Finds out whether what is expected and what is found are equal."""

    def __init__(self) -> None:
        self._sums = [0] * BUCKETS

    def expect(self, key: bytes, count: int = 1) -> None:
        """*key* has to be found, *count* times more."""
        weight = hash(key)
        self._sums[weight & 0xFFFF] += weight * count

    def find(self, key: bytes, count: int = 1) -> None:
        """*key* was found, *count* times more."""
        weight = hash(key)
        self._sums[weight & 0xFFFF] -= weight * count

    def differing(self) -> list[int]:
        """Return the buckets in which something differs."""
        return [number for number, left in enumerate(self._sums) if left]


class Examination(Tally):
    """Finds out what differs in some of the buckets."""

    def __init__(self, buckets: Iterable[int]) -> None:
        super().__init__()
        self._buckets = frozenset(buckets)
        self._counts: dict[bytes, tuple[int, int]] = {}

    def expect(self, key: bytes, count: int = 1) -> None:  # type: ignore[explicit-override]  # 3.12 has it.
        """As ``Tally``; a key of another bucket is passed over."""
        if hash(key) & 0xFFFF in self._buckets:
            expected, found = self._counts.get(key, (0, 0))
            self._counts[key] = expected + count, found

    def find(self, key: bytes, count: int = 1) -> None:  # type: ignore[explicit-override]  # 3.12 has it.
        """As ``Tally``; a key of another bucket is passed over."""
        if hash(key) & 0xFFFF in self._buckets:
            expected, found = self._counts.get(key, (0, 0))
            self._counts[key] = expected, found + count

    def differences(self) -> list[tuple[bytes, int, int]]:
        """Return each key that differs with how often it was expected and found, in order."""
        return sorted((key, expected, found) for key, (expected, found) in self._counts.items() if expected != found)
