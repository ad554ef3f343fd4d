"""What is set for a repository: fields of its own record, of which the last writer of each wins.

created                     milliseconds since 1970
tag-mutability              MUTABLE, IMMUTABLE, ... ; absent: MUTABLE
tag-mutability-exclusions   JSON list of wildcard patterns
scan-on-push                bool
encryption, kms-key         AES256, KMS or KMS_DSSE; which key. Set at creation, never changed
policy, lifecycle-policy    the documents, as they were given
tag:KEY                     one resource tag each
catalog                     JSON, of a public repository
"""

from collections.abc import Mapping

from node.registry.commit import commit, commit_rules
from node.registry.registry import Registry
from node.registry.repositories import find_repository, repository
from node.store.rows import RepositoryRow
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.errors import RepositoryExists
from protocol.oci.names import RepositoryName
from protocol.sync.entries import Known, RepositoryKey, RepositoryPut, RepositoryValue, Setting


def settings_of(row: RepositoryRow) -> dict[str, Setting]:
    """Return the fields that have a value."""
    return {name: value for name, value in row.state.settings().items() if value is not None}


async def put_settings(registry: Registry, act: Act, name: RepositoryName, fields: Mapping[str, Setting]) -> None:
    """Set *fields* of a repository that exists (``None`` takes one away); the caller was allowed to before.

    Raises:
        NameUnknown: it does not exist.
    """

    def run(txn: WriteTxn) -> None:
        row = repository(registry, txn, name)
        commit_rules(registry, txn, act, lambda _dot, _hlc: [settings_put(name, row, fields)])

    await registry.store.writer.write(run)
    registry.changes.notify()


async def create_repository(
    registry: Registry, caller: Caller, name: RepositoryName, fields: Mapping[str, Setting]
) -> RepositoryRow:
    """Create a repository with *fields* set, and with ``created`` beside them.

    Raises:
        Denied: without ``ecr:CreateRepository``.
        RepositoryExists: it exists.
    """
    registry.authorize(caller, "ecr:CreateRepository", name)
    act = Act(caller, "ecr:CreateRepository", name)

    def run(txn: WriteTxn) -> RepositoryRow:
        if find_repository(registry, txn, name) is not None:
            raise RepositoryExists(
                f"The repository with name '{name}' already exists in the registry with id '{registry.name.account}'"
            )
        old = registry.store.meta.repositories.get(txn, name)
        life = 1 if old is None else old.state.life
        value = RepositoryValue(life, {"created": int(registry.now() * 1000), **fields})

        def entries(_dot: object, _hlc: int) -> list[Known]:
            return [RepositoryPut(RepositoryKey(name), value)]

        commit(registry, txn, act, entries)
        return repository(registry, txn, name)

    row = await registry.store.writer.write(run)
    registry.changes.notify()
    return row


def settings_put(name: RepositoryName, row: RepositoryRow, fields: Mapping[str, Setting]) -> RepositoryPut:
    """Return the entry that sets *fields* of a repository."""
    return RepositoryPut(RepositoryKey(name), RepositoryValue(row.state.life, dict(fields)))
