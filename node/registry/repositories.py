"""Finding a repository, creating it at its first push, deleting it."""

from collections.abc import Mapping
from contextlib import suppress

import trio

from node.registry.commit import commit
from node.registry.keyring import repository_key_name
from node.registry.quotas import require_room_for_repository
from node.registry.registers import registers_taken
from node.registry.registry import Registry
from node.registry.sealing import begin_domain, settled_encryption
from node.registry.templates import settings_from_template
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.public import PREFIX, told
from protocol.errors import NameUnknown, RepositoryNotEmpty, StoreReadOnly
from protocol.oci.names import RepositoryName
from protocol.rules.templates import Cause
from protocol.sync.entries import RepositoryKey, RepositoryPut, RepositoryValue, Setting
from protocol.sync.repositories import delete_of
from protocol.sync.vector import vector

CATALOG, LOGO = "catalog", "logo"
"""Groups of registers that have the name of a public repository, and go with it: what it says of itself."""


def find_repository(registry: Registry, txn: ReadTxn, name: RepositoryName) -> RepositoryRow | None:
    """Return the row of a repository that exists, else ``None``."""
    row = registry.store.meta.repositories.get(txn, name)
    return row if row is not None and exists(registry, txn, row) else None


def repository(registry: Registry, txn: ReadTxn, name: RepositoryName) -> RepositoryRow:
    """Return the row of a repository that exists, or raise ``NameUnknown``."""
    row = find_repository(registry, txn, name)
    if row is None:
        raise unknown(registry, name)
    return row


def unknown(registry: Registry, name: RepositoryName) -> NameUnknown:
    """Return the refusal for a repository that does not exist, in the words of ECR."""
    account = registry.name.account
    return NameUnknown(f"The repository with name '{told(name)}' does not exist in the registry with id '{account}'")


def exists(registry: Registry, txn: ReadTxn, row: RepositoryRow) -> bool:
    """Whether the repository was created and not deleted since, or something alive lies in it."""
    return row.state.is_put or _has_images(registry, txn, row)


async def begin_push(registry: Registry, caller: Caller, name: RepositoryName) -> None:
    """Make sure that a push to the repository can come to something, before its first byte is taken.

    One whose bytes may have to be sealed, by a template or by default, is made now; another with its first blob.

    Raises:
        NameUnknown: the repository does not exist and a push may not create it.
        Denied: it may, and *caller* has no ``ecr:CreateRepository``.
    """
    with registry.store.meta.read() as txn:
        if find_repository(registry, txn, name) is not None:
            return
        template = _template_for_push(registry, txn, name)
    registry.authorize(caller, "ecr:CreateRepository", name)  # Now, and not behind gigabytes.
    if template is not None or registry.settings.encrypt_by_default:
        await registry.store.writer.write(lambda txn: repository_for_push(registry, txn, caller, name))
        registry.changes.notify()


def repository_for_push(registry: Registry, txn: WriteTxn, caller: Caller, name: RepositoryName) -> RepositoryRow:
    """Return the row of the repository; create it, as a record of its own, where it does not exist.

    Raises:
        NameUnknown: it does not exist and a push may not create it.
        Denied: without ``ecr:CreateRepository``.
        ReadOnly: the gate was closed after whoever pushes asked.
        LimitExceeded: there are as many repositories as there may be.
    """
    registry.gate.require_open()
    row = find_repository(registry, txn, name)
    if row is not None:
        return row
    settings = _template_for_push(registry, txn, name) or {}
    require_room_for_repository(registry, txn)
    return _create(registry, txn, caller, name, settings)


def replicated_repository(
    registry: Registry, txn: WriteTxn, caller: Caller, name: RepositoryName, cause: Cause
) -> RepositoryRow:
    """Return the row of the repository; create it where it does not exist, whatever ``create_on_push`` says of pushes.

    Raises:
        Denied: without ``ecr:CreateRepository``.
        NameUnknown: its name is that of a public one, and what is public here comes from clients alone.
    """
    if name.startswith(PREFIX):
        raise unknown(registry, name)
    row = find_repository(registry, txn, name)
    return row or _create(registry, txn, caller, name, settings_from_template(registry, txn, name, cause) or {})


async def begin_arrival(registry: Registry, caller: Caller, name: RepositoryName, cause: Cause) -> None:
    """Make the repository now, before a byte for it is kept, where it does not exist and may have to seal them.

    Raises:
        Denied, NameUnknown: as ``replicated_repository``.
    """
    with registry.store.meta.read() as txn:
        if find_repository(registry, txn, name) is not None:
            return
        template = settings_from_template(registry, txn, name, cause)
    if template is not None or registry.settings.encrypt_by_default:
        await registry.store.writer.write(lambda txn: replicated_repository(registry, txn, caller, name, cause))
        registry.changes.notify()


async def delete_repository(registry: Registry, caller: Caller, name: RepositoryName, *, force: bool) -> RepositoryRow:
    """Delete a repository with all that lies in it, and return what it was.

    It is gone when this returns, by one small transaction whatever lay there, and with it the key of what lay sealed in
    it. The rows go afterwards (``burial``), and the blobs when they are due.

    Raises:
        Denied: without ``ecr:DeleteRepository``.
        NameUnknown: there is none.
        RepositoryNotEmpty: images lie in it, and it is not to be deleted by *force*.
    """
    registry.authorize(caller, "ecr:DeleteRepository", name)
    act = Act(caller, "ecr:DeleteRepository", name)
    meta = registry.store.meta

    def run(txn: WriteTxn) -> tuple[RepositoryRow, bytes]:
        row = repository(registry, txn, name)
        domain = meta.blobs.domains.get(txn, row.number.to_bytes(8, "big"))
        if not force and _has_images(registry, txn, row):
            raise RepositoryNotEmpty(
                f"The repository with name '{told(name)}' in registry with id '{registry.name.account}' cannot be "
                "deleted because it still contains images"
            )
        seen = vector(meta.journal.heads_of_all(txn))
        said = registers_taken(registry, txn, act, (CATALOG, LOGO), name)
        commit(registry, txn, act, lambda _dot, _hlc: [delete_of(row.state, RepositoryKey(name), seen), *said])
        return row, b"" if domain is None else domain.key

    deleted, key = await registry.store.writer.write(run)
    if key:
        with suppress(StoreReadOnly):  # No row names it any more: ``delete_stray_keys`` finds it.
            await trio.to_thread.run_sync(registry.keyring.destroy, repository_key_name(key))
    registry.changes.notify()
    registry.freeable.notify()
    return deleted


def _has_images(registry: Registry, txn: ReadTxn, row: RepositoryRow) -> bool:
    meta, prefix = registry.store.meta, row.number.to_bytes(8, "big")
    return any(table.bytes.keys(txn, prefix, limit=1) for table in (meta.images.alive, meta.tags.alive))


def _template_for_push(registry: Registry, txn: ReadTxn, name: RepositoryName) -> Mapping[str, Setting] | None:
    """Return what a repository gets that a push creates, ``None`` without a template; ``NameUnknown`` if none may."""
    if name.startswith(PREFIX):
        raise unknown(registry, name)  # A public one is created by who means to publish, not by a slip of a push.
    mode = registry.settings.create_on_push
    found = None if mode == "never" else settings_from_template(registry, txn, name, "CREATE_ON_PUSH")
    if found is None and mode != "any":
        raise unknown(registry, name)
    return found


def _create(
    registry: Registry, txn: WriteTxn, caller: Caller, name: RepositoryName, settings: Mapping[str, Setting]
) -> RepositoryRow:
    registry.authorize(caller, "ecr:CreateRepository", name)
    old = registry.store.meta.repositories.get(txn, name)
    life = 1 if old is None else old.state.life
    act = Act(caller, "ecr:CreateRepository", name)
    settled = settled_encryption(registry, txn, act, settings)
    value = RepositoryValue(life, {"created": int(registry.now() * 1000), **settled})
    commit(registry, txn, act, lambda _dot, _hlc: [RepositoryPut(RepositoryKey(name), value)])
    row = repository(registry, txn, name)
    begin_domain(registry, txn, row)
    return row
