"""Storage classes of images."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository
from node.registry.imageids import image_id
from node.registry.storage import update_storage_class
from protocol.auth.caller import Caller


async def update(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``UpdateImageStorageClass``."""
    name, wanted = own_repository(door), given["imageId"]
    parsed = image_id(wanted.get("imageDigest"), wanted.get("imageTag"))
    digest, status = await update_storage_class(door.registry, caller, name, parsed, given["targetStorageClass"])
    return {
        "registryId": door.account,
        "repositoryName": name,
        "imageId": {"imageDigest": digest, "imageTag": wanted.get("imageTag")},
        "imageStatus": status,
    }
