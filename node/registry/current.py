"""Values made of registers and settings of repositories, kept until one of those changes.

What policies, principals and rules come to is asked for with each request and changes a few times a day. The store
counts their changes in the transactions that make them. As long as nothing at all was committed the value is used as
it is; after a commit the count is compared, which costs a read of a few microseconds; only a new count makes it anew.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from node.registry.state import rules_version
from node.store.store import Store
from node.store.table import ReadTxn

T = TypeVar("T")


class Current(Generic[T]):
    """A value that is true at every ``get``: never older than the last change that was acknowledged."""

    def __init__(self, store: Store, make: Callable[[ReadTxn], T]) -> None:
        """Keep what *make* makes; it is called with a read transaction, and may raise what it likes."""
        self._store = store
        self._make = make
        self._commits = -1
        self._version = -1
        self._values: list[T] = []  # One, once it was made.

    def get(self) -> T:
        """Return the value, made anew where something changed."""
        commits = self._store.writer.commits
        if commits == self._commits:
            return self._values[0]
        with self._store.meta.read() as txn:
            version = rules_version(self._store.meta, txn)
            if version != self._version or not self._values:
                self._values = [self._make(txn)]
                self._version = version
        self._commits = commits
        return self._values[0]
