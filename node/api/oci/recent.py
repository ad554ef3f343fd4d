"""Manifests that were asked for since the last write: answered again without a look at the store.

What lies here is true exactly as long as nothing was committed: an entry carries the number of commits that there were
before it was read, and is not used once there is another one. So no entry can outlive the transaction that changed
what it says, whatever that changed. The policies are asked each time.
"""

from collections.abc import Callable
from time import monotonic

from node.http.message import Request, Response
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName

_MAX_BYTES = 4 * 2**20  # Of bodies in all; past that everything goes.
_MAX_ENTRY = 64 * 1024  # Bytes of a body that is kept.
_SECONDS = 1.0  # For which an entry is good.
_CONDITIONS = ("if-none-match", "if-match", "range")


class RecentManifests:
    """Path -> (commits before it was read, until when it is good, repository, digest, answer)."""

    def __init__(self, commits: Callable[[], int]) -> None:
        self._commits = commits
        self._entries: dict[str, tuple[int, float, RepositoryName, Digest, Response]] = {}
        self._bytes = 0
        self.hits = 0
        """How often something was answered again."""

    def get(self, request: Request) -> tuple[RepositoryName, Digest, Response] | None:
        """Return what was answered to the same request, and which image it is; ``None`` if that may differ."""
        found = self._entries.get(request.path)
        if found is None or found[0] != self._commits() or found[1] < monotonic() or request.query:
            return None
        for name in _CONDITIONS:
            if name in request.headers:
                return None
        self.hits += 1
        return found[2], found[3], found[4]

    def put(self, request: Request, commits: int, name: RepositoryName, answer: Response) -> None:
        """Keep *answer*, which was read when there were *commits*."""
        if answer.status != 200 or not isinstance(answer.body, bytes) or len(answer.body) > _MAX_ENTRY:
            return
        digest = Digest(dict(answer.headers)["docker-content-digest"])
        if self._bytes > _MAX_BYTES:
            self._entries.clear()
            self._bytes = 0
        self._entries[request.path] = (commits, monotonic() + _SECONDS, name, digest, answer)
        self._bytes += len(answer.body) + 1024
