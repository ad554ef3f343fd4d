"""Layers: whether they are here, from where they are fetched, and how they come."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository
from node.registry.downloads import download_of_layer
from node.registry.layerparts import PART_SIZE, begin_layer, complete_layer, put_layer_part
from node.registry.layers import CheckedLayer, check_layers
from protocol.auth.caller import Caller
from protocol.errors import DigestInvalid
from protocol.oci.digest import digest
from protocol.rules.texts import invalid


async def batch_check_availability(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``BatchCheckLayerAvailability``."""
    found, failures = await check_layers(door.registry, caller, own_repository(door), given["layerDigests"])
    return {
        "layers": [
            {
                "layerDigest": one.digest,
                "layerAvailability": _availability(one),
                "layerSize": one.size,
            }
            for one in found
        ],
        "failures": [
            {"layerDigest": one.digest, "failureCode": one.code, "failureReason": one.reason} for one in failures
        ],
    }


async def get_download_url(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``GetDownloadUrlForLayer``."""
    try:
        wanted = digest(given["layerDigest"])
    except DigestInvalid as error:
        raise invalid("layerDigest", "Invalid layer digest", str(error)) from None
    target = await download_of_layer(door.registry, caller, own_repository(door), wanted)
    return {"downloadUrl": f"{door.scheme}://{door.reached}{target}", "layerDigest": wanted}


async def initiate_upload(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``InitiateLayerUpload``."""
    return {"uploadId": await begin_layer(door.registry, caller, own_repository(door)), "partSize": PART_SIZE}


async def upload_part(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``UploadLayerPart``."""
    last = await put_layer_part(
        door.registry,
        caller,
        own_repository(door),
        given["uploadId"],
        first=given["partFirstByte"],
        last=given["partLastByte"],
        data=given["layerPartBlob"],
    )
    return {**_place(door), "lastByteReceived": last}


async def complete_upload(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``CompleteLayerUpload``."""
    upload, digests = given["uploadId"], given["layerDigests"]
    layer = await complete_layer(door.registry, caller, own_repository(door), upload, digests)
    return {**_place(door), "layerDigest": layer}


def _availability(layer: CheckedLayer) -> str:
    if layer.size is None:
        return "UNAVAILABLE"
    return "ARCHIVED" if layer.is_archived else "AVAILABLE"


def _place(door: Door) -> dict[str, Any]:
    """Return which upload it was, of which repository."""
    return {
        "registryId": door.account,
        "repositoryName": door.given["repositoryName"],
        "uploadId": door.given["uploadId"],
    }
