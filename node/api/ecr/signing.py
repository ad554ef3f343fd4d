"""Which images are signed when they are pushed, and what became of that."""

from typing import Any

import msgspec

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository
from node.registry.imageids import image_id
from node.registry.signing import FAILURE, REASON, delete_signing, get_signing, put_signing, unsigned_profiles
from protocol.auth.caller import Caller


async def put(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutSigningConfiguration``."""
    configuration = await put_signing(door.registry, caller, given["signingConfiguration"])
    return {"signingConfiguration": msgspec.to_builtins(configuration)}


async def get(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``GetSigningConfiguration``."""
    configuration = msgspec.to_builtins(get_signing(door.registry, caller))
    return {"registryId": door.account, "signingConfiguration": configuration}


async def delete(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``DeleteSigningConfiguration``."""
    configuration = msgspec.to_builtins(await delete_signing(door.registry, caller))
    return {"registryId": door.account, "signingConfiguration": configuration}


async def status(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DescribeImageSigningStatus``."""
    wanted = given["imageId"]
    parsed = image_id(wanted.get("imageDigest"), wanted.get("imageTag"))
    profiles = unsigned_profiles(door.registry, caller, own_repository(door), parsed)
    return {
        "repositoryName": given["repositoryName"],
        "imageId": wanted,
        "registryId": door.account,
        "signingStatuses": [
            {"signingProfileArn": one, "status": "FAILED", "failureCode": FAILURE, "failureReason": REASON}
            for one in profiles
        ],
    }
