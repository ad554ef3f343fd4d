"""Tags: a register in which the last writer wins, or the first where tags are immutable, and no loser is lost.

Theory of operation
===================
Of all values that were ever written, the one with the greatest ``rank`` counts. Values that may change are ranked
by the hybrid clock upward, frozen ones downward: the first of two concurrent pushes to an immutable tag wins, at
every replica. A put over a frozen value (allowed once the settings are changed, or it was deleted) goes up one
generation. A delete takes the rank of the value that it saw and stands just above it: it beats that value and what
loses to it, and nothing that it did not see and that ranks higher.

When the repository is deleted the greatest value may die and a lesser one count that the delete had not seen. So
the state keeps each value that no other *covers and outranks*: one a writer, as a rule. All others are *lost* to
a later one by the same writer and go to the history, a table of its own, so that a tag that moves all day stays
one small row. Each value tells what its writer had seen of the tag, which decides exactly whether two values were
written apart: then the loser's writer did not mean to be overwritten, and ``TagConflict`` says so.
"""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from protocol.oci.digest import Digest
from protocol.sync.entries import TagPut, TagValue
from protocol.sync.vector import Count, Dead, Dot, Mark, is_dead, vector

HISTORY = 100  # Values that are shown of one tag, and kept of each of its writers.

Rank: TypeAlias = tuple[int, bool, int, str, bool, Dot, int, str, str, tuple[Dot, ...]]


class TagDot(Mark, frozen=True, array_like=True):
    """A value, and the record that wrote it."""

    hlc: Count  # Of that record; that of the value may be older.
    value: TagValue


class TagState(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one tag of one repository name: the values that count or could; never empty."""

    values: tuple[TagDot, ...]  # The greatest rank first.

    @property
    def current(self) -> TagDot:
        """The value that counts; the tag is deleted where it has no digest."""
        return self.values[0]


class TagConflict(msgspec.Struct, frozen=True):
    """Two writers moved a tag without knowing of each other; *loser* is in the history only."""

    winner: TagDot
    loser: TagDot


class TagMerged(msgspec.Struct, frozen=True):
    """The new state, the values that go to the history (again, perhaps), and a conflict to tell about."""

    state: TagState | None
    lost: tuple[TagDot, ...] = ()
    conflict: TagConflict | None = None


def merge_tag(state: TagState | None, entry: TagPut, dot: Dot, hlc: int, dead: tuple[Dead, ...] = ()) -> TagMerged:
    """Merge one entry of record *dot*, written at *hlc*; *dead* are the deletes of its repository.

    The state in the answer is *state* itself where nothing changes.
    """
    new = TagDot(dot, entry.key.life, hlc, entry.value)
    if dead and is_dead(new, dead):
        return TagMerged(state)
    if state is None:
        return TagMerged(TagState((new,)))
    above: list[TagDot] = []
    below: list[TagDot] = []
    lost: list[TagDot] = []
    new_rank = rank(new)
    for old in state.values:
        if new == old:
            return TagMerged(state)
        outranked = rank(old) > new_rank
        if outranked and old.covers(new):
            return TagMerged(state, (new,))
        if not outranked and new.covers(old):
            lost.append(old)
        else:
            (above if outranked else below).append(old)
    old = state.values[0]
    winner, loser = (old, new) if above else (new, old)
    conflict = TagConflict(winner, loser) if _is_conflict(winner, loser) else None
    return TagMerged(TagState((*above, new, *below)), tuple(lost), conflict)


def bury_tag(state: TagState, dead: tuple[Dead, ...]) -> TagState | None:
    """Apply the deletes of its repository to a tag; ``is_dead`` tells for each row of the history."""
    values = tuple(value for value in state.values if not is_dead(value, dead))
    if len(values) == len(state.values):
        return state
    return TagState(values) if values else None


def next_tag_value(  # noqa: PLR0913 - the parts of the value, by keyword.
    state: TagState | None, digest: Digest, *, hlc: int, node: str, frozen: bool, by: str, dot: Dot
) -> TagValue:
    """Return the value that points a tag at *digest*, and outranks what it has; *dot* is of the record to be."""
    if state is None:
        return TagValue(digest, hlc, node, frozen, 0, by)
    old = state.values[0].value
    stays = not old.frozen and (frozen or (hlc, node) > (old.hlc, old.node))
    return TagValue(digest, hlc, node, frozen, old.generation + (not stays), by, _seen(state, dot))


def tag_delete_of(state: TagState | None, *, by: str, dot: Dot) -> TagValue | None:
    """Return the value that deletes the tag as it is, or ``None`` where there is nothing to delete."""
    if state is None or state.values[0].value.digest is None:
        return None
    old = state.values[0].value
    return TagValue(None, old.hlc, old.node, old.frozen, old.generation, by, _seen(state, dot))


def rank(one: TagDot) -> Rank:
    """Return what the greatest value is the greatest of; the dot only tells equals apart."""
    value = one.value
    hlc = -value.hlc if value.frozen else value.hlc
    return (
        value.generation,
        value.frozen,
        hlc,
        value.node,
        value.digest is None,
        one.dot,
        one.life,
        value.digest or "",
        value.by,
        value.seen,
    )


def saw(one: TagDot, other: TagDot) -> bool:
    """Whether the writer of *one* knew of *other*."""
    its = other.dot
    for mine in (one.dot, *one.value.seen):
        if mine.node == its.node and mine.incarnation == its.incarnation and mine.seq >= its.seq:
            return True
    return False


def shown_history(state: TagState | None, lost: Iterable[TagDot]) -> list[TagDot]:
    """Return the values with the highest clocks, latest first; *lost* are those of the history's table."""
    values = {*(() if state is None else state.values), *lost}
    return sorted(values, key=lambda one: (one.value.hlc, one.value.node, one.hlc, one.dot), reverse=True)[:HISTORY]


def history_excess(lost: Iterable[TagDot]) -> list[TagDot]:
    """Return the rows of a tag's history that can go: all but the last ``HISTORY`` of each writer.

    By writer, because a delete of the repository may kill those of one writer and not of another.
    """
    kept: dict[tuple[str, bytes], int] = {}
    excess: list[TagDot] = []
    for one in sorted(lost, key=lambda one: one.dot, reverse=True):
        writer = one.dot.node, one.dot.incarnation
        kept[writer] = kept.get(writer, 0) + 1
        if kept[writer] > HISTORY:
            excess.append(one)
    return excess


def _seen(state: TagState, dot: Dot) -> tuple[Dot, ...]:
    if len(state.values) == 1:
        one = state.values[0].dot
        return () if (one.node, one.incarnation) == (dot.node, dot.incarnation) else (one,)
    dots = vector([value.dot for value in state.values]).dots
    return tuple(one for one in dots if (one.node, one.incarnation) != (dot.node, dot.incarnation))


def _is_conflict(winner: TagDot, loser: TagDot) -> bool:
    if loser.value.digest is None or winner.value.digest == loser.value.digest:
        return False
    return not saw(winner, loser) and not saw(loser, winner)
