"""Finding a repository, or creating it at its first push."""

from node.registry.commit import commit
from node.registry.registry import Registry
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Caller
from protocol.errors import NameUnknown
from protocol.oci.names import RepositoryName
from protocol.sync.entries import RepositoryKey, RepositoryPut, RepositoryValue


def find_repository(registry: Registry, txn: ReadTxn, name: RepositoryName) -> RepositoryRow | None:
    """Return the row of a repository that exists, else ``None``."""
    row = registry.store.meta.repositories.get(txn, name)
    return row if row is not None and exists(registry, txn, row) else None


def repository(registry: Registry, txn: ReadTxn, name: RepositoryName) -> RepositoryRow:
    """Return the row of a repository that exists, or raise ``NameUnknown``."""
    row = find_repository(registry, txn, name)
    if row is None:
        raise NameUnknown(f"no repository {name}")
    return row


def exists(registry: Registry, txn: ReadTxn, row: RepositoryRow) -> bool:
    """Whether the repository was created and not deleted since, or something alive lies in it."""
    meta, prefix = registry.store.meta, row.number.to_bytes(8, "big")
    return (
        row.state.is_put
        or bool(meta.images.alive.bytes.keys(txn, prefix, limit=1))
        or bool(meta.tags.alive.bytes.keys(txn, prefix, limit=1))
    )


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
        raise NameUnknown(f"no repository {name}; create it first")
    return _create(registry, txn, caller, name)


def replicated_repository(registry: Registry, txn: WriteTxn, caller: Caller, name: RepositoryName) -> RepositoryRow:
    """Return the row of the repository; create it where it does not exist, whatever ``create_on_push`` says of pushes.

    Raises:
        Denied: without ``ecr:CreateRepository``.
    """
    return find_repository(registry, txn, name) or _create(registry, txn, caller, name)


def _create(registry: Registry, txn: WriteTxn, caller: Caller, name: RepositoryName) -> RepositoryRow:
    registry.authorize(caller, "ecr:CreateRepository", name)
    old = registry.store.meta.repositories.get(txn, name)
    life = 1 if old is None else old.state.life
    commit(registry, txn, lambda _dot, _hlc: [RepositoryPut(RepositoryKey(name), RepositoryValue(life))])
    return repository(registry, txn, name)
