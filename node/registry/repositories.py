"""Finding a repository, creating it at its first push, deleting it."""

from node.registry.commit import commit
from node.registry.registry import Registry
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.errors import NameUnknown, RepositoryNotEmpty
from protocol.oci.names import RepositoryName
from protocol.sync.entries import RepositoryKey, RepositoryPut, RepositoryValue
from protocol.sync.repositories import delete_of
from protocol.sync.vector import vector


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
    return NameUnknown(f"The repository with name '{name}' does not exist in the registry with id '{account}'")


def exists(registry: Registry, txn: ReadTxn, row: RepositoryRow) -> bool:
    """Whether the repository was created and not deleted since, or something alive lies in it."""
    return row.state.is_put or _has_images(registry, txn, row)


def require_creatable(registry: Registry, name: RepositoryName) -> None:
    """Raise ``NameUnknown`` where the repository does not exist and a push may not create it."""
    if registry.settings.create_on_push != "any":
        with registry.store.meta.read() as txn:
            repository(registry, txn, name)


def repository_for_push(registry: Registry, txn: WriteTxn, caller: Caller, name: RepositoryName) -> RepositoryRow:
    """Return the row of the repository; create it, as a record of its own, where it does not exist.

    Raises:
        NameUnknown: it does not exist and a push may not create it.
        Denied: without ``ecr:CreateRepository``.
        ReadOnly: the gate was closed after whoever pushes asked.
    """
    registry.gate.require_open()
    row = find_repository(registry, txn, name)
    if row is not None:
        return row
    if registry.settings.create_on_push != "any":
        raise unknown(registry, name)
    return _create(registry, txn, caller, name)


def replicated_repository(registry: Registry, txn: WriteTxn, caller: Caller, name: RepositoryName) -> RepositoryRow:
    """Return the row of the repository; create it where it does not exist, whatever ``create_on_push`` says of pushes.

    Raises:
        Denied: without ``ecr:CreateRepository``.
    """
    return find_repository(registry, txn, name) or _create(registry, txn, caller, name)


async def delete_repository(registry: Registry, caller: Caller, name: RepositoryName, *, force: bool) -> None:
    """Delete a repository with all that lies in it: gone when this returns, one small transaction whatever lay there.

    The rows go afterwards (``burial``), and the blobs when they are due.

    Raises:
        Denied: without ``ecr:DeleteRepository``.
        NameUnknown: there is none.
        RepositoryNotEmpty: images lie in it, and it is not to be deleted by *force*.
    """
    registry.authorize(caller, "ecr:DeleteRepository", name)
    act = Act(caller, "ecr:DeleteRepository", name)
    meta = registry.store.meta

    def run(txn: WriteTxn) -> None:
        row = repository(registry, txn, name)
        if not force and _has_images(registry, txn, row):
            raise RepositoryNotEmpty(f"there are images in {name}; delete them first, or use --force")
        seen = vector(meta.journal.heads_of_all(txn))
        commit(registry, txn, act, lambda _dot, _hlc: [delete_of(row.state, RepositoryKey(name), seen)])

    await registry.store.writer.write(run)
    registry.changes.notify()
    registry.freeable.notify()


def _has_images(registry: Registry, txn: ReadTxn, row: RepositoryRow) -> bool:
    meta, prefix = registry.store.meta, row.number.to_bytes(8, "big")
    return any(table.bytes.keys(txn, prefix, limit=1) for table in (meta.images.alive, meta.tags.alive))


def _create(registry: Registry, txn: WriteTxn, caller: Caller, name: RepositoryName) -> RepositoryRow:
    registry.authorize(caller, "ecr:CreateRepository", name)
    old = registry.store.meta.repositories.get(txn, name)
    life = 1 if old is None else old.state.life
    value = RepositoryValue(life, {"created": int(registry.now() * 1000)})
    act = Act(caller, "ecr:CreateRepository", name)
    commit(registry, txn, act, lambda _dot, _hlc: [RepositoryPut(RepositoryKey(name), value)])
    return repository(registry, txn, name)
