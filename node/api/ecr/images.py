"""Images: putting, getting, deleting, describing and listing them, and what refers to them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository
from node.api.ecr.paging import next_token, no_page_with, page_of
from node.registry.imagebatches import AskedImage, ImageFailure, delete_images, get_images
from node.registry.imageids import image_id
from node.registry.imagelists import (
    ImageView,
    Listed,
    Wanted,
    describe_images,
    list_image_ids,
    list_image_views,
)
from node.registry.images import put_image
from node.registry.imagetags import TagView, list_tag_views
from node.registry.referrers import list_referrers_of
from protocol.auth.caller import Caller
from protocol.errors import ManifestInvalid
from protocol.oci.digest import Digest
from protocol.oci.names import TagName
from protocol.rules.texts import invalid

_REFERRERS = 20  # Of a page where the client names no number.


class _ImageDetail(msgspec.Struct, omit_defaults=True, rename="camel"):
    """The shape ``ImageDetail``: a struct, for a call may describe a thousand; what is ``None`` is left out.

    The public service knows the first eight members alone.
    """

    registry_id: str
    repository_name: str
    image_digest: Digest
    image_size_in_bytes: int
    image_pushed_at: float
    image_manifest_media_type: str
    image_tags: list[TagName] | None = None
    artifact_media_type: str | None = None
    last_recorded_pull_time: float | None = None
    subject_manifest_digest: Digest | None = None
    image_status: str | None = None
    last_archived_at: float | None = None
    last_activated_at: float | None = None


class _Typed(msgspec.Struct, rename="camel"):
    """The one field of a manifest that decides what it is."""

    media_type: object = None


async def put(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutImage``."""
    name = own_repository(door)
    wanted = _optional_id(given.get("imageDigest"), given.get("imageTag"))
    data, media_type = given["imageManifest"].encode("utf-8", "surrogatepass"), given.get("imageManifestMediaType")
    if media_type is None and not _says_media_type(data):
        raise invalid("ImageManifest", "image manifest mediatype not provided in manifest or parameter")
    try:
        stored = await put_image(door.registry, caller, name, data, media_type, digest=wanted[0], tag=wanted[1])
    except ManifestInvalid as error:
        raise invalid("ImageManifest", "Invalid JSON syntax", str(error)) from None
    return {
        "image": {
            "registryId": door.account,
            "repositoryName": given["repositoryName"],
            "imageId": {"imageDigest": stored.digest, "imageTag": wanted[1]},
            "imageManifest": given["imageManifest"],
            "imageManifestMediaType": stored.media_type,
        }
    }


async def batch_get(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``BatchGetImage``."""
    name = own_repository(door)
    accepted = given.get("acceptedMediaTypes", ())
    found, failures = await get_images(door.registry, caller, name, _asked(given["imageIds"]), accepted)
    images = [
        {
            "registryId": door.account,
            "repositoryName": given["repositoryName"],
            "imageId": {"imageDigest": one.digest, "imageTag": one.tag},
            "imageManifest": one.data.decode(),
            "imageManifestMediaType": one.media_type,
        }
        for one in found
    ]
    return {"images": images, "failures": [_failure(one) for one in failures]}


async def batch_delete(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``BatchDeleteImage``."""
    name = own_repository(door)
    gone, failures = await delete_images(door.registry, caller, name, _asked(given["imageIds"]))
    return {
        "imageIds": [{"imageDigest": digest, "imageTag": tag} for digest, tag in gone],
        "failures": [_failure(one) for one in failures],
    }


async def describe(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DescribeImages``."""
    name = own_repository(door)
    no_page_with(door, "imageIds")
    if "imageIds" in given:
        ids = [image_id(one.get("imageDigest"), one.get("imageTag")) for one in given["imageIds"]]
        found = describe_images(door.registry, caller, name, ids)
        return {"imageDetails": [_detail(door, one) for one in found]}
    page = page_of(door)
    listed = await list_image_views(
        door.registry, caller, name, wanted=_wanted(given), after=page.after, limit=page.limit
    )
    return {
        "imageDetails": [_detail(door, one) for one in listed.images],
        "nextToken": None if listed.after is None else next_token(door, listed.after),
    }


async def list_(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``ListImages``."""
    name, page = own_repository(door), page_of(door)
    digest, _, tag = page.after.partition(" ")
    after = Listed(Digest(digest), TagName(tag) if tag else None) if digest else None
    listed = await list_image_ids(door.registry, caller, name, wanted=_wanted(given), after=after, limit=page.limit)
    last = listed.after
    return {
        "imageIds": [{"imageDigest": one.digest, "imageTag": one.tag} for one in listed.images],
        "nextToken": None if last is None else next_token(door, f"{last.digest} {last.tag or ''}"),
    }


async def describe_tags(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``DescribeImageTags`` of the public service."""
    name, page = own_repository(door), page_of(door)
    found = await list_tag_views(door.registry, caller, name, after=page.after, limit=page.limit + 1)
    return {
        "imageTagDetails": [_tag_detail(one) for one in found[: page.limit]],
        "nextToken": next_token(door, found[page.limit - 1].tag) if len(found) > page.limit else None,
    }


async def list_referrers(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``ListImageReferrers``."""
    name, page = own_repository(door), page_of(door, default=_REFERRERS)
    subject = image_id(given["subjectId"]["imageDigest"], None).digest
    assert subject is not None, "it was parsed"
    wanted = given.get("filter", {})
    found, last = await list_referrers_of(
        door.registry,
        caller,
        name,
        subject,
        artifact_types=frozenset(wanted.get("artifactTypes", ())),
        status=wanted.get("artifactStatus", "ACTIVE"),
        after=page.after,
        limit=page.limit,
    )
    referrers = [
        {
            "digest": one.descriptor.digest,
            "mediaType": one.descriptor.media_type,
            "artifactType": one.descriptor.artifact_type,
            "size": one.descriptor.size,
            "annotations": one.descriptor.annotations,
            "artifactStatus": one.status,
        }
        for one in found
    ]
    return {"referrers": referrers, "nextToken": None if last is None else next_token(door, last)}


def _says_media_type(data: bytes) -> bool:
    """Whether a manifest says by itself what it is, or is none, which whoever reads it will tell."""
    try:
        return msgspec.json.decode(data, type=_Typed).media_type is not None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return True


def _wanted(given: Given) -> Wanted:
    chosen = given.get("filter", {})
    return Wanted(chosen.get("tagStatus", "ANY"), chosen.get("imageStatus", "ACTIVE"))


def _optional_id(digest: str | None, tag: str | None) -> tuple[Digest | None, TagName | None]:
    if digest is None and tag is None:
        return None, None
    parsed = image_id(digest, tag)
    return parsed.digest, parsed.tag


def _asked(ids: Sequence[dict[str, str]]) -> list[AskedImage]:
    return [AskedImage(one.get("imageDigest"), one.get("imageTag")) for one in ids]


def _failure(one: ImageFailure) -> dict[str, Any]:
    return {
        "imageId": {"imageDigest": one.asked.digest, "imageTag": one.asked.tag},
        "failureCode": one.code,
        "failureReason": one.reason,
    }


def _tag_detail(one: TagView) -> dict[str, Any]:
    return {
        "imageTag": one.tag,
        "createdAt": one.pointed,
        "imageDetail": {
            "imageDigest": one.image.digest,
            "imageSizeInBytes": one.image.size,
            "imagePushedAt": one.image.pushed,
            "imageManifestMediaType": one.image.media_type,
            "artifactMediaType": one.image.artifact_type,
        },
    }


def _detail(door: Door, one: ImageView) -> _ImageDetail:
    is_private = door.service == "ecr"
    return _ImageDetail(
        door.account,
        door.given["repositoryName"],
        one.digest,
        one.size,
        one.pushed,
        one.media_type,
        one.tags or None,
        one.artifact_type,
        one.pulled if is_private else None,
        one.subject if is_private else None,
        one.storage.status if is_private else None,
        one.storage.archived if is_private else None,
        one.storage.activated if is_private else None,
    )
