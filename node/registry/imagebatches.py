"""Getting and deleting many images by one call of ECR, each of which comes to something of its own.

Source: Amazon ECR API reference, ``ImageFailure``; the texts are those that the service answers.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

import msgspec

from node.registry.deletes import delete_image, delete_tag_of_image
from node.registry.manifests import REQUESTED, OpenManifest, open_manifest, read_opened
from node.registry.pulltimes import note_pull
from node.registry.registry import Registry
from node.registry.repositories import repository
from protocol.auth.caller import Caller
from protocol.errors import (
    DigestInvalid,
    ImageInaccessible,
    ImageInUse,
    LimitExceeded,
    ManifestUnknown,
    NoSource,
    TagElsewhere,
    TagInvalid,
)
from protocol.oci.conversion import convert
from protocol.oci.digest import Digest, digest
from protocol.oci.names import RepositoryName, TagName, tag_name

T = TypeVar("T")

_MOST = 32 * 2**20  # Bytes of manifests in one answer; a hundred of them have a megabyte as a rule.
_DIGEST = "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
_TAG = "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'"


class AskedImage(msgspec.Struct, frozen=True):
    """What a call names an image by, as it came: neither may be what it should be."""

    digest: str | None
    tag: str | None


class GottenImage(msgspec.Struct, frozen=True):
    """An image that was asked for."""

    digest: Digest
    tag: str | None  # As it was asked for.
    media_type: str
    data: bytes


class ImageFailure(msgspec.Struct, frozen=True):
    """Why nothing came of one."""

    asked: AskedImage
    code: str
    reason: str


class _Parsed(msgspec.Struct, frozen=True):
    digest: Digest | None
    tag: TagName | None


async def get_images(
    registry: Registry, caller: Caller, name: RepositoryName, asked: Sequence[AskedImage], accepted: Collection[str]
) -> tuple[list[GottenImage], list[ImageFailure]]:
    """Return manifests, from here or from where the repository is pulled through from, and what is wrong with others.

    One that is asked for by its tag alone is converted where it is of a kind that is not among the *accepted* ones, and
    can be; no kinds, no conversion.

    Raises:
        Denied: without ``ecr:BatchGetImage``.
        NameUnknown: there is no such repository.
        LimitExceeded: together they are larger than an answer may be.
    """
    registry.authorize(caller, "ecr:BatchGetImage", name)
    size = 0

    async def get(wanted: _Parsed, one: AskedImage) -> list[GottenImage]:
        nonlocal size
        found = await open_manifest(registry, caller, name, wanted.tag or _known(wanted.digest))
        stored = await read_opened(registry, found) if isinstance(found, OpenManifest) else found
        if wanted.digest is not None and stored.digest != wanted.digest:
            raise TagElsewhere(f"Requested image digest {wanted.digest} does not match that of tag {wanted.tag}")
        size += len(stored.data)
        if size > _MOST:
            raise LimitExceeded(f"The images have more than {_MOST} bytes of manifests; ask for fewer at once")
        note_pull(registry, caller, name, stored.digest)
        converted = convert(stored.data, stored.media_type, accepted) if wanted.digest is None else None
        media_type, data = (
            (stored.media_type, stored.data) if converted is None else (converted.media_type, converted.data)
        )
        return [GottenImage(stored.digest, one.tag, media_type, data)]

    return await _each(asked, get)


async def delete_images(
    registry: Registry, caller: Caller, name: RepositoryName, asked: Sequence[AskedImage]
) -> tuple[list[tuple[Digest, TagName | None]], list[ImageFailure]]:
    """Delete images and tags, and return what went, once for each tag, and why others did not.

    By its digest an image goes with all its tags; by a tag that goes, and the image with its last one.

    Raises:
        Denied: without ``ecr:BatchDeleteImage``.
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr:BatchDeleteImage", name)
    meta = registry.store.meta
    with meta.read() as txn:
        repository(registry, txn, name)

    async def delete(wanted: _Parsed, _one: AskedImage) -> list[tuple[Digest, TagName | None]]:
        if wanted.tag is not None:
            return [(await delete_tag_of_image(registry, caller, name, wanted.tag, wanted.digest), wanted.tag)]
        gone = _known(wanted.digest)
        with meta.read() as txn:
            tags = meta.tags.pointing_at(txn, repository(registry, txn, name).number, gone)
        await delete_image(registry, caller, name, gone)
        return [(gone, tag) for tag in tags or (None,)]

    return await _each(asked, delete)


async def _each(
    asked: Sequence[AskedImage], run: Callable[[_Parsed, AskedImage], Awaitable[list[T]]]
) -> tuple[list[T], list[ImageFailure]]:
    done: list[T] = []
    failures: list[ImageFailure] = []
    for one in asked:
        parsed = _parsed(one)
        if isinstance(parsed, ImageFailure):
            failures.append(parsed)
            continue
        try:
            done += await run(parsed, one)
        except ImageInaccessible as refusal:
            failures.append(ImageFailure(one, "ImageInaccessible", str(refusal)))
        except ManifestUnknown:
            failures.append(ImageFailure(one, "ImageNotFound", REQUESTED))
        except TagElsewhere as refusal:
            failures.append(ImageFailure(one, "ImageTagDoesNotMatchDigest", str(refusal)))
        except ImageInUse as refusal:
            failures.append(ImageFailure(one, "ImageReferencedByManifestList", str(refusal)))
        except NoSource as refusal:
            failures.append(ImageFailure(one, "UpstreamUnavailable", str(refusal)))
    return done, failures


def _parsed(one: AskedImage) -> _Parsed | ImageFailure:
    if one.digest is None and one.tag is None:
        reason = "Invalid request parameters: both tag and digest cannot be null"
        return ImageFailure(one, "MissingDigestAndTag", reason)
    try:
        return _Parsed(
            None if one.digest is None else digest(one.digest), None if one.tag is None else tag_name(one.tag)
        )
    except DigestInvalid:
        return ImageFailure(one, "InvalidImageDigest", _DIGEST)
    except TagInvalid:
        return ImageFailure(one, "InvalidImageTag", _TAG)


def _known(value: Digest | None) -> Digest:
    assert value is not None, "one of the two is given"
    return value
