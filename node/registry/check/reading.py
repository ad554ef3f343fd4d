"""The transaction that a walk reads in: one for all of it, or a new one for each page.

A store that nobody changes is read in one. Of a running node a reader that stays pins every page that is freed
meanwhile, so there each page, and all that is looked up for its rows, is read in a transaction of its own, and as long
as that took nothing is done: at most half of a core, and the interpreter is left to the event loop in between.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from node.store.meta import Meta
from node.store.table import ReadTxn

PAGE = 1000  # Rows that are in memory at once.
_PACED_PAGE = 200  # 1 to 3 ms.
_LONGEST = 0.25  # Seconds without work, however long the work before was.


class Reading:
    """One transaction for all."""

    is_live = False
    """Whether the store changes meanwhile: what two pages say together has to be looked at again."""
    page = PAGE

    def __init__(self, txn: ReadTxn) -> None:
        self.txn = txn

    def turn(self) -> None:
        """Go on with what there is now."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stay with what there is now for as long as the block, which is short."""
        yield

    def close(self) -> None:
        """End the transaction, where that is ours to do."""


class PacedReading(Reading):
    """A transaction for each page, with pauses. Used on one thread.

    Args:
        meta: the environment.
        cancelled: called in each pause; what it raises ends the walk.
    """

    is_live = True
    page = _PACED_PAGE

    def __init__(self, meta: Meta, cancelled: Callable[[], None]) -> None:
        super().__init__(meta.read())
        self._meta, self._cancelled = meta, cancelled
        self._is_held = False
        self._since = time.monotonic()

    def turn(self) -> None:  # type: ignore[explicit-override]  # 3.12 has it.
        """End the transaction, pause, and begin another."""
        if self._is_held:
            return
        self.txn.abort()
        self.pause()
        self.txn = self._meta.read()

    def pause(self) -> None:
        """Do nothing for as long as was worked since the last pause; no transaction is open."""
        self._cancelled()
        time.sleep(min(time.monotonic() - self._since, _LONGEST))
        self._since = time.monotonic()

    @contextmanager
    def held(self) -> Iterator[None]:  # type: ignore[explicit-override]  # 3.12 has it.
        """Stay in this transaction."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def close(self) -> None:  # type: ignore[explicit-override]  # 3.12 has it.
        """End the transaction."""
        self.txn.abort()
