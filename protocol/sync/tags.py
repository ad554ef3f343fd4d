"""Tags: a register in which the last writer wins, or the first where tags are immutable, and no loser is lost.

Theory of operation
===================
Of all values that were ever written, the one with the greatest ``rank`` counts. Values that may change are ranked
by the hybrid clock upward, frozen ones downward: the first of two concurrent pushes to an immutable tag wins, at
every replica. A put over a frozen value (allowed once the settings are changed, or it was deleted) goes up one
generation. A delete takes the rank of the value that it saw and stands just above it: it beats that value and what
loses to it, and nothing that it did not see and that ranks higher.

Each value also tells what its writer had seen of the tag. A value that was seen by the writer of one that outranks
it is *lost* to that one, for good, and goes to the history: a table of its own, so that a tag that moves all day
stays one small row. The state keeps those that are lost to none: the one that counts, and those that were written
apart from it, of which one may count when a delete of the repository kills the first. For such a loss the loser's
writer did not mean to be overwritten, and ``TagConflict`` says so.

What a delete of the repository killed counts no more, but what was lost to it stays lost: else a delete that had
not seen an old value would bring it back. So a dead value stays as a *shadow* while one that it saw is not dead.
"""

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from protocol.oci.digest import Digest
from protocol.sync.entries import TagPut, TagValue
from protocol.sync.vector import Count, Dead, Dot, Mark, is_dead, vector

HISTORY = 100  # Values that are shown of one tag, and kept of each of its writers.

Rank: TypeAlias = tuple[int, bool, int, str, bool, Dot, int, int, str, str, tuple[Dot, ...]]


class TagDot(Mark, frozen=True, array_like=True):
    """A value, and the record that wrote it."""

    hlc: Count  # Of that record; that of the value may be older.
    value: TagValue


class TagState(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one tag of one repository name: the values that are lost to none."""

    values: tuple[TagDot, ...] = ()  # Those alive, the greatest rank first.
    shadows: tuple[TagDot, ...] = ()  # Those dead; as a rule there are none.

    @property
    def current(self) -> TagDot | None:
        """The value that counts; the tag is not there where there is none, or one without a digest."""
        return self.values[0] if self.values else None


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
    is_alive = not dead or not is_dead(new, dead)
    if not is_alive and _is_spent(new, dead):
        return TagMerged(state)
    if state is None:
        return TagMerged(TagState((new,)) if is_alive else TagState((), (new,)))
    for old in state.values + state.shadows:
        if _loses(new, old):
            return TagMerged(state, (new,) if is_alive and new != old else ())
    values = [old for old in state.values if not _loses(old, new)]
    shadows = state.shadows and tuple(old for old in state.shadows if not _loses(old, new))
    lost = tuple(old for old in state.values if old not in values) if len(values) < len(state.values) else ()
    if not is_alive:
        return TagMerged(TagState(tuple(values), _sorted((*shadows, new))), lost)
    conflict = _conflict(state.values[0], new) if values else None
    return TagMerged(TagState(_sorted((*values, new)), shadows), lost, conflict)


def bury_tag(state: TagState, dead: tuple[Dead, ...]) -> TagState | None:
    """Apply the deletes of its repository to a tag; ``None`` where nothing is left to remember.

    For each row of the history ``is_dead`` tells.
    """
    values = tuple(one for one in state.values if not is_dead(one, dead))
    died = tuple(one for one in state.values if is_dead(one, dead)) if len(values) < len(state.values) else ()
    shadows = _sorted(tuple(one for one in state.shadows + died if not _is_spent(one, dead)))
    if values == state.values and shadows == state.shadows:
        return state
    return TagState(values, shadows) if values or shadows else None


def next_tag_value(
    state: TagState | None, digest: Digest, *, hlc: int, node: str, frozen: bool, by: str, dot: Dot
) -> TagValue:
    """Return the value that points a tag at *digest*, and outranks what it has; *dot* is of the record to be."""
    if state is None:
        return TagValue(digest, hlc, node, frozen, 0, by)
    seen = _seen(state, dot)
    if not state.values:
        return TagValue(digest, hlc, node, frozen, 0, by, seen)
    old = state.values[0].value
    stays = not old.frozen and (frozen or (hlc, node) > (old.hlc, old.node))
    return TagValue(digest, hlc, node, frozen, old.generation + (not stays), by, seen)


def tag_delete_of(state: TagState | None, *, by: str, dot: Dot) -> TagValue | None:
    """Return the value that deletes the tag as it is, or ``None`` where there is nothing to delete."""
    if state is None or not state.values or state.values[0].value.digest is None:
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
        one.hlc,
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
    dots: list[Dot] = []
    for one in state.values + state.shadows:
        dots.append(one.dot)
        dots.extend(one.value.seen)
    return tuple(one for one in vector(dots).dots if one.node != dot.node or one.incarnation != dot.incarnation)


def _loses(one: TagDot, other: TagDot) -> bool:
    return saw(other, one) and rank(other) >= rank(one)


def _is_spent(one: TagDot, dead: tuple[Dead, ...]) -> bool:
    """Whether all that could be lost to *one*, which is dead, is dead as well."""
    return all(is_dead(Mark(dot, one.life), dead) for dot in one.value.seen)


def _sorted(values: tuple[TagDot, ...]) -> tuple[TagDot, ...]:
    return values if len(values) < 2 else tuple(sorted(values, key=rank, reverse=True))


def _conflict(old: TagDot, new: TagDot) -> TagConflict | None:
    winner, loser = (new, old) if rank(new) > rank(old) else (old, new)
    if loser.value.digest is None or winner.value.digest == loser.value.digest:
        return None
    return None if saw(winner, loser) or saw(loser, winner) else TagConflict(winner, loser)
