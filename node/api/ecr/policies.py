"""Policies of repositories and of the registry."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository
from node.registry.resourcepolicies import (
    delete_registry_policy,
    delete_repository_policy,
    get_registry_policy,
    get_repository_policy,
    put_registry_policy,
    set_repository_policy,
)
from protocol.auth.caller import Caller


async def set_of_repository(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``SetRepositoryPolicy``."""
    text, force = given["policyText"], given.get("force", False)
    await set_repository_policy(door.registry, caller, own_repository(door), text, force=force)
    return _of_repository(door, text)


async def get_of_repository(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``GetRepositoryPolicy``."""
    return _of_repository(door, get_repository_policy(door.registry, caller, own_repository(door)))


async def delete_of_repository(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``DeleteRepositoryPolicy``."""
    return _of_repository(door, await delete_repository_policy(door.registry, caller, own_repository(door)))


async def put_of_registry(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutRegistryPolicy``."""
    await put_registry_policy(door.registry, caller, given["policyText"])
    return _of_registry(door, given["policyText"])


async def get_of_registry(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``GetRegistryPolicy``."""
    return _of_registry(door, get_registry_policy(door.registry, caller))


async def delete_of_registry(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``DeleteRegistryPolicy``."""
    return _of_registry(door, await delete_registry_policy(door.registry, caller))


def _of_repository(door: Door, text: str) -> dict[str, Any]:
    return {"registryId": door.account, "repositoryName": door.given["repositoryName"], "policyText": text}


def _of_registry(door: Door, text: str) -> dict[str, Any]:
    return {"registryId": door.account, "policyText": text}
