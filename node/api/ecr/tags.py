"""Resource tags of repositories."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import repository_of_resource
from node.registry.resourcetags import list_repository_tags, tag_repository, untag_repository
from protocol.auth.caller import Caller
from protocol.rules.tags import require_tag_keys, resource_tags


async def tag(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``TagResource``."""
    name = repository_of_resource(door)
    await tag_repository(door.registry, caller, name, resource_tags(given["tags"]))
    return {}


async def untag(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``UntagResource``."""
    name, keys = repository_of_resource(door), given["tagKeys"]
    require_tag_keys(keys)
    await untag_repository(door.registry, caller, name, keys)
    return {}


async def list_(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``ListTagsForResource``."""
    tags = list_repository_tags(door.registry, caller, repository_of_resource(door))
    return {"tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}
