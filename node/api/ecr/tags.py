"""Resource tags of repositories."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import private_repository
from node.registry.repositories import unknown
from node.registry.resourcetags import list_repository_tags, tag_repository, untag_repository
from protocol.auth.arn import repository_of_arn
from protocol.auth.caller import Caller
from protocol.oci.names import RepositoryName
from protocol.rules.tags import require_tag_keys, resource_tags


async def tag(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``TagResource``."""
    name = _repository(door)
    await tag_repository(door.registry, caller, name, resource_tags(given["tags"]))
    return {}


async def untag(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``UntagResource``."""
    name, keys = _repository(door), given["tagKeys"]
    require_tag_keys(keys)
    await untag_repository(door.registry, caller, name, keys)
    return {}


async def list_(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``ListTagsForResource``."""
    tags = list_repository_tags(door.registry, caller, _repository(door))
    return {"tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}


def _repository(door: Door) -> RepositoryName:
    name = repository_of_arn(door.given["resourceArn"], door.registry.name)
    if name is None:
        raise unknown(door.registry, RepositoryName(door.given["resourceArn"].rpartition(":repository/")[2]))
    return private_repository(door, name)
