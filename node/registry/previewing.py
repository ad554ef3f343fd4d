"""Previews of lifecycle policies, in memory: what was asked for, and what came of it."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName
from protocol.rules.lifecycle import Action, LifecyclePolicy

State: TypeAlias = Literal["IN_PROGRESS", "COMPLETE", "FAILED", "EXPIRED"]

MOST = 500_000  # Results of all previews together; beyond that the oldest previews go.
MOST_PREVIEWS = 1_000  # Each has its policy, up to 30 KB and what was read from it.


class PreviewResult(msgspec.Struct, frozen=True):
    """An image that the policy would act on."""

    digest: Digest
    tags: tuple[str, ...]
    pushed: float  # Seconds since 1970, UTC.
    action: Action
    priority: int
    is_archived: bool


class Preview(msgspec.Struct, frozen=True):
    """One preview."""

    name: RepositoryName
    number: int  # Of the repository: one that is created anew has another.
    text: str
    policy: LifecyclePolicy
    state: State = "IN_PROGRESS"
    ended: float = 0.0  # Seconds since 1970, UTC.
    results: tuple[PreviewResult, ...] = ()  # The oldest image first.


@dataclass(slots=True)
class Previews:
    """The last preview of each repository, by its number, the oldest first."""

    by_repository: dict[int, Preview] = field(default_factory=dict)

    def put(self, preview: Preview) -> None:
        """Keep a preview instead of the one before, and make room where there are too many results."""
        self.by_repository.pop(preview.number, None)
        self.by_repository[preview.number] = preview
        total = sum(len(one.results) for one in self.by_repository.values())
        for number, one in list(self.by_repository.items()):
            if total <= MOST and len(self.by_repository) <= MOST_PREVIEWS:
                break
            if one.state != "IN_PROGRESS" and number != preview.number:
                total -= len(one.results)
                del self.by_repository[number]

    def is_crowded(self) -> bool:
        """Whether so many are under way that no other may begin."""
        return sum(one.state == "IN_PROGRESS" for one in self.by_repository.values()) >= MOST_PREVIEWS

    def waiting(self) -> Preview | None:
        """Return the next preview that is to be worked out."""
        return next((one for one in self.by_repository.values() if one.state == "IN_PROGRESS"), None)
