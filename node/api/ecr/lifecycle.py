"""Lifecycle policies."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository
from node.registry.lifecycle import StoredLifecycle, delete_lifecycle_policy, get_lifecycle_policy, put_lifecycle_policy
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


def _shown(door: Door, stored: StoredLifecycle) -> dict[str, Any]:
    return {
        "registryId": door.account,
        "repositoryName": door.given["repositoryName"],
        "lifecyclePolicyText": stored.text,
        "lastEvaluatedAt": stored.evaluated,
    }
