"""Repositories: creating, describing, deleting, and their settings."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import private_repository, repository_uri
from node.api.ecr.paging import next_token, no_page_with, page_of
from node.registry.details import RepositoryDetail, describe_repositories, list_repository_details
from protocol.auth.arn import repository_arn
from protocol.auth.caller import Caller


async def describe(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DescribeRepositories``."""
    no_page_with(door, "repositoryNames")
    if "repositoryNames" in given:
        names = [private_repository(door, name) for name in given["repositoryNames"]]
        found = describe_repositories(door.registry, caller, names)
        return {"repositories": [shown(door, one) for one in found]}
    page = page_of(door)
    found = list_repository_details(door.registry, caller, after=page.after, limit=page.limit + 1)
    return {
        "repositories": [shown(door, one) for one in found[: page.limit]],
        "nextToken": next_token(door, found[page.limit - 1].name) if len(found) > page.limit else None,
    }


def shown(door: Door, repository: RepositoryDetail) -> dict[str, Any]:
    """Return the shape ``Repository``."""
    filters = [{"filterType": one.filter_type, "filter": one.filter} for one in repository.mutability.exclusions]
    return {
        "repositoryArn": repository_arn(door.registry.name, repository.name),
        "registryId": door.account,
        "repositoryName": repository.name,
        "repositoryUri": repository_uri(door, repository.name),
        "createdAt": repository.created,
        "imageTagMutability": repository.mutability.mode,
        "imageTagMutabilityExclusionFilters": filters or None,
        "imageScanningConfiguration": {"scanOnPush": repository.scan_on_push},
        "encryptionConfiguration": {"encryptionType": repository.encryption, "kmsKey": repository.kms_key},
    }
