"""Dots and what covers them.

A *writer* is one incarnation of a node; it numbers its records from 1 without gaps. A *dot* is one such record.
Who has seen a dot has seen all earlier ones by that writer, so a map from writer to number says exactly which
records a state holds: its *vector*.

A *mark* is something that was put: its dot, and the life of the repository in which it was put. Neither falls from
one record of a writer to the next, so of two marks by one writer the one with the higher dot and life *covers* the
other: whatever kills it, by name or by vector, kills the other too. That is why states need to keep only the marks
that no other covers, one for each writer as a rule, and still merge exactly in any order.
"""

from typing import Annotated, Self

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
NodeId = Annotated[str, Meta(min_length=1, max_length=64)]
Incarnation = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""u64 counter, big-endian, and 8 random bytes: greater for each new incarnation of a node."""


class Dot(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Record *seq* of a writer."""

    node: NodeId
    incarnation: Incarnation
    seq: Count


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Something put by record *dot* in life *life* of its repository."""

    dot: Dot
    life: Count

    def covers(self, other: "Mark") -> bool:
        """Whether whatever kills this kills *other* too; true of itself."""
        mine, its = self.dot, other.dot
        return (
            mine.seq >= its.seq
            and mine.node == its.node
            and mine.incarnation == its.incarnation
            and self.life >= other.life
        )


class Vector(msgspec.Struct, frozen=True, array_like=True):
    """The highest dot for each writer: ascending, each writer once, so that equal vectors are equal bytes."""

    dots: tuple[Dot, ...] = ()

    def __post_init__(self) -> None:
        for before, after in zip(self.dots, self.dots[1:], strict=False):
            if (before.node, before.incarnation) >= (after.node, after.incarnation):
                raise ValueError("a vector that is not in order")

    def covers(self, dot: Dot) -> bool:
        """Whether *dot* is among the records that this stands for."""
        for mine in self.dots:
            if mine.node == dot.node and mine.incarnation == dot.incarnation:
                return mine.seq >= dot.seq
        return False

    def dominates(self, other: Self) -> bool:
        """Whether this covers all that *other* covers."""
        return all(self.covers(dot) for dot in other.dots)

    def merge(self, other: Self) -> "Vector":
        """Return what covers all that either covers."""
        return vector((*self.dots, *other.dots))


def vector(dots: tuple[Dot, ...] | list[Dot]) -> Vector:
    """Return the least vector that covers *dots*, which may come in any order and repeat writers."""
    highest: dict[tuple[str, bytes], Dot] = {}
    for dot in sorted(dots):
        highest[dot.node, dot.incarnation] = dot
    return Vector(tuple(highest.values()))


class Dead(msgspec.Struct, frozen=True, array_like=True):
    """A repository was deleted: of what was put in life *life* or before, all that *vector* covers is dead."""

    life: Count
    vector: Vector


def is_dead(mark: Mark, dead: tuple[Dead, ...]) -> bool:
    """Whether one of the deletes of its repository killed *mark*."""
    return any(one.life >= mark.life and one.vector.covers(mark.dot) for one in dead)


def merge_dead(one: tuple[Dead, ...], other: tuple[Dead, ...]) -> tuple[Dead, ...]:
    """Return the deletes of both, latest life first, in the one form that kills what they kill and no more.

    A part of a vector is left out where a later life covers the same writer as far: it kills the same and more.
    The latest life stays, even where its vector is empty, for the next life follows it.
    """
    covered: dict[tuple[str, bytes], int] = {}
    merged: list[Dead] = []
    for life in sorted({dead.life for dead in one + other}, reverse=True):
        dots = vector([dot for dead in one + other if dead.life == life for dot in dead.vector.dots]).dots
        left = tuple(dot for dot in dots if dot.seq > covered.get((dot.node, dot.incarnation), -1))
        covered.update({(dot.node, dot.incarnation): dot.seq for dot in left})
        if left or not merged:
            merged.append(Dead(life, Vector(left)))
    return tuple(merged)
