"""Lifecycle policies, and previews of what one would do."""

from collections import Counter
from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository
from node.api.ecr.paging import next_token, no_page_with, page_of
from node.registry.imageids import image_id
from node.registry.lifecycle import StoredLifecycle, delete_lifecycle_policy, get_lifecycle_policy, put_lifecycle_policy
from node.registry.previewing import Preview, PreviewResult
from node.registry.previews import get_preview, start_preview
from protocol.auth.caller import Caller


async def put(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutLifecyclePolicy``."""
    await put_lifecycle_policy(door.registry, caller, own_repository(door), given["lifecyclePolicyText"])
    return _shown(door, StoredLifecycle(given["lifecyclePolicyText"]))


async def get(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``GetLifecyclePolicy``."""
    return _shown(door, get_lifecycle_policy(door.registry, caller, own_repository(door)))


async def delete(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``DeleteLifecyclePolicy``."""
    return _shown(door, await delete_lifecycle_policy(door.registry, caller, own_repository(door)))


async def start(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``StartLifecyclePolicyPreview``."""
    preview = start_preview(door.registry, caller, own_repository(door), given.get("lifecyclePolicyText"))
    return _previewed(door, preview)


async def preview(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``GetLifecyclePolicyPreview``."""
    no_page_with(door, "imageIds")
    only = [image_id(one.get("imageDigest"), one.get("imageTag")) for one in given.get("imageIds", [])]
    tagged = {"TAGGED": True, "UNTAGGED": False}.get(given.get("filter", {}).get("tagStatus", "ANY"))
    page = page_of(door)
    found = get_preview(
        door.registry,
        caller,
        own_repository(door),
        only=only,
        tagged=tagged,
        after=int(page.after or 0),
        limit=page.limit,
    )
    counts = Counter(one.action.type for one in found.preview.results)
    transitions = [{"targetStorageClass": "ARCHIVE", "imageTotalCount": counts["transition"]}]
    return _previewed(door, found.preview) | {
        "previewResults": [_result(one) for one in found.results],
        "nextToken": None if found.next is None else next_token(door, str(found.next)),
        "summary": {
            "expiringImageTotalCount": counts["expire"],
            "transitioningImageTotalCounts": transitions if counts["transition"] else None,
        },
    }


def _previewed(door: Door, preview: Preview) -> dict[str, Any]:
    return {
        "registryId": door.account,
        "repositoryName": door.given["repositoryName"],
        "lifecyclePolicyText": preview.text,
        "status": preview.state,
    }


def _result(one: PreviewResult) -> dict[str, Any]:
    """Return the shape ``LifecyclePolicyPreviewResult``."""
    target = one.action.target_storage_class
    return {
        "imageTags": list(one.tags) or None,
        "imageDigest": one.digest,
        "imagePushedAt": one.pushed,
        "action": {"type": one.action.type.upper(), "targetStorageClass": None if target is None else target.upper()},
        "appliedRulePriority": one.priority,
        "storageClass": "ARCHIVE" if one.is_archived else "STANDARD",
    }


def _shown(door: Door, stored: StoredLifecycle) -> dict[str, Any]:
    return {
        "registryId": door.account,
        "repositoryName": door.given["repositoryName"],
        "lifecyclePolicyText": stored.text,
        "lastEvaluatedAt": stored.evaluated,
    }
