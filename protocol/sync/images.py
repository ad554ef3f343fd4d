"""Images: an observed-remove set.

Theory of operation
===================
Each push of an image adds the dot of its record; a delete names the dots that its writer saw. The image is there
while a dot is left that no delete has named and no delete of the repository has killed. A push that the delete did
not see has another dot and survives, in whatever order the two arrive: a named dot is remembered, so that a put
that comes after its own delete finds itself deleted.

Of the dots of one writer only the last is kept, and naming it names all before it (see ``vector``). So a row has
one dot and at most one tombstone for each writer, however often an image is pushed.
"""

import msgspec

from protocol.sync.entries import ImageDelete, ImagePut, ImageValue
from protocol.sync.vector import Count, Dead, Dot, Mark, is_dead

_encode = msgspec.msgpack.Encoder().encode


class ImageDot(Mark, frozen=True, array_like=True):
    """A push that is alive, and what was pushed."""

    hlc: Count  # Of its record.
    value: ImageValue


class Tombstone(Mark, frozen=True, array_like=True):
    """A dot that was deleted, with all before it by its writer."""

    hlc: Count  # Of the latest record that deleted it.


class ImageState(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one digest in one repository name. The image is alive while there are dots."""

    dots: tuple[ImageDot, ...] = ()  # The greatest (hlc, node) first.
    tombstones: tuple[Tombstone, ...] = ()  # By dot.

    @property
    def shown(self) -> ImageDot | None:
        """The latest push, whose time and value are shown; ``None`` if the image is deleted."""
        return self.dots[0] if self.dots else None


def merge_image(
    state: ImageState | None, entry: ImagePut | ImageDelete, dot: Dot, hlc: int, dead: tuple[Dead, ...] = ()
) -> ImageState | None:
    """Merge one entry of record *dot*, written at *hlc*; *dead* are the deletes of its repository.

    Returns *state* itself where nothing changes.
    """
    if isinstance(entry, ImagePut):
        return _merge_put(state, ImageDot(dot, entry.key.life, hlc, entry.value), dead)
    stones = [Tombstone(mark.dot, mark.life, hlc) for mark in entry.value]
    old = () if state is None else state.tombstones
    tombstones = _front([*old, *(stone for stone in stones if not dead or not is_dead(stone, dead))])
    if tombstones == old:
        return state
    dots = () if state is None else tuple(dot for dot in state.dots if not any(t.covers(dot) for t in tombstones))
    return ImageState(dots, tombstones)


def bury_image(state: ImageState, dead: tuple[Dead, ...]) -> ImageState | None:
    """Apply the deletes of its repository to an image; ``None`` where nothing is left to remember."""
    dots = tuple(dot for dot in state.dots if not is_dead(dot, dead))
    tombstones = tuple(stone for stone in state.tombstones if not is_dead(stone, dead))
    if len(dots) == len(state.dots) and len(tombstones) == len(state.tombstones):
        return state
    return ImageState(dots, tombstones) if dots or tombstones else None


def seen_dots(state: ImageState) -> tuple[Mark, ...]:
    """Return what a delete of this image has to name."""
    return tuple(Mark(dot.dot, dot.life) for dot in state.dots)


def _merge_put(state: ImageState | None, new: ImageDot, dead: tuple[Dead, ...]) -> ImageState | None:
    if dead and is_dead(new, dead):
        return state
    if state is None:
        return ImageState((new,))
    for stone in state.tombstones:
        if stone.covers(new):
            return state
    kept: list[ImageDot] = []
    for old in state.dots:
        if old.covers(new) and not (new.covers(old) and _encode(new) > _encode(old)):
            return state
        if not new.covers(old):
            kept.append(old)
    kept.append(new)
    if len(kept) > 1:
        kept.sort(key=_rank, reverse=True)
    return ImageState(tuple(kept), state.tombstones)


def _rank(dot: ImageDot) -> tuple[int, Dot, int]:
    return dot.hlc, dot.dot, dot.life


def _front(stones: list[Tombstone]) -> tuple[Tombstone, ...]:
    """Return the tombstones that no other covers; of equal ones, the latest."""
    kept: list[Tombstone] = []
    for stone in stones:
        rivals = [one for one in kept if one.covers(stone)]
        if not rivals or (stone.covers(rivals[0]) and stone.hlc > rivals[0].hlc):
            kept = [one for one in kept if not stone.covers(one)]
            kept.append(stone)
    kept.sort(key=lambda one: (one.dot, one.life))
    return tuple(kept)
