"""What a registry keeps beside its repositories: documents, principals, keys, each a register of fields.

Of each field the last writer wins, by clock and then by dot, so any order of records gives the same state. What loses
is handed back, for the history: where the one that won had not seen it, two people changed the same thing apart, and
somebody should look. A register that has *ended* (a deleted user, a revoked key) stays ended, whatever comes later and
from wherever: its name is used again only with another creation id in it.
"""

from collections.abc import Iterable

import msgspec

from protocol.sync.entries import RegisterPut, Setting
from protocol.sync.vector import Count, Dot, vector


class RegisterField(msgspec.Struct, frozen=True, array_like=True):
    """One field as its last writer set it."""

    name: str
    value: Setting
    hlc: Count
    dot: Dot
    by: str  # ARN of the caller.
    seen: tuple[Dot, ...] = ()  # The last record of each other writer that had set it, as its writer knew it.

    def knew(self, other: "RegisterField") -> bool:
        """Whether who wrote this knew *other*."""
        dot = other.dot
        return any(
            (one.node, one.incarnation) == (dot.node, dot.incarnation) and one.seq >= dot.seq
            for one in (self.dot, *self.seen)
        )


class RegisterState(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one register."""

    fields: tuple[RegisterField, ...] = ()  # By name, each once.
    ended: bool = False

    def values(self) -> dict[str, Setting]:
        """Return the fields that have a value; setting one to ``None`` takes it away."""
        return {field.name: field.value for field in self.fields if field.value is not None}


class MergedRegister(msgspec.Struct, frozen=True):
    """A state, and what lost on the way to it."""

    state: RegisterState
    lost: tuple[RegisterField, ...] = ()
    is_conflict: bool = False  # The value that won was written without having seen the one that lost.


def merge_register(state: RegisterState | None, entry: RegisterPut, dot: Dot, hlc: int) -> MergedRegister:
    """Merge one entry of record *dot*, written at *hlc*."""
    old = state or RegisterState()
    fields = {field.name: field for field in old.fields}
    lost: list[RegisterField] = []
    is_conflict = False
    for name, value in entry.value.fields.items():
        put = RegisterField(name, value, hlc, dot, entry.value.by, entry.value.seen)
        before = fields.get(name, put)
        winner, loser = (put, before) if _rank(put) > _rank(before) else (before, put)
        fields[name] = winner
        if loser.value != winner.value:
            lost.append(loser)
            is_conflict |= not winner.knew(loser)
    new = RegisterState(tuple(fields[name] for name in sorted(fields)), old.ended or entry.value.ended)
    return MergedRegister(new, tuple(lost), is_conflict)


def seen_by(state: RegisterState | None, names: Iterable[str]) -> tuple[Dot, ...]:
    """Return what a new entry that sets the fields *names* has to say that its writer has seen."""
    fields = [field for field in (state.fields if state else ()) if field.name in set(names)]
    return vector([dot for field in fields for dot in (field.dot, *field.seen)]).dots


def _rank(field: RegisterField) -> tuple[int, Dot, str, str]:
    return field.hlc, field.dot, repr(field.value), field.by
