"""How far the check of a running node is."""

from dataclasses import dataclass

import msgspec

from protocol.errors import Busy


class CheckProgress(msgspec.Struct):
    """How far a check is; looked at from other tasks."""

    total: int = 0  # Rows and chunks, as many as there were at the beginning.
    done: int = 0
    table: str = ""


@dataclass(slots=True)
class Checking:
    """The check that this node makes, if it makes one."""

    progress: CheckProgress | None = None

    def begin(self, total: int) -> CheckProgress:
        """Take note that a check begins; ``Busy`` where there is one."""
        if self.progress is not None:
            raise Busy("this node is being checked already; wait for that")
        self.progress = CheckProgress(total)
        return self.progress

    def end(self) -> None:
        """Take note that it has ended."""
        self.progress = None
