"""Managed policies: documents with an ARN, attached to whom they are for."""

from collections.abc import Mapping

from node.registry.identity.directory import Directory, ManagedPolicy
from node.registry.identity.granting import identity_document
from node.registry.identity.principals import change
from node.registry.registry import Registry
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.managed import MANAGED
from protocol.auth.principals import Arn, principal_arn, principal_name, unique_id
from protocol.errors import LimitExceeded, ParameterInvalid, PrincipalExists, PrincipalUnknown
from protocol.sync.entries import Setting

MAX_POLICIES = 1500
_Wanted = Mapping[tuple[str, str], Mapping[str, Setting] | None]


async def create_policy(
    registry: Registry, caller: Caller, name: str, document: str, *, description: str = ""
) -> ManagedPolicy:
    """Create a managed policy.

    Raises:
        Denied: without ``iam:CreatePolicy``.
        PolicyInvalid: the document is none; the message names the place.
        PrincipalExists: the name is taken.
        LimitExceeded: there are too many.
    """
    arn = _arn(registry, name)
    registry.authorize(caller, "iam:CreatePolicy", arn)
    identity_document(document)
    now, new = int(registry.now() * 1000), unique_id("managed-policy", registry.random(10))

    def write(_txn: WriteTxn, directory: Directory) -> _Wanted:
        if directory.policy(arn) is not None:
            raise PrincipalExists(f"there is a policy {name}")
        if len(directory.policies) >= MAX_POLICIES:
            raise LimitExceeded(f"there are {MAX_POLICIES} policies; delete some")
        fields: dict[str, Setting] = {"name": name, "document": document, "created": now, "updated": now}
        return {("managed-policy", new): fields | {"description": description[:1000] or None}}

    await change(registry, Act(caller, "iam:CreatePolicy", name), write)
    return _policy(registry.directory.get(), arn)


async def update_policy(registry: Registry, caller: Caller, arn: str, document: str) -> ManagedPolicy:
    """Replace the document of a managed policy, wherever it is attached.

    Raises:
        Denied: without ``iam:CreatePolicyVersion``.
        PolicyInvalid: the document is none; the message names the place.
        PrincipalUnknown: there is no such policy.
        ParameterInvalid: it is one that everyone has.
    """
    registry.authorize(caller, "iam:CreatePolicyVersion", Arn(arn))
    identity_document(document)
    now = int(registry.now() * 1000)

    def write(_txn: WriteTxn, directory: Directory) -> _Wanted:
        return {("managed-policy", _own(directory, arn).id): {"document": document, "updated": now}}

    await change(registry, Act(caller, "iam:CreatePolicyVersion", arn), write)
    return _policy(registry.directory.get(), arn)


async def delete_policy(registry: Registry, caller: Caller, arn: str) -> None:
    """Delete a managed policy that is attached to nobody.

    Raises:
        Denied: without ``iam:DeletePolicy``.
        PrincipalUnknown: there is no such policy.
        PrincipalExists: it is attached to somebody.
        ParameterInvalid: it is one that everyone has.
    """
    registry.authorize(caller, "iam:DeletePolicy", Arn(arn))

    def write(_txn: WriteTxn, directory: Directory) -> _Wanted:
        _own(directory, arn)
        attached = directory.attached_to(arn)
        if attached:
            raise PrincipalExists(f"{arn} is attached to {attached[0].kind} {attached[0].name}; detach it first")
        return {("managed-policy", one.id): None for one in directory.all_policies(arn)}

    await change(registry, Act(caller, "iam:DeletePolicy", arn), write)


def get_policy(registry: Registry, caller: Caller, arn: str) -> ManagedPolicy:
    """Return a managed policy.

    Raises:
        Denied: without ``iam:GetPolicy``.
        PrincipalUnknown: there is none.
    """
    registry.authorize(caller, "iam:GetPolicy", Arn(arn))
    return _policy(registry.directory.get(), arn)


def list_policies(registry: Registry, caller: Caller) -> list[ManagedPolicy]:
    """Return all managed policies by ARN, with those that everyone has; ``Denied`` without ``iam:ListPolicies``."""
    registry.authorize(caller, "iam:ListPolicies", None)
    return registry.directory.get().policies


def policy_arn(registry: Registry, text: str) -> str:
    """Return the ARN that people mean: one, or the name of a policy of the account, or of one that everyone has."""
    if text.startswith("arn:"):
        return text
    own = principal_arn(registry.name.account, "policy", principal_name("policy", text))
    everyones = f"arn:aws:iam::aws:policy/{text}"
    return everyones if registry.directory.get().policy(own) is None and everyones in MANAGED else own


def _arn(registry: Registry, name: str) -> Arn:
    return principal_arn(registry.name.account, "policy", principal_name("policy", name))


def _policy(directory: Directory, arn: str) -> ManagedPolicy:
    found = directory.policy(arn)
    if found is None:
        raise PrincipalUnknown(f"there is no policy {arn[:200]}")
    return found


def _own(directory: Directory, arn: str) -> ManagedPolicy:
    found = _policy(directory, arn)
    if not found.id:
        raise ParameterInvalid(f"{arn} is a policy that everyone has; make one of your own")
    return found
