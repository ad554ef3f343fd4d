"""Scanning: what is to be scanned is kept and answered exactly; nothing is scanned by this version, and it says so.

A scan that somebody starts fails at once, with a description that says why, and is remembered as that: who waits for
it ends, and who asks later is told the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from node.registry.documents import SCANNING, document, put_document
from node.registry.registry import Registry
from node.registry.repositories import find_repository
from node.registry.settings import settings_of
from node.store.table import ReadTxn
from protocol.auth.caller import Act, Caller
from protocol.oci.names import RepositoryName
from protocol.rules.scanning import RepositoryScanning, ScanningConfiguration, scanning_configuration, scanning_of

_decode = msgspec.json.Decoder(ScanningConfiguration).decode


async def put_scanning(registry: Registry, caller: Caller, given: Mapping[str, Any]) -> ScanningConfiguration:
    """Replace the scanning configuration of the registry by what a call gives.

    Raises:
        Denied: without ``ecr:PutRegistryScanningConfiguration``.
        ValidationFailed: its parts do not go together.
    """
    action = "ecr:PutRegistryScanningConfiguration"
    registry.authorize(caller, action, None)
    configuration = scanning_configuration(given)
    await put_document(registry, Act(caller, action), SCANNING, msgspec.json.encode(configuration).decode())
    return configuration


def get_scanning(registry: Registry, caller: Caller) -> ScanningConfiguration:
    """Return the scanning configuration of the registry.

    Raises:
        Denied: without ``ecr:GetRegistryScanningConfiguration``.
    """
    registry.authorize(caller, "ecr:GetRegistryScanningConfiguration", None)
    with registry.store.meta.read() as txn:
        return scanning_in_force(registry, txn)


def scanning_of_repositories(
    registry: Registry, caller: Caller, names: Sequence[RepositoryName]
) -> list[RepositoryScanning | None]:
    """Return how each of these repositories is scanned; ``None`` for one that does not exist.

    Raises:
        Denied: without ``ecr:BatchGetRepositoryScanningConfiguration`` on each.
    """
    for name in names:
        registry.authorize(caller, "ecr:BatchGetRepositoryScanningConfiguration", name)
    with registry.store.meta.read() as txn:
        configuration = scanning_in_force(registry, txn)
        rows = [find_repository(registry, txn, name) for name in names]
    return [
        None
        if row is None
        else scanning_of(configuration, name, scan_on_push=settings_of(row).get("scan-on-push") is True)
        for name, row in zip(names, rows, strict=True)
    ]


def scanning_in_force(registry: Registry, txn: ReadTxn) -> ScanningConfiguration:
    """Return the scanning configuration; who asks was allowed to before."""
    text = document(registry, txn, SCANNING)
    return ScanningConfiguration() if text is None else _decode(text)
