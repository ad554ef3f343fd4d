"""Entries of a record to be: what a push or a delete says, given what the tables say now."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from node.registry.registry import Registry
from node.registry.settings import mutability_of
from node.store.rows import RepositoryRow, pointed_at
from node.store.table import ReadTxn
from protocol.auth.public import told
from protocol.errors import TagImmutable
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import ImageDelete, ImageKey, ImagePut, ImageValue, Known, TagKey, TagPut
from protocol.sync.images import ImageState, seen_dots
from protocol.sync.tags import TagState, next_tag_value, tag_delete_of
from protocol.sync.vector import Dot

_MAX_DESCENDANTS = 8192  # Manifests under one index, at all depths, that a push of it touches.


@dataclass(frozen=True, slots=True)
class Draft:
    """A record that is being made, in the transaction that it will be applied in."""

    registry: Registry
    txn: ReadTxn
    name: RepositoryName
    row: RepositoryRow
    by: str  # ARN of the caller.
    dot: Dot
    hlc: int


def image_put(draft: Draft, digest: Digest, value: ImageValue) -> Known:
    """Return the entry that puts an image."""
    return ImagePut(ImageKey(draft.name, draft.row.state.life, digest), value)


def image_delete(draft: Draft, digest: Digest, state: ImageState) -> Known:
    """Return the entry that deletes an image as it is."""
    return ImageDelete(ImageKey(draft.name, draft.row.state.life, digest), seen_dots(state))


def descendant_puts(draft: Draft, value: ImageValue) -> list[Known]:
    """Put each manifest under an index anew: a delete that did not see this push then loses for them as well."""
    entries: dict[Digest, Known] = {}
    waiting = list(value.children)
    while waiting and len(entries) < _MAX_DESCENDANTS:
        child = waiting.pop()
        if child in entries:
            continue
        state = draft.registry.store.meta.images.get(draft.txn, draft.row.number, child)
        if state is not None and state.shown is not None:
            entries[child] = image_put(draft, child, state.shown.value)
            waiting += state.shown.value.children
    return list(entries.values())


class TagPlace(msgspec.Struct, frozen=True):
    """Where a tag is, and whether the repository lets it go elsewhere."""

    state: TagState | None
    held: Digest | None  # What it points at.
    frozen: bool  # Once it is put, it has to stay.

    def takes(self, digest: Digest) -> bool:
        """Whether the tag may point at *digest*."""
        return not self.frozen or self.held is None or self.held == digest


def tag_place(draft: Draft, tag: TagName) -> TagPlace:
    """Return where *tag* is: whatever puts a tag, by whichever door or from another registry, asks here first."""
    state = draft.registry.store.meta.tags.get(draft.txn, draft.row.number, tag)
    return TagPlace(state, pointed_at(state), mutability_of(draft.row).is_frozen(tag))


def tag_puts(draft: Draft, tags: Iterable[TagName], digest: Digest) -> list[Known]:
    """Return the entries that point *tags* at *digest*.

    Raises:
        TagImmutable: one of them points elsewhere and has to stay.
    """
    places = [(tag, tag_place(draft, tag)) for tag in tags]
    for tag, place in places:
        if not place.takes(digest):
            raise TagImmutable(
                f"The image tag '{tag}' already exists in the '{told(draft.name)}' repository and cannot be "
                "overwritten because the tag is immutable."
            )
    return [put for tag, place in places for put in _tag_put(draft, tag, place, digest)]


def free_tag_puts(draft: Draft, tags: Iterable[TagName], digest: Digest) -> list[Known]:
    """Return the entries as ``tag_puts`` does, without those of tags that have to stay elsewhere."""
    places = [(tag, tag_place(draft, tag)) for tag in tags]
    return [put for tag, place in places if place.takes(digest) for put in _tag_put(draft, tag, place, digest)]


def _tag_put(draft: Draft, tag: TagName, place: TagPlace, digest: Digest) -> list[Known]:
    """Return the entry; none where a tag that has to stay is there already: a new value would outrank the first."""
    if place.frozen and place.held == digest:
        return []
    value = next_tag_value(
        place.state,
        digest,
        hlc=draft.hlc,
        node=draft.registry.author.node,
        frozen=place.frozen,
        by=draft.by,
        dot=draft.dot,
    )
    return [TagPut(TagKey(draft.name, draft.row.state.life, tag), value)]


def tag_deletes(draft: Draft, tags: Iterable[TagName]) -> list[Known]:
    """Return the entries that delete *tags* as they are; none for a tag that is not there."""
    entries: list[Known] = []
    for tag in tags:
        state = draft.registry.store.meta.tags.get(draft.txn, draft.row.number, tag)
        value = tag_delete_of(state, by=draft.by, dot=draft.dot)
        if value is not None:
            entries.append(TagPut(TagKey(draft.name, draft.row.state.life, tag), value))
    return entries
