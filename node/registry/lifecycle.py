"""Lifecycle policies of repositories: put, shown and deleted as the text that was given."""

import msgspec

from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.settings import put_settings, settings_of, take_setting
from node.store.rows import RepositoryRow
from protocol.auth.caller import Act, Caller
from protocol.errors import LifecyclePolicyUnknown
from protocol.oci.names import RepositoryName
from protocol.rules.texts import repository_lifecycle

_FIELD = "lifecycle-policy"  # Of a repository's settings.


class StoredLifecycle(msgspec.Struct, frozen=True):
    """A policy that was put."""

    text: str
    evaluated: float | None = None  # When it was last acted on: seconds since 1970, UTC.


async def put_lifecycle_policy(registry: Registry, caller: Caller, name: RepositoryName, text: str) -> None:
    """Replace the lifecycle policy of a repository.

    Raises:
        Denied: without ``ecr:PutLifecyclePolicy``.
        ParameterInvalid: it is none.
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr:PutLifecyclePolicy", name)
    repository_lifecycle(text)
    await put_settings(registry, Act(caller, "ecr:PutLifecyclePolicy", name), name, {_FIELD: text})


def get_lifecycle_policy(registry: Registry, caller: Caller, name: RepositoryName) -> StoredLifecycle:
    """Return the lifecycle policy of a repository as it was put.

    Raises:
        Denied: without ``ecr:GetLifecyclePolicy``.
        NameUnknown, LifecyclePolicyUnknown: there is none.
    """
    registry.authorize(caller, "ecr:GetLifecyclePolicy", name)
    with registry.store.meta.read() as txn:
        return lifecycle_of(registry, name, repository(registry, txn, name))


async def delete_lifecycle_policy(registry: Registry, caller: Caller, name: RepositoryName) -> StoredLifecycle:
    """Delete the lifecycle policy of a repository, and return it.

    Raises:
        Denied: without ``ecr:DeleteLifecyclePolicy``.
        NameUnknown, LifecyclePolicyUnknown: there is none.
    """
    registry.authorize(caller, "ecr:DeleteLifecyclePolicy", name)
    act = Act(caller, "ecr:DeleteLifecyclePolicy", name)
    return await take_setting(registry, act, name, _FIELD, lambda row: lifecycle_of(registry, name, row))


def lifecycle_of(registry: Registry, name: RepositoryName, row: RepositoryRow) -> StoredLifecycle:
    """Return the lifecycle policy in the settings of a repository, or raise ``LifecyclePolicyUnknown``."""
    text = settings_of(row).get(_FIELD)
    if not isinstance(text, str):
        raise LifecyclePolicyUnknown(
            f"Lifecycle policy does not exist for the repository with name '{name}' "
            f"in the registry with id '{registry.name.account}'"
        )
    return StoredLifecycle(text)
