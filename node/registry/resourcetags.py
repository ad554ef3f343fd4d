"""Resource tags: what policies and bills tell repositories apart by. A tag of an image is something else."""

from collections.abc import Mapping, Sequence

from node.registry.commit import commit_rules
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.settings import settings_of, settings_put, tag_fields, tag_keys, tags_of
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.oci.names import RepositoryName
from protocol.rules.tags import require_room


async def tag_repository(registry: Registry, caller: Caller, name: RepositoryName, tags: Mapping[str, str]) -> None:
    """Add or replace *tags*; others stay.

    Raises:
        Denied: without ``ecr:TagResource``.
        NameUnknown: there is no such repository.
        TooManyTags: it would have more than a repository may have.
    """
    action = "ecr:TagResource"
    registry.authorize(caller, action, name, tag_keys(tags))

    def run(txn: WriteTxn) -> None:
        row = repository(registry, txn, name)
        require_room({**tags_of(settings_of(row)), **tags}, most=registry.settings.quotas.tags_per_resource)
        entry = settings_put(name, row, tag_fields(tags))
        commit_rules(registry, txn, Act(caller, action, name), lambda _dot, _hlc: [entry])

    await registry.store.writer.write(run)
    registry.changes.notify()


async def untag_repository(registry: Registry, caller: Caller, name: RepositoryName, keys: Sequence[str]) -> None:
    """Take away the tags of *keys*, where they are there.

    Raises:
        Denied: without ``ecr:UntagResource``.
        NameUnknown: there is no such repository.
    """
    action = "ecr:UntagResource"
    registry.authorize(caller, action, name, {"aws:tagkeys": tuple(keys)})

    def run(txn: WriteTxn) -> None:
        row = repository(registry, txn, name)
        there = tags_of(settings_of(row)).keys() & set(keys)
        if there:
            entry = settings_put(name, row, dict.fromkeys(tag_fields(dict.fromkeys(there, ""))))
            commit_rules(registry, txn, Act(caller, action, name), lambda _dot, _hlc: [entry])

    await registry.store.writer.write(run)
    registry.changes.notify()


def list_repository_tags(registry: Registry, caller: Caller, name: RepositoryName) -> dict[str, str]:
    """Return the tags of a repository.

    Raises:
        Denied: without ``ecr:ListTagsForResource``.
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr:ListTagsForResource", name)
    with registry.store.meta.read() as txn:
        return tags_of(settings_of(repository(registry, txn, name)))
