"""Replication: the rules, and how far an image has come."""

from typing import Any

import msgspec

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository
from node.registry.imageids import image_id
from node.registry.replication import ImageReplication, get_replication, image_replication, put_replication
from protocol.auth.caller import Caller
from protocol.auth.names import registry_name


async def put(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutReplicationConfiguration``."""
    document = msgspec.json.encode(given["replicationConfiguration"])
    configuration = await put_replication(door.registry, caller, document, needs_peers=False)
    return {"replicationConfiguration": msgspec.to_builtins(configuration)}


async def describe_registry(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``DescribeRegistry``."""
    configuration = msgspec.to_builtins(get_replication(door.registry, caller))
    return {"registryId": door.account, "replicationConfiguration": configuration}


async def image_status(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DescribeImageReplicationStatus``."""
    wanted = given["imageId"]
    parsed = image_id(wanted.get("imageDigest"), wanted.get("imageTag"))
    found = image_replication(door.registry, caller, own_repository(door), parsed)
    return {
        "repositoryName": given["repositoryName"],
        "imageId": wanted,
        "replicationStatuses": [_shown(one) for one in found],
    }


def _shown(one: ImageReplication) -> dict[str, Any]:
    """Return the shape ``ImageReplicationStatus``."""
    destination = registry_name(one.destination)
    return {
        "region": destination.region,
        "registryId": destination.account,
        "status": one.state,
        "failureCode": one.failure or None,
    }
