"""Which repositories are scanned, and scans of images."""

from typing import Any

import msgspec

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository, private_repository
from node.registry.imageids import image_id
from node.registry.repositories import unknown
from node.registry.scanning import get_scanning, put_scanning, scanning_of_repositories
from node.registry.scans import Scan, get_scan, start_scan
from protocol.auth.arn import repository_arn
from protocol.auth.caller import Caller
from protocol.errors import NameUnknown
from protocol.oci.names import RepositoryName
from protocol.rules.scanning import RepositoryScanning


async def put_registry(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutRegistryScanningConfiguration``."""
    return {"registryScanningConfiguration": msgspec.to_builtins(await put_scanning(door.registry, caller, given))}


async def get_registry(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``GetRegistryScanningConfiguration``."""
    configuration = msgspec.to_builtins(get_scanning(door.registry, caller))
    return {"registryId": door.account, "scanningConfiguration": configuration}


async def get_repositories(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``BatchGetRepositoryScanningConfiguration``."""
    names = [_name(door, one) for one in given["repositoryNames"]]
    found = scanning_of_repositories(door.registry, caller, names)
    pairs = list(zip(names, found, strict=True))
    return {
        "scanningConfigurations": [_configuration(door, name, one) for name, one in pairs if one is not None],
        "failures": [
            {
                "repositoryName": name,
                "failureCode": "REPOSITORY_NOT_FOUND",
                "failureReason": str(unknown(door.registry, name)),
            }
            for name, one in pairs
            if one is None
        ],
    }


async def start(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``StartImageScan``."""
    wanted = given["imageId"]
    parsed = image_id(wanted.get("imageDigest"), wanted.get("imageTag"))
    return _shown(door, await start_scan(door.registry, caller, own_repository(door), parsed))


async def findings(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``DescribeImageScanFindings``: a scan that failed has none."""
    wanted = given["imageId"]
    parsed = image_id(wanted.get("imageDigest"), wanted.get("imageTag"))
    return _shown(door, get_scan(door.registry, caller, own_repository(door), parsed))


def _name(door: Door, text: str) -> RepositoryName:
    try:
        return private_repository(door, text)
    except NameUnknown:  # A public one: found to be none when it is looked for.
        return RepositoryName(text)


def _configuration(door: Door, name: RepositoryName, found: RepositoryScanning) -> dict[str, Any]:
    """Return the shape ``RepositoryScanningConfiguration``."""
    return {
        "repositoryArn": repository_arn(door.registry.name, name),
        "repositoryName": name,
        "scanOnPush": found.scan_on_push,
        "scanFrequency": found.frequency,
        "appliedScanFilters": msgspec.to_builtins(found.filters),
    }


def _shown(door: Door, scan: Scan) -> dict[str, Any]:
    return {
        "registryId": door.account,
        "repositoryName": door.given["repositoryName"],
        "imageId": {"imageDigest": scan.digest, "imageTag": door.given["imageId"].get("imageTag")},
        "imageScanStatus": {"status": scan.status, "description": scan.reason},
    }
