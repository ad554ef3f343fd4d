"""Repositories: creating, describing, deleting, and their settings."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository, repository_named, repository_uri
from node.api.ecr.paging import next_token, no_page_with, page_of
from node.registry.details import (
    RepositoryDetail,
    describe_repositories,
    list_repository_details,
    repository_detail,
)
from node.registry.repositories import delete_repository
from node.registry.sealing import encryption_settings
from node.registry.settings import (
    create_repository,
    mutability_fields,
    put_mutability,
    put_scan_on_push,
    tag_fields,
)
from protocol.auth.arn import repository_arn
from protocol.auth.caller import Caller
from protocol.auth.public import PREFIX
from protocol.errors import NameInvalid
from protocol.oci.names import repository_name
from protocol.rules.mutability import Exclusion, Mutability, mutability
from protocol.rules.tags import require_room, resource_tags
from protocol.sync.entries import Setting


async def create(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``CreateRepository``."""
    name = repository_name(given["repositoryName"])
    if name.startswith(PREFIX):
        raise NameInvalid(
            "Invalid parameter at 'repositoryName' failed to satisfy constraint: "
            f"'names that begin with {PREFIX} are those of public repositories'"
        )
    tags = resource_tags(given.get("tags", ()))
    require_room(tags, most=door.registry.settings.quotas.tags_per_resource)
    fields = {
        **mutability_fields(mutability_given(given)),
        "scan-on-push": given.get("imageScanningConfiguration", {}).get("scanOnPush", False),
        **_encryption(given.get("encryptionConfiguration")),
        **tag_fields(tags),
    }
    fields = {field: value for field, value in fields.items() if value is not None}
    row = await create_repository(door.registry, caller, name, fields)
    return {"repository": shown(door, repository_detail(name, row))}


async def describe(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DescribeRepositories``."""
    no_page_with(door, "repositoryNames")
    if "repositoryNames" in given:
        names = [repository_named(door, name) for name in given["repositoryNames"]]
        found = describe_repositories(door.registry, caller, names)
        return {"repositories": [shown(door, one) for one in found]}
    page = page_of(door)
    found = await list_repository_details(door.registry, caller, after=page.after, limit=page.limit + 1)
    return {
        "repositories": [shown(door, one) for one in found[: page.limit]],
        "nextToken": next_token(door, found[page.limit - 1].name) if len(found) > page.limit else None,
    }


async def delete(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DeleteRepository``."""
    name = own_repository(door)
    row = await delete_repository(door.registry, caller, name, force=given.get("force", False))
    return {"repository": shown(door, repository_detail(name, row))}


async def put_image_tag_mutability(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutImageTagMutability``."""
    name, setting = own_repository(door), mutability_given(given)
    await put_mutability(door.registry, caller, name, setting)
    return {"registryId": door.account, "repositoryName": name, **mutability_shown(setting)}


async def put_image_scanning_configuration(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutImageScanningConfiguration``."""
    name, is_on = own_repository(door), given["imageScanningConfiguration"].get("scanOnPush", False)
    await put_scan_on_push(door.registry, caller, name, is_on=is_on)
    return {
        "registryId": door.account,
        "repositoryName": name,
        "imageScanningConfiguration": {"scanOnPush": is_on},
    }


def mutability_given(given: Given) -> Mutability:
    """Return the setting that an input says; ``ParameterInvalid`` where mode and filters do not go together."""
    filters = given.get("imageTagMutabilityExclusionFilters", ())
    exclusions = tuple(Exclusion(one["filter"], one["filterType"]) for one in filters)
    return mutability(given.get("imageTagMutability", "MUTABLE"), exclusions)


def mutability_shown(setting: Mutability) -> dict[str, Any]:
    """Return the members that say *setting*."""
    filters = [{"filterType": one.filter_type, "filter": one.filter} for one in setting.exclusions]
    return {"imageTagMutability": setting.mode, "imageTagMutabilityExclusionFilters": filters or None}


def shown(door: Door, repository: RepositoryDetail) -> dict[str, Any]:
    """Return the shape ``Repository``."""
    return {
        "repositoryArn": repository_arn(door.registry.name, repository.name),
        "registryId": door.account,
        "repositoryName": repository.name,
        "repositoryUri": repository_uri(door, repository.name),
        "createdAt": repository.created,
        **mutability_shown(repository.mutability),
        "imageScanningConfiguration": {"scanOnPush": repository.scan_on_push},
        "encryptionConfiguration": {"encryptionType": repository.encryption, "kmsKey": repository.kms_key},
    }


def _encryption(given: dict[str, Any] | None) -> dict[str, Setting]:
    """Return the fields for how a repository is to be encrypted; none where nobody says so."""
    return {} if given is None else encryption_settings(given["encryptionType"], given.get("kmsKey"))
