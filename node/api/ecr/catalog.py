"""What public repositories and their registry say of themselves."""

from typing import Any

from node.api.ecr.door import Door, Given
from node.api.ecr.naming import own_repository
from node.registry.gallery import (
    CatalogShown,
    get_registry_catalog,
    get_repository_catalog,
    put_registry_catalog,
    put_repository_catalog,
)
from protocol.auth.caller import Caller
from protocol.oci.names import RepositoryName
from protocol.rules.catalog import LOGOS, CatalogEntry, logo


async def put_of_repository(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutRepositoryCatalogData``."""
    name, entry = own_repository(door), catalog_given(given["catalogData"])
    return {"catalogData": catalog_shown(door, name, await put_repository_catalog(door.registry, caller, name, entry))}


async def get_of_repository(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``GetRepositoryCatalogData``."""
    name = own_repository(door)
    return {"catalogData": catalog_shown(door, name, get_repository_catalog(door.registry, caller, name))}


async def put_of_registry(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``PutRegistryCatalogData``."""
    name = given.get("displayName", "")
    await put_registry_catalog(door.registry, caller, name)
    return {"registryCatalogData": {"displayName": name}}


async def get_of_registry(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``GetRegistryCatalogData``."""
    return {"registryCatalogData": {"displayName": get_registry_catalog(door.registry, caller)}}


def catalog_given(given: Given) -> CatalogEntry:
    """Return what an input says; ``ParameterInvalid`` where the logo is no picture."""
    blob = given.get("logoImageBlob", b"")
    return CatalogEntry(
        given.get("description"),
        tuple(given.get("architectures", ())),
        tuple(given.get("operatingSystems", ())),
        given.get("aboutText"),
        given.get("usageText"),
        logo(blob) if blob else None,
    )


def catalog_shown(door: Door, name: RepositoryName, said: CatalogShown) -> dict[str, Any]:
    """Return the shape ``RepositoryCatalogData``."""
    entry, host = said.entry, door.registry.settings.public.host or door.host
    return {
        "description": entry.description,
        "architectures": list(entry.architectures) or None,
        "operatingSystems": list(entry.operating_systems) or None,
        "logoUrl": f"{door.scheme}://{host}{LOGOS}{name}?v={said.logo}" if said.logo else None,
        "aboutText": entry.about,
        "usageText": entry.usage,
        "marketplaceCertified": False,
    }
