"""Pulls that were seen and are not written down yet, in memory: a pull must not cost a write."""

from dataclasses import dataclass, field
from typing import TypeAlias

from node.registry.current import Current
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName

Times: TypeAlias = dict[tuple[RepositoryName, Digest], float]
"""When an image was pulled last: seconds since 1970, UTC."""

MOST = 200_000  # Images that are kept in memory where they cannot be written down: some 60 MB.


@dataclass(slots=True)
class Pulls:
    """The times since the last write, and those that are being written."""

    times: Times = field(default_factory=dict)
    leaving: Times = field(default_factory=dict)
    excluded: Current[frozenset[str]] | None = None
    """ARNs of those whose pulls are not noted; made at the first pull."""

    def note(self, name: RepositoryName, digest: Digest, now: float) -> None:
        """Take note of a pull."""
        key = name, digest
        if len(self.times) < MOST or key in self.times:
            self.times[key] = now

    def last(self, name: RepositoryName, digest: Digest) -> float:
        """Return when the image was pulled, as far as that is in memory, else 0."""
        key = name, digest
        return self.times.get(key) or self.leaving.get(key) or 0.0
