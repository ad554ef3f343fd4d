"""Wildcards of policy documents: ``*`` is any text, also none, ``?`` is one character.

Patterns come from people and texts from strangers, so matching is the greedy walk that goes back to the last star and
no further: length times length at worst, never exponential as a regular expression with many stars may be.

A pattern is a tuple of parts, so that a star that stands for itself, as ``${*}`` gives one, is not a wildcard.
"""

from enum import Enum
from typing import TypeAlias


class Wild(Enum):
    """What a wildcard stands for."""

    ANY = "*"
    ONE = "?"


Pattern: TypeAlias = tuple[str | Wild, ...]
"""One character or wildcard after the other."""

_WILD = {"*": Wild.ANY, "?": Wild.ONE}


def pattern(text: str) -> Pattern:
    """Return *text* with its wildcards; several stars in a row are one."""
    parts: list[str | Wild] = []
    for char in text:
        part = _WILD.get(char, char)
        if not (part is Wild.ANY and parts and parts[-1] is Wild.ANY):
            parts.append(part)
    return tuple(parts)


def literal(text: str) -> Pattern:
    """Return *text* as it stands."""
    return tuple(text)


def matches(wanted: Pattern, text: str) -> bool:
    """Whether the whole of *text* is what *wanted* describes. Cost: at most the product of their lengths."""
    at = place = 0
    star, resumed = -1, 0
    while place < len(text):
        part = wanted[at] if at < len(wanted) else None
        if part is Wild.ANY:
            star, resumed = at, place
            at += 1
        elif part is Wild.ONE or part == text[place]:
            at, place = at + 1, place + 1
        elif star >= 0:
            resumed += 1
            at, place = star + 1, resumed
        else:
            return False
    return all(part is Wild.ANY for part in wanted[at:])
