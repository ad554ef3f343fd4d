"""Public repositories and their registry, where they differ from private ones.

Source: Amazon ECR Public API reference.
"""

from typing import Any

from node.api.ecr.catalog import catalog_given, catalog_shown
from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository, public_registry_uri, repository_named, repository_uri
from node.api.ecr.paging import next_token, no_page_with, page_of
from node.registry.details import RepositoryDetail, describe_repositories, list_public_details, repository_detail
from node.registry.gallery import create_public_repository
from node.registry.repositories import delete_repository
from node.registry.settings import tag_fields
from protocol.auth.caller import Caller
from protocol.auth.public import public_arn, public_registry_arn, told
from protocol.rules.tags import require_room, resource_tags


async def create(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``CreateRepository``."""
    name = own_repository(door)
    tags = resource_tags(given.get("tags", ()))
    require_room(tags, most=door.registry.settings.quotas.tags_per_resource)
    entry = catalog_given(given["catalogData"]) if "catalogData" in given else None
    row, said = await create_public_repository(door.registry, caller, name, tag_fields(tags), entry)
    return {
        "repository": _shown(door, repository_detail(name, row)),
        "catalogData": {} if said is None else catalog_shown(door, name, said),
    }


async def describe(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DescribeRepositories``."""
    no_page_with(door, "repositoryNames")
    if "repositoryNames" in given:
        names = [repository_named(door, name) for name in given["repositoryNames"]]
        return {"repositories": [_shown(door, one) for one in describe_repositories(door.registry, caller, names)]}
    page = page_of(door)
    found = list_public_details(door.registry, caller, after=page.after, limit=page.limit + 1)
    return {
        "repositories": [_shown(door, one) for one in found[: page.limit]],
        "nextToken": next_token(door, found[page.limit - 1].name) if len(found) > page.limit else None,
    }


async def delete(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DeleteRepository``."""
    name = own_repository(door)
    row = await delete_repository(door.registry, caller, name, force=given.get("force", False))
    return {"repository": _shown(door, repository_detail(name, row))}


async def describe_registries(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``DescribeRegistries``: the one that this is, and the alias that its operator chose."""
    door.registry.authorize(caller, "ecr-public:DescribeRegistries", None)
    page_of(door)
    alias = door.registry.settings.public.alias
    registry = {
        "registryId": door.account,
        "registryArn": public_registry_arn(door.account),
        "registryUri": public_registry_uri(door),
        "verified": False,
        "aliases": [
            {"name": one, "status": "ACTIVE", "primaryRegistryAlias": True, "defaultRegistryAlias": True}
            for one in ([alias] if alias else [])
        ],
    }
    return {"registries": [registry]}


def _shown(door: Door, repository: RepositoryDetail) -> dict[str, Any]:
    """Return the shape ``Repository`` of the public service."""
    name = told(repository.name)
    return {
        "repositoryArn": public_arn(door.account, name),
        "registryId": door.account,
        "repositoryName": name,
        "repositoryUri": repository_uri(door, name),
        "createdAt": repository.created,
    }
