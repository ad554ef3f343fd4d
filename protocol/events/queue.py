"""Which event a webhook is told of next: in order for each repository, and no repository waits for another.

Theory of operation
===================
The journal is read in order, and what a webhook is to be told goes to the *lane* of its repository. A lane sends one
event at a time and goes on when that was taken; lanes go on beside each other. What is durable is small: one cursor,
below which all is done, and for each lane that is *behind* a cursor of its own. A lane falls behind when a delivery
failed or when more than ``LANE`` events wait in it; the main cursor then passes it, and the lane reads the journal
again by itself, until it has caught up. So one repository whose events are refused costs a row, not the others' time,
and events are never kept twice. With ``MAX_BEHIND`` lanes behind nothing new is read: a receiver that fails for all
costs nothing but the lag.

An event may be told again after a crash, never skipped: cursors move after an answer. There are three ways to fail. A
receiver that is not reached stops all lanes but one, which tries. One that refuses an event (4xx) gets it ``attempts``
times, one that fails (5xx, 429, no answer in time) for ``patience`` seconds; after that the event is set aside, and its
lane goes on. Delays double from 1 to 300 s, with jitter, and are as long as Retry-After says, up to an hour.

Costs: ``due`` and ``checkpoint`` look at each lane, of which there are at most ``MAX_BEHIND`` + ``WINDOW``.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

import msgspec

from protocol.oci.names import RepositoryName

LANE = 32  # Events that wait in one lane; what is beyond is read again later.
WINDOW = 512  # Events that wait in lanes that are not behind.
MAX_BEHIND = 256  # Lanes.
MAX_SENDING = 8  # Deliveries under way.

_FIRST_DELAY, _LAST_DELAY = 1.0, 300.0  # Seconds.
_MAX_RETRY_AFTER = 3600.0  # Seconds.
_GRAIN = 60.0  # Seconds in which time goes by in a checkpoint, which is written when it changes.


class Ref(msgspec.Struct, frozen=True, order=True):
    """An event, by its place."""

    position: int
    index: int


class Behind(msgspec.Struct, frozen=True, array_like=True):
    """The durable part of a lane that is behind: all of its events up to *position* are done."""

    repository: RepositoryName
    position: int
    tries: int = 0  # Of the event after it.
    failing: float = 0.0  # Seconds since the first of these, in whole minutes, without those in which no node ran.
    refusals: int = 0  # How many of these were lasting.


class Checkpoint(msgspec.Struct, frozen=True):
    """All that has to be durable."""

    cursor: int
    behind: tuple[Behind, ...] = ()


# How a delivery ended.


class Delivered(msgspec.Struct, frozen=True):
    """It was taken (2xx)."""


class Refused(msgspec.Struct, frozen=True):
    """It was answered, and not taken."""

    reason: str
    is_lasting: bool  # The receiver says that it will never take it (4xx).
    retry_after: float = 0.0  # Seconds that it asks for.


class Unreached(msgspec.Struct, frozen=True):
    """Nothing was sent: there is no connection."""

    reason: str


Outcome: TypeAlias = Delivered | Refused | Unreached


class SetAside(msgspec.Struct, frozen=True):
    """An event that is not tried any more: its place, how often it was, and what the last answer was."""

    ref: Ref
    tries: int
    reason: str


@dataclass(slots=True)
class _Lane:
    waiting: deque[Ref] = field(default_factory=deque)
    behind: int | None = None  # How far its own reading is; ``None``: it takes part in the main one.
    is_sending: bool = False
    tries: int = 0
    refusals: int = 0  # How many of these were lasting.
    since: float = 0.0  # Of the first of these.
    not_before: float = -inf
    served: int = 0  # When it was last chosen, in choices.


class Queue:
    """The lanes of one webhook. *now* is monotonic seconds, *draw* returns a random number from 0 to 1."""

    def __init__(
        self, checkpoint: Checkpoint, *, attempts: int, patience: float, draw: Callable[[], float], now: float
    ) -> None:
        self.read = checkpoint.cursor
        """How far the journal was read for all lanes that are not behind."""
        self._attempts = attempts
        self._patience = patience
        self._draw = draw
        self._choices = 0
        self._unreached = 0  # In a row.
        self._not_before = -inf
        self._lanes = {
            one.repository: _Lane(
                behind=min(one.position, self.read),
                tries=one.tries,
                refusals=one.refusals,
                since=now - one.failing,
            )
            for one in checkpoint.behind
        }

        self._failing = {one.repository for one in checkpoint.behind if one.tries}

    # Reading.

    @property
    def wants_more(self) -> bool:
        """Whether the next records of the journal should be ``feed``."""
        lanes = self._lanes.values()
        behind = sum(lane.behind is not None for lane in lanes)
        return behind < MAX_BEHIND and sum(len(one.waiting) for one in lanes if one.behind is None) < WINDOW

    def feed(self, position: int, events: Iterable[tuple[RepositoryName, int]]) -> None:
        """Take the events of the next record: their repositories and indexes, in order."""
        found: dict[RepositoryName, list[Ref]] = {}
        for repository, index in events:
            found.setdefault(repository, []).append(Ref(position, index))
        for repository, refs in found.items():
            lane = self._lanes.setdefault(repository, _Lane())
            if lane.behind is None and len(lane.waiting) >= LANE:
                lane.behind = position - 1
            if lane.behind is None:
                lane.waiting.extend(refs)
        self.read = position

    @property
    def hungry(self) -> int | None:
        """The position after which lanes that are behind need to read; ``None`` where none does."""
        lanes = self._lanes.values()
        places = [one.behind for one in lanes if one.behind is not None and one.behind < self.read and not one.waiting]
        return min(places, default=None)

    def feed_behind(self, position: int, events: Iterable[tuple[RepositoryName, int]], *, before: int) -> None:
        """Take a record up to ``read`` for all lanes that are behind and have read up to the one before it.

        That one is at *before*: of a damaged journal some may be missing in between.
        """
        found = list(events)
        for name, lane in self._lanes.items():
            if lane.behind is not None and before <= lane.behind < position and len(lane.waiting) < LANE:
                lane.waiting.extend(Ref(position, index) for repository, index in found if repository == name)
                lane.behind = position

    # Sending.

    def due(self, now: float) -> list[tuple[RepositoryName, Ref]]:
        """Return what to send now; each is answered by ``ended``."""
        sending = sum(lane.is_sending for lane in self._lanes.values())
        free = (1 if self._unreached else MAX_SENDING) - sending
        if free <= 0 or now < self._not_before:
            return []
        ready = [
            (lane.served, name)
            for name, lane in self._lanes.items()
            if lane.waiting and not lane.is_sending and lane.not_before <= now
        ]
        chosen = [name for _, name in sorted(ready)[:free]]
        for name in chosen:
            self._choices += 1
            self._lanes[name].is_sending, self._lanes[name].served = True, self._choices
        return [(name, self._lanes[name].waiting[0]) for name in chosen]

    def deadline(self, now: float) -> float:
        """Return when something may be due that is not now; ``inf`` where nothing waits for time to go by."""
        times = [one.not_before for one in self._lanes.values() if one.waiting and not one.is_sending]
        return min((max(at, self._not_before) for at in times if max(at, self._not_before) > now), default=inf)

    def ended(
        self, repository: RepositoryName, outcome: Outcome, *, now: float, may_set_aside: bool
    ) -> SetAside | None:
        """Take how a delivery ended.

        Args:
            repository: whose it was.
            outcome: what came of it.
            now: the time.
            may_set_aside: whether there is room for one more event that is set aside.

        Returns:
            The event, where it is not tried any more.
        """
        lane = self._lanes[repository]
        lane.is_sending = False
        match outcome:
            case Delivered():
                self._unreached, self._not_before = 0, -inf
                self._passed(repository, lane)
            case Unreached():
                if now >= self._not_before:  # Else it set out with others that were not reached either.
                    self._unreached += 1
                    self._not_before = now + self._delay(self._unreached)
            case Refused(reason, is_lasting, retry_after):
                self._unreached, self._not_before = 0, -inf
                lane.since = lane.since if lane.tries else now
                lane.tries += 1
                self._failing.add(repository)
                lane.refusals += is_lasting
                is_over = lane.refusals >= self._attempts if is_lasting else now - lane.since >= self._patience
                if is_over and may_set_aside:
                    aside = SetAside(lane.waiting[0], lane.tries, reason)
                    self._passed(repository, lane)
                    return aside
                lane.not_before = now + max(self._delay(lane.tries), min(retry_after, _MAX_RETRY_AFTER))
                if lane.behind is None and self._behind() < MAX_BEHIND:
                    lane.behind = self.read
        return None

    def checkpoint(self, now: float) -> Checkpoint:
        """Return what has to be durable, and drop lanes that have nothing left."""
        for name in [name for name, lane in self._lanes.items() if not lane.waiting and self._is_level(lane)]:
            del self._lanes[name]
        heads = [one.waiting[0].position for one in self._lanes.values() if one.behind is None]
        behind = [
            Behind(
                name,
                lane.waiting[0].position - 1 if lane.waiting else lane.behind,
                lane.tries,
                (now - lane.since) // _GRAIN * _GRAIN if lane.tries else 0.0,
                lane.refusals,
            )
            for name, lane in self._lanes.items()
            if lane.behind is not None
        ]
        return Checkpoint(min(heads, default=self.read + 1) - 1, tuple(sorted(behind, key=lambda one: one.repository)))

    @property
    def failing(self) -> int:
        """Lanes whose first event failed the last time that it was tried."""
        return len(self._failing)

    @property
    def is_unreached(self) -> bool:
        """Whether there was no connection the last time."""
        return self._unreached > 0

    @property
    def waiting(self) -> int:
        """Events that wait here, not counting those of the journal beyond."""
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def _is_level(self, lane: _Lane) -> bool:
        return lane.behind is None or lane.behind >= self.read

    def _behind(self) -> int:
        return sum(lane.behind is not None for lane in self._lanes.values())

    def _passed(self, repository: RepositoryName, lane: _Lane) -> None:
        lane.waiting.popleft()
        self._failing.discard(repository)
        lane.tries, lane.refusals, lane.not_before = 0, 0, -inf
        if self._is_level(lane) and not lane.waiting:
            del self._lanes[repository]  # It takes part in the main reading again, with its next event.

    def _delay(self, tries: int) -> float:
        full = min(_LAST_DELAY, _FIRST_DELAY * 2.0 ** min(tries - 1, 16))
        return full * (1 + self._draw()) / 2


def outcome_of(status: int, *, retry_after: float = 0.0) -> Outcome:
    """Return what an HTTP answer means; *retry_after*: seconds that it asks to be left alone."""
    if 200 <= status < 300:
        return Delivered()
    if 300 <= status < 400:
        return Refused(f"status {status}: redirects are not followed", is_lasting=True)
    is_lasting = 400 <= status < 500 and status not in {408, 425, 429}
    return Refused(f"status {status}", is_lasting, min(retry_after, _MAX_RETRY_AFTER))
