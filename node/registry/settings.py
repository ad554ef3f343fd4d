"""What is set for a repository: fields of its own record, of which the last writer of each wins.

created                     milliseconds since 1970
tag-mutability              MUTABLE, IMMUTABLE, ... ; absent: MUTABLE
tag-mutability-exclusions   JSON list of wildcard patterns
scan-on-push                bool
encryption, kms-key         AES256, KMS or KMS_DSSE; which key. Set at creation, never changed
policy, lifecycle-policy    the documents, as they were given
tag:KEY                     one resource tag each
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

from node.registry.commit import commit, commit_rules
from node.registry.quotas import require_room_for_repository
from node.registry.registry import Registry
from node.registry.repositories import find_repository, repository
from node.registry.sealing import begin_domain, settled_encryption
from node.store.rows import RepositoryRow
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.conditions import Keys
from protocol.auth.public import told
from protocol.errors import RepositoryExists
from protocol.oci.names import RepositoryName
from protocol.rules.mutability import Mutability, stored_exclusions, stored_mutability
from protocol.sync.entries import Known, RepositoryKey, RepositoryPut, RepositoryValue, Setting

_TAG = "tag:"

Taken = TypeVar("Taken")


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


Beside: TypeAlias = Callable[[WriteTxn, int], list[Known]]
"""What else to write in the transaction that begins this life of a repository."""


def _nothing(_txn: WriteTxn, _life: int) -> list[Known]:
    return []


async def take_setting(
    registry: Registry, act: Act, name: RepositoryName, field: str, read: Callable[[RepositoryRow], Taken]
) -> Taken:
    """Take *field* of a repository away and return what *read* makes of it; the caller was allowed to before.

    Raises:
        NameUnknown: the repository does not exist; and what *read* raises, where it has no such field.
    """

    def run(txn: WriteTxn) -> Taken:
        row = repository(registry, txn, name)
        taken = read(row)
        commit_rules(registry, txn, act, lambda _dot, _hlc: [settings_put(name, row, {field: None})])
        return taken

    taken = await registry.store.writer.write(run)
    registry.changes.notify()
    return taken


async def create_repository(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    fields: Mapping[str, Setting],
    *,
    beside: Beside = _nothing,
) -> RepositoryRow:
    """Create a repository with *fields* set, with ``created`` among them, and whatever *beside* adds.

    Raises:
        Denied: without ``ecr:CreateRepository``, and ``ecr:TagResource`` where it gets tags.
        RepositoryExists: it exists.
        LimitExceeded: there are as many as there may be.
        KeyUnusable: it is to be encrypted under a KMS key that is not there, or may not be used.
    """
    tags = tags_of(fields)
    registry.authorize(caller, "ecr:CreateRepository", name, tag_keys(tags))
    if tags:
        registry.authorize(caller, "ecr:TagResource", name, tag_keys(tags))
    act = Act(caller, "ecr:CreateRepository", name)

    def run(txn: WriteTxn) -> RepositoryRow:
        if find_repository(registry, txn, name) is not None:
            raise RepositoryExists(
                f"The repository with name '{told(name)}' already exists in the registry with id "
                f"'{registry.name.account}'"
            )
        require_room_for_repository(registry, txn)
        old = registry.store.meta.repositories.get(txn, name)
        life = 1 if old is None else old.state.life
        settled = settled_encryption(registry, txn, act, fields)
        value = RepositoryValue(life, {"created": int(registry.now() * 1000), **settled})

        def entries(_dot: object, _hlc: int) -> list[Known]:
            return [RepositoryPut(RepositoryKey(name), value), *others]

        others = beside(txn, life)
        commit(registry, txn, act, entries)
        row = repository(registry, txn, name)
        begin_domain(registry, txn, row)
        return row

    row = await registry.store.writer.write(run)
    registry.changes.notify()
    return row


async def put_mutability(registry: Registry, caller: Caller, name: RepositoryName, setting: Mutability) -> None:
    """Set which tags may move from now on; those that are there stay as they are.

    Raises:
        Denied: without ``ecr:PutImageTagMutability``.
        NameUnknown: there is no such repository.
    """
    action = "ecr:PutImageTagMutability"
    registry.authorize(caller, action, name)
    await put_settings(registry, Act(caller, action, name), name, mutability_fields(setting))


async def put_scan_on_push(registry: Registry, caller: Caller, name: RepositoryName, *, is_on: bool) -> None:
    """Set whether what is pushed is to be scanned, where no rule of the registry says so.

    Raises:
        Denied: without ``ecr:PutImageScanningConfiguration``.
        NameUnknown: there is no such repository.
    """
    action = "ecr:PutImageScanningConfiguration"
    registry.authorize(caller, action, name)
    await put_settings(registry, Act(caller, action, name), name, {"scan-on-push": is_on})


def mutability_fields(setting: Mutability) -> dict[str, Setting]:
    """Return the fields that say *setting*."""
    return {"tag-mutability": setting.mode, "tag-mutability-exclusions": stored_exclusions(setting)}


def mutability_of(row: RepositoryRow) -> Mutability:
    """Return which tags of the repository in *row* may move."""
    fields = row.state.settings()
    return stored_mutability(fields.get("tag-mutability"), fields.get("tag-mutability-exclusions"))


def tags_of(fields: Mapping[str, Setting]) -> dict[str, str]:
    """Return the resource tags among *fields*."""
    return {name.removeprefix(_TAG): str(value) for name, value in fields.items() if name.startswith(_TAG)}


def tag_fields(tags: Mapping[str, str]) -> dict[str, Setting]:
    """Return the fields that say *tags*."""
    return {_TAG + key: value for key, value in tags.items()}


def tag_keys(tags: Mapping[str, str]) -> Keys:
    """Return the condition keys of a request that sets *tags*."""
    if not tags:
        return {}
    return {"aws:tagkeys": tuple(tags)} | {f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()}


def settings_put(name: RepositoryName, row: RepositoryRow, fields: Mapping[str, Setting]) -> RepositoryPut:
    """Return the entry that sets *fields* of a repository."""
    return RepositoryPut(RepositoryKey(name), RepositoryValue(row.state.life, dict(fields)))
