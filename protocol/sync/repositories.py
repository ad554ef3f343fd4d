"""Repositories: their lives, their settings, and deletes that stay deletes.

Theory of operation
===================
A repository is its name; each delete ends a *life* of it and the next begins, numbered from 1. A delete says which
life, and all that its writer knew (its vector): of what was put in that life or before, exactly what the vector
covers is dead, for ever and from wherever it comes. What was put unseen by the delete counts in the life after it.
So nobody's push is lost to a delete that raced it, and no old record undoes a delete.

An entry of life n is proof that n - 1 is over, though its delete may come later; so the life is one more than the
last that was deleted, or the highest that anyone wrote, and a delete names that one: it then kills all that it saw.
"""

import msgspec

from protocol.sync.entries import RepositoryDelete, RepositoryKey, RepositoryPut, Setting
from protocol.sync.vector import Count, Dead, Dot, Mark, Vector, is_dead, merge_dead

_PUT = ""  # The field that every put sets: that there was one.


class Field(Mark, frozen=True, array_like=True):
    """One field of the settings, as one writer set it last."""

    hlc: Count
    name: str
    value: Setting


class RepositoryState(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one repository name, dead or alive. Never goes away: a delete has to be remembered."""

    dead: tuple[Dead, ...] = ()
    """Its deletes, latest life first; ``bury_image`` and ``bury_tag`` apply them."""
    fields: tuple[Field, ...] = ()  # By name, the greatest (hlc, dot) first: what is not dead and not covered.
    highest: Count = 1  # Highest life that any entry was written in.

    @property
    def life(self) -> int:
        """The life that is being lived or would begin with a put; what new entries are written in."""
        return max(self.highest, self.dead[0].life + 1) if self.dead else self.highest

    @property
    def is_put(self) -> bool:
        """Whether it exists by itself; if not, it exists while an image or a tag is alive in it."""
        return bool(self.fields)

    def settings(self) -> dict[str, Setting]:
        """Return the fields that were set: for each, the value of the greatest (hlc, node)."""
        return {field.name: field.value for field in reversed(self.fields) if field.name != _PUT}


def note_life(state: RepositoryState | None, life: int) -> RepositoryState:
    """Take note that an image or tag entry was written in *life*; returns *state* itself where that is no news."""
    if state is None:
        return RepositoryState(highest=max(life, 1))
    if life <= state.highest:
        return state
    return RepositoryState(state.dead, state.fields, life)


def merge_repository(
    state: RepositoryState | None, entry: RepositoryPut | RepositoryDelete, dot: Dot, hlc: int
) -> RepositoryState:
    """Merge one entry of record *dot*, written at *hlc*. After a delete, images and tags are to be buried."""
    match entry:
        case RepositoryPut(_, value):
            state = note_life(state, value.life)
            values = {_PUT: True, **value.settings}
            fields = [Field(dot, value.life, hlc, name, setting) for name, setting in values.items()]
            return RepositoryState(state.dead, _alive((*state.fields, *fields), state.dead), state.highest)
        case RepositoryDelete(_, value):
            state = note_life(state, value.life)
            dead = merge_dead(state.dead, (value,))
            return RepositoryState(dead, _alive(state.fields, dead), state.highest)


def delete_of(state: RepositoryState, key: RepositoryKey, vector: Vector) -> RepositoryDelete:
    """Return the entry that deletes the repository; *vector* is that of all records merged here so far."""
    for dead in state.dead:
        vector = vector.merge(dead.vector)
    return RepositoryDelete(key, Dead(state.life, vector))


def _alive(fields: tuple[Field, ...], dead: tuple[Dead, ...]) -> tuple[Field, ...]:
    kept = [
        field
        for field in dict.fromkeys(fields)
        if not is_dead(field, dead) and not any(_replaces(other, field) for other in fields)
    ]
    # By name; then the greatest first. Two stable sorts, for text cannot be negated.
    kept.sort(key=lambda field: (field.hlc, field.dot, field.life, repr(field.value)), reverse=True)
    kept.sort(key=lambda field: field.name)
    return tuple(kept)


def _replaces(one: Field, other: Field) -> bool:
    if one.name != other.name or not one.covers(other):
        return False
    if other.covers(one):  # One record set it twice, which none of ours does: any rule, but the same everywhere.
        return repr(one.value) > repr(other.value)
    return True
