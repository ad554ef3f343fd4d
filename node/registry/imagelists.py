"""Images of a repository as ECR describes and lists them, page by page.

Images lie in the order of their digests, and so do the tags that point at them: a page walks both tables once, side by
side. Filters are asked of each image, so what a page looks at is bounded, and a page may be shorter than it could be,
even empty, with more behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
import trio

from node.registry.imageids import ImageId, find_image
from node.registry.pulltimes import last_pulls
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.storage import ACTIVE, Storage, has_storages, storage_of
from node.store.table import ReadTxn
from protocol.auth.caller import Caller
from protocol.errors import DigestInvalid, ParameterInvalid
from protocol.oci.digest import Digest, digest, packed, unpacked
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.images import ImageDot

_SLICE = 200  # Images that are looked at before others get their turn.
_LEAST = 32  # The same, where few more are wanted: a filter may take them all out.
_MOST = 5_000  # Images that are looked at for one page.
_DEPTH = 3  # Indexes within indexes that a size is looked for in.
_PARTS = 100  # Of one index whose sizes are looked at: images have a dozen, and each costs a read.

TagStatus: TypeAlias = Literal["TAGGED", "UNTAGGED", "ANY"]
ImageStatus: TypeAlias = Literal["ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"]
"""``ACTIVATING`` is the status of no image for longer than a call takes."""


class Wanted(msgspec.Struct, frozen=True):
    """Which images a list has."""

    tags: TagStatus = "ANY"
    status: ImageStatus = "ACTIVE"

    def fits(self, *, is_tagged: bool, status: ImageStatus) -> bool:
        """Whether an image is one of them."""
        return self.status in {"ANY", status} and self.tags in {"ANY", "TAGGED" if is_tagged else "UNTAGGED"}


class ImageView(msgspec.Struct, frozen=True):
    """An image, as ``DescribeImages`` tells of it."""

    digest: Digest
    tags: list[TagName]
    size: int  # Bytes of the blobs that it names; of an index, those of its largest part.
    pushed: float  # Seconds since 1970, UTC.
    pulled: float | None
    media_type: str
    artifact_type: str | None
    subject: Digest | None
    storage: Storage


class ImagePage(msgspec.Struct, frozen=True):
    """Images, and where the next page begins; ``None`` at the end."""

    images: list[ImageView]
    after: Digest | None


class Listed(msgspec.Struct, frozen=True):
    """An image under one of its tags, or without any."""

    digest: Digest
    tag: TagName | None


class ListedPage(msgspec.Struct, frozen=True):
    """Images and their tags, and the last one where there are more."""

    images: list[Listed]
    after: Listed | None


def describe_images(
    registry: Registry, caller: Caller, name: RepositoryName, ids: Sequence[ImageId]
) -> list[ImageView]:
    """Return these images, each once.

    Raises:
        Denied: without ``ecr:DescribeImages``.
        NameUnknown, ManifestUnknown: there is no such repository, or one of them is not in it.
    """
    registry.authorize(caller, "ecr:DescribeImages", name)
    found: dict[Digest, ImageView] = {}
    with registry.store.meta.read() as txn:
        for wanted in ids:
            one = find_image(registry, txn, name, wanted)
            if one.digest not in found:
                tags = registry.store.meta.tags.pointing_at(txn, one.repository.number, one.digest)
                place = _place(registry, txn, name, one.repository.number)
                [pulled] = last_pulls(registry, txn, name, [one.digest])
                found[one.digest] = _view(place, one.digest, one.image, tags, pulled)
    return list(found.values())


async def list_image_views(
    registry: Registry, caller: Caller, name: RepositoryName, *, wanted: Wanted, after: str, limit: int
) -> ImagePage:
    """Return at most *limit* images beyond the digest *after*, in the order of their short forms.

    Raises:
        Denied: without ``ecr:DescribeImages``.
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr:DescribeImages", name)
    meta = registry.store.meta
    found: list[ImageView] = []
    last, seen = _short(after), 0
    while seen < _MOST:
        with meta.read() as txn:
            number = repository(registry, txn, name).number
            count = min(_SLICE, max(limit - len(found) + 1, _LEAST))
            rows = meta.images.rows(txn, number, after=last, limit=count)
            shorts, digests = [short for short, _ in rows], [unpacked(short) for short, _ in rows]
            tags_of_each = meta.tags.of_images(txn, number, shorts)
            pulls = last_pulls(registry, txn, name, digests)
            place = _place(registry, txn, name, number)
            for one, (_, state), tags, pulled in zip(digests, rows, tags_of_each, pulls, strict=True):
                shown = state.shown
                if shown is None or not wanted.fits(is_tagged=bool(tags), status=place.storage(one).status):
                    continue
                if len(found) == limit:
                    return ImagePage(found, found[-1].digest)
                found.append(_view(place, one, shown, tags, pulled))
        if len(rows) < count:
            return ImagePage(found, None)
        last, seen = shorts[-1], seen + len(rows)
        await trio.lowlevel.checkpoint()
    return ImagePage(found, unpacked(last))


async def list_image_ids(
    registry: Registry, caller: Caller, name: RepositoryName, *, wanted: Wanted, after: Listed | None, limit: int
) -> ListedPage:
    """Return at most *limit* pairs of an image and a tag of it beyond *after*; an image without tags is one, too.

    Raises:
        Denied: without ``ecr:ListImages``.
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr:ListImages", name)
    meta = registry.store.meta
    found: list[Listed] = []
    seen = 0
    last = b""
    if after is not None:
        last = packed(after.digest)
        with meta.read() as txn:
            number = repository(registry, txn, name).number
            tags = meta.tags.pointing_at(txn, number, after.digest)
            status = _place(registry, txn, name, number).storage(after.digest).status
        # The image that the page before ended in may have more.
        rest = [tag for tag in tags if after.tag is not None and tag > after.tag]
        found += [Listed(after.digest, tag) for tag in rest if wanted.fits(is_tagged=True, status=status)]
    while seen < _MOST and len(found) <= limit:
        with meta.read() as txn:
            number = repository(registry, txn, name).number
            keys = meta.images.alive.bytes.keys(txn, number.to_bytes(8, "big"), after=last, limit=_SLICE)
            shorts = [key[8:] for key in keys]
            place = _place(registry, txn, name, number)
            for short, tags in zip(shorts, meta.tags.of_images(txn, number, shorts), strict=True):
                one = unpacked(short)
                if wanted.fits(is_tagged=bool(tags), status=place.storage(one).status):
                    found += [Listed(one, tag) for tag in tags or (None,)]
        if len(keys) < _SLICE:
            return ListedPage(found[:limit], found[limit - 1] if len(found) > limit else None)
        last, seen = shorts[-1], seen + len(shorts)
        await trio.lowlevel.checkpoint()
    if len(found) > limit:
        return ListedPage(found[:limit], found[limit - 1])
    return ListedPage(found, Listed(unpacked(last), None))


def view_image(registry: Registry, txn: ReadTxn, name: RepositoryName, number: int, one: Digest) -> ImageView | None:
    """Return the image *one* of the repository with this number without its tags, ``None`` where it is not there."""
    state = registry.store.meta.images.get(txn, number, one)
    if state is None or state.shown is None:
        return None
    [pulled] = last_pulls(registry, txn, name, [one])
    return _view(_place(registry, txn, name, number), one, state.shown, [], pulled)


@dataclass(frozen=True, slots=True)
class _Place:
    """A repository that is looked at, in a transaction."""

    registry: Registry
    txn: ReadTxn
    name: RepositoryName
    number: int
    has_archive: bool  # Some image of it ever was in the archive: else nothing has to be looked up.

    def storage(self, one: Digest) -> Storage:
        """Return where an image of it is."""
        return storage_of(self.registry, self.txn, self.name, one) if self.has_archive else ACTIVE


def _place(registry: Registry, txn: ReadTxn, name: RepositoryName, number: int) -> _Place:
    return _Place(registry, txn, name, number, has_storages(registry, txn, name))


def _view(place: _Place, one: Digest, shown: ImageDot, tags: list[TagName], pulled: float) -> ImageView:
    value = shown.value
    pushed = value.pushed / 1000
    return ImageView(
        one,
        tags,
        _size(place, shown, _DEPTH),
        pushed,
        pulled if pulled and pulled >= pushed else None,
        value.media_type,
        value.artifact_type,
        value.subject,
        place.storage(one),
    )


def _size(place: _Place, shown: ImageDot, depth: int) -> int:
    """Return the size of an image in bytes; of an index, the largest of what it names."""
    value = shown.value
    if not value.children or not depth:
        return sum([blob.size for blob in value.blobs])
    sizes = [0]
    for child in value.children[:_PARTS]:
        state = place.registry.store.meta.images.get(place.txn, place.number, child)
        if state is not None and state.shown is not None:
            sizes.append(_size(place, state.shown, depth - 1))
    return max(sizes)


def _short(after: str) -> bytes:
    try:
        return packed(digest(after)) if after else b""
    except DigestInvalid as error:
        raise ParameterInvalid(str(error)) from None
