"""Entries of a record to be: what a push or a delete says, given what the tables say now."""

from collections.abc import Iterable
from dataclasses import dataclass

from node.registry.registry import Registry
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.entries import ImageDelete, ImageKey, ImagePut, ImageValue, Known, TagKey, TagPut
from protocol.sync.images import ImageState, seen_dots
from protocol.sync.tags import next_tag_value, tag_delete_of
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


def tag_puts(draft: Draft, tags: Iterable[TagName], digest: Digest) -> list[Known]:
    """Return the entries that point *tags* at *digest*."""
    node = draft.registry.author.node
    entries: list[Known] = []
    for tag in tags:
        state = draft.registry.store.meta.tags.get(draft.txn, draft.row.number, tag)
        value = next_tag_value(state, digest, hlc=draft.hlc, node=node, frozen=False, by=draft.by, dot=draft.dot)
        entries.append(TagPut(TagKey(draft.name, draft.row.state.life, tag), value))
    return entries


def tag_deletes(draft: Draft, tags: Iterable[TagName]) -> list[Known]:
    """Return the entries that delete *tags* as they are; none for a tag that is not there."""
    entries: list[Known] = []
    for tag in tags:
        state = draft.registry.store.meta.tags.get(draft.txn, draft.row.number, tag)
        value = tag_delete_of(state, by=draft.by, dot=draft.dot)
        if value is not None:
            entries.append(TagPut(TagKey(draft.name, draft.row.state.life, tag), value))
    return entries
