"""How often callers were known, or not, by each kind of what they showed; for the metrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from protocol.errors import Refusal

Kind: TypeAlias = Literal[
    "authorization-token", "access-key", "password", "bearer-token", "refresh-token", "signature", "identity-token"
]


def _none() -> dict[str, int]:
    return dict.fromkeys(get_args(Kind), 0)


@dataclass(frozen=True, slots=True)
class Logins:
    """Counts since the start. A bearer token counts when its signature is verified, not each time it is shown."""

    taken: dict[str, int] = field(default_factory=_none)
    refused: dict[str, int] = field(default_factory=_none)

    @contextmanager
    def counted(self, kind: Kind) -> Iterator[None]:
        """Count what comes of the block."""
        try:
            yield
        except Refusal:
            self.refused[kind] += 1
            raise
        self.taken[kind] += 1
