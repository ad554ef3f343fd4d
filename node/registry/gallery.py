"""What public repositories, and the registry, say of themselves: put, shown, and a logo that browsers can have.

Texts may have 50 000 characters and a logo half a megabyte, so they are no settings of the repository, whose row each
pull reads, but registers by its name: group ``catalog``, and ``logo`` for the picture. Both say which *life* of the
repository they belong to, so that what a deleted one said is never what its successor says.
"""

import json
from base64 import b64decode, b64encode

import msgspec
from blake3 import blake3

from node.registry.commit import commit_rules
from node.registry.documents import PUBLIC_CATALOG, document, put_document
from node.registry.registers import register, register_put
from node.registry.registry import Registry
from node.registry.repositories import CATALOG, LOGO, repository
from node.registry.settings import create_repository
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.public import told
from protocol.errors import ManifestUnknown
from protocol.oci.names import RepositoryName
from protocol.rules.catalog import CatalogEntry, Logo
from protocol.sync.entries import Known, Setting

_TEXTS = ("description", "about", "usage")
_LISTS = ("architectures", "operating_systems")


class CatalogShown(msgspec.Struct, frozen=True):
    """What is told of a repository: the texts, and by which version its logo is asked for."""

    entry: CatalogEntry  # Without the logo.
    logo: str = ""  # Changes with the picture; empty: there is none.


async def create_public_repository(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    fields: dict[str, Setting],
    entry: CatalogEntry | None,
) -> tuple[RepositoryRow, CatalogShown | None]:
    """Create a public repository that says *entry* of itself, in one transaction.

    Raises:
        Denied: without ``ecr-public:CreateRepository``, and ``ecr-public:TagResource`` where it gets tags.
        RepositoryExists: it exists.
        LimitExceeded: there are as many as there may be.
    """
    act = Act(caller, "ecr-public:CreateRepository", name)

    def beside(txn: WriteTxn, life: int) -> list[Known]:
        return [] if entry is None else _entries(registry, txn, act, name, life, entry)

    row = await create_repository(registry, caller, name, fields, beside=beside)
    return row, None if entry is None else _told(entry)


async def put_repository_catalog(
    registry: Registry, caller: Caller, name: RepositoryName, entry: CatalogEntry
) -> CatalogShown:
    """Replace all that a repository says of itself.

    Raises:
        Denied: without ``ecr-public:PutRepositoryCatalogData``.
        NameUnknown: there is no such repository.
    """
    act = Act(caller, "ecr-public:PutRepositoryCatalogData", name)
    registry.authorize(caller, act.action, name)

    def run(txn: WriteTxn) -> None:
        entries = _entries(registry, txn, act, name, repository(registry, txn, name).state.life, entry)
        commit_rules(registry, txn, act, lambda _dot, _hlc: entries)

    await registry.store.writer.write(run)
    registry.changes.notify()
    return _told(entry)


def get_repository_catalog(registry: Registry, caller: Caller, name: RepositoryName) -> CatalogShown:
    """Return what a repository says of itself, which may be nothing: Terraform takes an error for one.

    Raises:
        Denied: without ``ecr-public:GetRepositoryCatalogData``.
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr-public:GetRepositoryCatalogData", name)
    with registry.store.meta.read() as txn:
        fields = _fields(registry, txn, CATALOG, name, repository(registry, txn, name)) or {}
    texts = {key: fields.get(key) for key in _TEXTS}
    lists = {key: json.loads(str(fields.get(key) or "[]")) for key in _LISTS}
    return CatalogShown(msgspec.convert(texts | lists, CatalogEntry), str(fields.get("logo") or ""))


def get_logo(registry: Registry, caller: Caller, name: RepositoryName) -> Logo:
    """Return the logo of a public repository: anyone's to have, as its images are.

    Raises:
        Denied: without ``ecr:BatchGetImage``.
        NameUnknown, ManifestUnknown: there is no such repository, or it has none.
    """
    registry.authorize(caller, "ecr:BatchGetImage", name)
    with registry.store.meta.read() as txn:
        fields = _fields(registry, txn, LOGO, name, repository(registry, txn, name))
    if fields is None:
        raise ManifestUnknown(f"The repository with name '{told(name)}' has no logo")
    return Logo(b64decode(str(fields.get("data"))), str(fields.get("type")))


async def put_registry_catalog(registry: Registry, caller: Caller, display_name: str) -> None:
    """Replace the name by which people know the public registry; ``Denied`` without ``PutRegistryCatalogData``."""
    act = Act(caller, "ecr-public:PutRegistryCatalogData")
    registry.authorize(caller, act.action, None)
    await put_document(registry, act, PUBLIC_CATALOG, display_name)


def get_registry_catalog(registry: Registry, caller: Caller) -> str | None:
    """Return that name, where one was put; ``Denied`` without ``ecr-public:GetRegistryCatalogData``."""
    registry.authorize(caller, "ecr-public:GetRegistryCatalogData", None)
    with registry.store.meta.read() as txn:
        return document(registry, txn, PUBLIC_CATALOG)


def _entries(
    registry: Registry, txn: ReadTxn, act: Act, name: RepositoryName, life: int, entry: CatalogEntry
) -> list[Known]:
    said = _told(entry)
    fields: dict[str, Setting] = {key: getattr(entry, key) for key in _TEXTS}
    fields |= {key: json.dumps(getattr(entry, key)) if getattr(entry, key) else None for key in _LISTS}
    fields |= {"logo": said.logo or None, "life": life}
    entries: list[Known] = [register_put(registry, txn, act, CATALOG, name, fields)]
    had = register(registry, txn, LOGO, name)
    if entry.logo is not None:
        picture: dict[str, Setting] = {"data": b64encode(entry.logo.data).decode(), "type": entry.logo.media_type}
        entries.append(register_put(registry, txn, act, LOGO, name, picture | {"life": life}))
    elif had:
        entries.append(register_put(registry, txn, act, LOGO, name, dict.fromkeys(had)))
    return entries


def _told(entry: CatalogEntry) -> CatalogShown:
    version = "" if entry.logo is None else blake3(entry.logo.data).hexdigest(length=8)
    return CatalogShown(msgspec.structs.replace(entry, logo=None), version)


def _fields(
    registry: Registry, txn: ReadTxn, group: str, name: RepositoryName, row: RepositoryRow
) -> dict[str, Setting] | None:
    fields = register(registry, txn, group, name)
    return fields if fields is not None and fields.get("life") == row.state.life else None
