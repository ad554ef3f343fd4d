"""What would be decided: a request that nobody sends, judged by all that is in force at this moment, and why."""

from collections.abc import Mapping

import msgspec

from node.registry.authority import ANONYMOUS, Authority
from node.registry.registry import Registry, Resource
from protocol.auth.arn import repository_of_arn
from protocol.auth.caller import Caller, root_of
from protocol.auth.context import principal_of
from protocol.auth.denial import denial
from protocol.auth.principals import Arn
from protocol.errors import NotReady, ParameterInvalid, PrincipalUnknown
from protocol.oci.names import repository_name


class Simulation(msgspec.Struct, frozen=True):
    """A decision, and what it is about."""

    allowed: bool
    why: str  # For people.
    document: str  # That decided; empty where none did.
    statement: str  # Its ``Sid``, or its place in the document.
    principal: str
    action: str
    resource: str  # ARN, or ``*``.
    message: str  # What a client is told that is refused.
    documents: tuple[str, ...]  # All that were looked at.


def simulate(
    registry: Registry, caller: Caller, principal: str, action: str, resource: str, keys: Mapping[str, tuple[str, ...]]
) -> Simulation:
    """Return whether *principal* might do *action* to *resource* now.

    Args:
        registry: to ask.
        caller: who wants to know.
        principal: name of a user; ARN of a user, role, session or root, also of another account; ``*`` for nobody.
        action: such as ``ecr:PutImage``.
        resource: name of a repository, an ARN, or ``*``.
        keys: condition keys of the request, such as ``aws:SourceIp``; they go before those that follow from the rest.

    Raises:
        Denied: without ``iam:SimulatePrincipalPolicy``.
        PrincipalUnknown: there is no such principal in this account.
        ParameterInvalid: the resource is none.
    """
    registry.authorize(caller, "iam:SimulatePrincipalPolicy", None)
    authority = registry.policies
    if not isinstance(authority, Authority):
        raise NotReady("no policies are in force on this node")
    given = {key.lower(): values for key, values in keys.items()}
    judged = authority.judge(_caller(registry, principal), action, _resource(registry, resource), given, as_client=True)
    asked, decision = judged.asked, judged.decision
    return Simulation(
        decision.allowed,
        decision.why.value,
        decision.document,
        decision.statement,
        asked.principal,
        asked.action,
        asked.resource,
        "" if decision.allowed else denial(asked, decision),
        tuple(named.name for named in judged.documents),
    )


def _caller(registry: Registry, principal: str) -> Caller:
    account, directory = registry.name.account, registry.directory.get()
    if principal == ANONYMOUS:
        return Caller(ANONYMOUS, "")
    parts = principal.split(":", 5)
    if len(parts) == 6 and parts[4] != account:
        return Caller(principal, parts[4])
    if principal == root_of(account):
        return Caller(principal, account)
    found = directory.by_arn(principal_of(principal)) if len(parts) == 6 else directory.by_name("user", principal)
    if found is None:
        raise PrincipalUnknown(f"there is no {principal[:200]!r}; give the name of a user, or an ARN")
    if found.kind == "user":
        return Caller(found.arn, account, user_id=found.id, user_name=found.name, tags=found.tags)
    arn, session = (principal, principal.rpartition("/")[2]) if ":assumed-role/" in principal else (found.arn, "")
    return Caller(arn, account, user_id=f"{found.id}:{session}" if session else found.id, tags=found.tags)


def _resource(registry: Registry, resource: str) -> Resource:
    if resource == "*":
        return None
    if not resource.startswith("arn:"):
        return repository_name(resource)
    try:
        name = repository_of_arn(resource, registry.name)
    except ParameterInvalid:  # Of a user, a role, a policy.
        name = None
    return Arn(resource) if name is None else repository_name(name)
