"""Policies of repositories and of the registry: put, shown and deleted as the text that was given.

A document is read in full before it is stored. One that would keep whoever puts it from ever changing it again is
refused, unless that is asked for: nobody locks themselves out by mistake.
"""

from node.registry.commit import commit_rules
from node.registry.documents import REGISTRY_POLICY, document, put_document, take_document
from node.registry.knownprincipals import require_principals
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.settings import settings_of, settings_put, tags_of, take_setting
from node.store.rows import RepositoryRow
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.arn import repository_arn
from protocol.auth.caller import Act, Caller, root_of
from protocol.auth.context import request_keys, resource_keys
from protocol.auth.decision import Asked, Named, Why, decide
from protocol.auth.policy import Kind, Policy, read_policy
from protocol.auth.public import action_on, told
from protocol.errors import PolicyInvalid, RegistryPolicyUnknown, RepositoryPolicyUnknown
from protocol.oci.names import RepositoryName
from protocol.rules.texts import invalid, registry_policy, repository_policy

_FIELD = "policy"  # Of a repository's settings.


async def set_repository_policy(
    registry: Registry, caller: Caller, name: RepositoryName, text: str, *, force: bool
) -> None:
    """Replace the policy of a repository.

    Args:
        registry: to change.
        caller: who asks.
        name: of the repository.
        text: the document.
        force: also where *caller* could not change it again.

    Raises:
        Denied: without ``ecr:SetRepositoryPolicy``.
        ParameterInvalid: it is none, or would lock *caller* out.
        NameUnknown: there is no such repository.
    """
    registry.authorize(caller, "ecr:SetRepositoryPolicy", name)
    policy = repository_policy(text)
    require_principals(registry, policy)
    act = Act(caller, "ecr:SetRepositoryPolicy", name)

    def run(txn: WriteTxn) -> None:
        row = repository(registry, txn, name)
        before = settings_of(row).get(_FIELD)
        if not force:
            _require_way_back(registry, txn, caller, name, (before if isinstance(before, str) else None, policy))
        commit_rules(registry, txn, act, lambda _dot, _hlc: [settings_put(name, row, {_FIELD: text})])

    await registry.store.writer.write(run)
    registry.changes.notify()


def get_repository_policy(registry: Registry, caller: Caller, name: RepositoryName) -> str:
    """Return the policy of a repository as it was put.

    Raises:
        Denied: without ``ecr:GetRepositoryPolicy``.
        NameUnknown, RepositoryPolicyUnknown: there is none.
    """
    registry.authorize(caller, "ecr:GetRepositoryPolicy", name)
    with registry.store.meta.read() as txn:
        return _policy_of(registry, name, repository(registry, txn, name))


async def delete_repository_policy(registry: Registry, caller: Caller, name: RepositoryName) -> str:
    """Delete the policy of a repository, and return it.

    Raises:
        Denied: without ``ecr:DeleteRepositoryPolicy``.
        NameUnknown, RepositoryPolicyUnknown: there is none.
    """
    registry.authorize(caller, "ecr:DeleteRepositoryPolicy", name)
    act = Act(caller, "ecr:DeleteRepositoryPolicy", name)
    return await take_setting(registry, act, name, _FIELD, lambda row: _policy_of(registry, name, row))


async def put_registry_policy(registry: Registry, caller: Caller, text: str) -> None:
    """Replace the policy of the registry.

    Raises:
        Denied: without ``ecr:PutRegistryPolicy``.
        ParameterInvalid: it is none.
    """
    registry.authorize(caller, "ecr:PutRegistryPolicy", None)
    require_principals(registry, registry_policy(text))
    await put_document(registry, Act(caller, "ecr:PutRegistryPolicy"), REGISTRY_POLICY, text)


def get_registry_policy(registry: Registry, caller: Caller) -> str:
    """Return the policy of the registry as it was put.

    Raises:
        Denied: without ``ecr:GetRegistryPolicy``.
        RegistryPolicyUnknown: there is none.
    """
    registry.authorize(caller, "ecr:GetRegistryPolicy", None)
    with registry.store.meta.read() as txn:
        text = document(registry, txn, REGISTRY_POLICY)
    return _known(registry, text)


async def delete_registry_policy(registry: Registry, caller: Caller) -> str:
    """Delete the policy of the registry, and return it.

    Raises:
        Denied: without ``ecr:DeleteRegistryPolicy``.
        RegistryPolicyUnknown: there is none.
    """
    registry.authorize(caller, "ecr:DeleteRegistryPolicy", None)
    return _known(registry, await take_document(registry, Act(caller, "ecr:DeleteRegistryPolicy"), REGISTRY_POLICY))


def _known(registry: Registry, text: str | None) -> str:
    if text is None:
        raise RegistryPolicyUnknown(f"Registry policy does not exist in the registry with id '{registry.name.account}'")
    return text


def _policy_of(registry: Registry, name: RepositoryName, row: RepositoryRow) -> str:
    text = settings_of(row).get(_FIELD)
    if not isinstance(text, str):
        raise RepositoryPolicyUnknown(
            f"Repository policy does not exist for the repository with name '{told(name)}' "
            f"in the registry with id '{registry.name.account}'"
        )
    return text


def _require_way_back(
    registry: Registry, txn: ReadTxn, caller: Caller, name: RepositoryName, policies: tuple[str | None, Policy]
) -> None:
    """Raise ``ParameterInvalid`` where the new policy would take from *caller* the right to change it again.

    Both are decided by all that concerns *caller*: with the policy *before*, of which the text is given, and the new
    one. Who came in by the control socket cannot be locked out.
    """
    if not caller.address and caller.arn == root_of(registry.name.account):
        return
    before, after = policies
    tags = tags_of(settings_of(repository(registry, txn, name)))
    keys = {**request_keys(caller, registry.name, registry.now()), **resource_keys(tags)}
    action, arn = action_on("ecr:SetRepositoryPolicy", name), repository_arn(registry.name, name)
    asked = Asked(caller.arn, caller.account, action, arn, registry.name.account, keys)
    others = [*registry.directory.get().identity_policies(caller)]
    text = document(registry, txn, REGISTRY_POLICY) if action.startswith("ecr:") else None  # Of private ones.
    others += [] if text is None else [_named("registry policy", text, Kind.REGISTRY)]
    others += [_named("session policy", caller.session_policy, Kind.SESSION)] if caller.session_policy else []
    now = decide(asked, [*others, Named("new policy", after)])
    old = [] if before is None else [_named("old policy", before, Kind.REPOSITORY)]
    if now.why is Why.EXPLICIT_DENY or (not now.allowed and decide(asked, [*others, *old]).allowed):
        raise invalid(
            "PolicyText",
            "Invalid repository policy provided",
            "it would keep you from setting the policy of this repository again; use force where that is meant",
        )


def _named(name: str, text: str, kind: Kind) -> Named:
    try:
        return Named(name, read_policy(text.encode(), kind))
    except PolicyInvalid:  # By a version that took it.
        return Named(name, None)
