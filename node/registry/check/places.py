"""Keys taken apart, and what they are called for people. ``None`` where a key is not what it has to be."""

from node.registry.check.reading import Reading
from node.store.copies import is_copy, unpacked_copy
from node.store.meta import Meta
from protocol.errors import Damaged
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName

_SHORT_LENGTHS = {1: 33, 2: 65, 3: 33}  # Bytes of a digest in short form, by its first.


def short_length(key: bytes, at: int) -> int:
    """Return how long the digest in short form at *at* is, 0 where there is none."""
    length = _SHORT_LENGTHS.get(key[at], 0) if at < len(key) else 0
    return length if len(key) >= at + length else 0


def is_short(key: bytes, at: int = 0) -> bool:
    """Whether *key* is, from *at* on, one digest in short form."""
    length = short_length(key, at)
    return bool(length) and len(key) == at + length


def two_shorts(key: bytes, at: int) -> tuple[bytes, bytes] | None:
    """Return the two digests in short form that *key* has from *at* on."""
    length = short_length(key, at)
    if not length or not is_short(key, at + length):
        return None
    return key[at : at + length], key[at + length :]


class Names:
    """The names of repositories by their numbers; remembers the last one, for rows of one lie together."""

    def __init__(self, meta: Meta, reading: Reading) -> None:
        self._meta, self._reading = meta, reading
        self._last: tuple[int, RepositoryName | None] = (0, None)
        self.recovered: dict[int, RepositoryName] = {}
        """Names of numbers that have lost theirs, from the rows of the names."""

    def of(self, number: int) -> RepositoryName | None:
        """Return the name, or ``None`` where the number has none; a stopgap for one that cannot be read."""
        if self._last[0] != number:
            try:
                repositories = self._meta.repositories
                name = repositories.name(self._reading.txn, number) or repositories.buried(self._reading.txn, number)
            except Damaged:
                name = RepositoryName(f"repository {number}")
            self._last = number, name or self.recovered.get(number)
        return self._last[1]

    def image(self, key: bytes) -> str:
        """Return what an image or a link is called: ``repository@digest``."""
        return f"{self.repository(key)}@{readable(key[8:])}"

    def tag(self, key: bytes) -> str:
        """Return what a tag is called: ``repository:tag``."""
        return f"{self.repository(key)}:{key[8:].decode('ascii', 'replace')}"

    def repository(self, key: bytes) -> str:
        """Return the repository that a key begins with."""
        number = int.from_bytes(key[:8], "big")
        return self.of(number) or f"repository {number}"


def readable(short: bytes) -> Digest | str:
    """Return the digest or copy of a short form, or its bytes in hexadecimal where it is none."""
    return unpacked_copy(short) if is_copy(short) else short.hex()
