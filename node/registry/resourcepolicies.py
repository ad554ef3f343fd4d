"""Policies of repositories and of the registry: put, shown and deleted as the text that was given.

A document is read in full before it is stored. One that would keep whoever puts it from ever changing it again is
refused, unless that is asked for: nobody locks themselves out by mistake.
"""

from node.registry.commit import commit_rules
from node.registry.documents import REGISTRY_POLICY, document, put_document, take_document
from node.registry.registry import Registry
from node.registry.repositories import repository
from node.registry.settings import put_settings, settings_of, settings_put
from node.store.rows import RepositoryRow
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.decision import Asked, Named, decide
from protocol.auth.policy import Kind, Policy, read_policy
from protocol.auth.public import told
from protocol.errors import RegistryPolicyUnknown, RepositoryPolicyUnknown
from protocol.oci.names import RepositoryName
from protocol.rules.texts import invalid, registry_policy, repository_policy

_FIELD = "policy"  # Of a repository's settings.
_EVERYTHING = Named(
    "what an identity may be given",
    read_policy(b'{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}', Kind.IDENTITY),
)


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
    if not force:
        _require_way_back(registry, caller, name, policy)
    await put_settings(registry, Act(caller, "ecr:SetRepositoryPolicy", name), name, {_FIELD: text})


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

    def run(txn: WriteTxn) -> str:
        row = repository(registry, txn, name)
        text = _policy_of(registry, name, row)
        commit_rules(registry, txn, act, lambda _dot, _hlc: [settings_put(name, row, {_FIELD: None})])
        return text

    text = await registry.store.writer.write(run)
    registry.changes.notify()
    return text


async def put_registry_policy(registry: Registry, caller: Caller, text: str) -> None:
    """Replace the policy of the registry.

    Raises:
        Denied: without ``ecr:PutRegistryPolicy``.
        ParameterInvalid: it is none.
    """
    registry.authorize(caller, "ecr:PutRegistryPolicy", None)
    registry_policy(text)
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


def _require_way_back(registry: Registry, caller: Caller, name: RepositoryName, policy: Policy) -> None:
    """Raise ``ParameterInvalid`` where *policy* would refuse its own next change to *caller*, whoever may else."""
    account, region = registry.name.account, registry.name.region
    asked = Asked(
        principal=caller.arn,
        account=caller.account,
        action="ecr:SetRepositoryPolicy",
        resource=f"arn:aws:ecr:{region}:{account}:repository/{name}",
        owner=account,
    )
    if not decide(asked, [_EVERYTHING, Named("the new policy", policy)]).allowed:
        raise invalid(
            "PolicyText",
            "Invalid repository policy provided",
            "it would keep you from setting the policy of this repository again; use force where that is meant",
        )
