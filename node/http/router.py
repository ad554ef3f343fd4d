"""Which handler answers a method and a path.

A pattern is a path whose segments may be fields: ``/v2/{name}/manifests/{reference}``. A field is one segment, except
``{name}``, which takes one or more, since a repository's name has slashes in it. Patterns with ``{name}`` are found
from the right: a path is cut at each of the few lengths that the parts behind ``{name}`` have, and looked up by its
literal segments in a dictionary. So a match costs a microsecond or two for any number of routes, and where two
patterns fit, the one with the longer fixed tail wins.
"""

from collections.abc import Iterable
from typing import Generic, TypeAlias, TypeVar

import msgspec

H = TypeVar("H")

SPANNING = "{name}"


class Route(msgspec.Struct, Generic[H], frozen=True):
    """One row of a route table."""

    method: str
    pattern: str
    action: str  # What the policies are asked for, as in ``ecr:BatchGetImage``.
    handler: H

    def __post_init__(self) -> None:
        if not self.action:
            raise ValueError(f"{self.method} {self.pattern} has no action: nobody would be asked whether it is allowed")
        if not self.pattern.startswith("/") or self.pattern.count(SPANNING) > 1:
            raise ValueError(f"not a pattern: {self.pattern}")


class Match(msgspec.Struct, Generic[H], frozen=True):
    """The route that answers, and the fields of its pattern."""

    route: Route[H]
    params: dict[str, str]


class NotFound(msgspec.Struct, frozen=True):
    """No pattern fits the path."""


class MethodNotAllowed(msgspec.Struct, frozen=True):
    """The path is there for other methods only."""

    allowed: tuple[str, ...]  # Sorted, for the Allow header.


_Shape: TypeAlias = tuple[int, int, bool, tuple[int, ...]]
"""Segments before ``{name}``, segments after it, whether it is there at all, and the places of the literals. Places
are counted from the left before ``{name}`` and from the right, negative, after it."""


class Router(Generic[H]):
    """A table of routes; immutable."""

    def __init__(self, routes: Iterable[Route[H]]) -> None:
        """Raise ``ValueError`` where two routes have the same method and pattern."""
        self._shapes: dict[_Shape, dict[tuple[str, ...], dict[str, tuple[Route[H], tuple[tuple[str, int], ...]]]]] = {}
        for route in routes:
            shape, literals, fields = _compile(route.pattern)
            methods = self._shapes.setdefault(shape, {}).setdefault(literals, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.pattern} is there twice")
            methods[route.method] = route, fields
        # More literals first, so that ``blobs/uploads/`` is not taken for ``blobs/{digest}``.
        self._ordered = sorted(self._shapes.items(), key=lambda item: (-len(item[0][3]), -item[0][0] - item[0][1]))

    def match(self, method: str, path: str) -> Match[H] | NotFound | MethodNotAllowed:
        """Return the route for *method* and the decoded *path*."""
        segments = path.split("/")
        length = len(segments)
        for (before, after, spans, places), by_literals in self._ordered:
            if length <= before + after if spans else length != before:
                continue
            methods = by_literals.get(tuple([segments[place] for place in places]))
            if methods is None:
                continue
            found = methods.get(method)
            if found is None:
                return MethodNotAllowed(tuple(sorted(methods)))
            route, fields = found
            params = {field: segments[place] for field, place in fields}
            if spans:
                params["name"] = "/".join(segments[before : length - after])
            if all(params.values()):
                return Match(route, params)
        return NotFound()


def _compile(pattern: str) -> tuple[_Shape, tuple[str, ...], tuple[tuple[str, int], ...]]:
    segments = pattern.split("/")
    spans = SPANNING in segments
    before = segments.index(SPANNING) if spans else len(segments)
    after = len(segments) - before - 1 if spans else 0
    places = [(segment, place if place < before else place - len(segments)) for place, segment in enumerate(segments)]
    if spans:
        del places[before]
    literals = [(segment, place) for segment, place in places if not segment.startswith("{")]
    fields = tuple((segment[1:-1], place) for segment, place in places if segment.startswith("{"))
    shape = (before, after, spans, tuple(place for _, place in literals))
    return shape, tuple(segment for segment, _ in literals), fields
