"""Whether a request is allowed, and by which statement: the evaluation of IAM, as a function.

1. An explicit Deny anywhere ends it.
2. A session's own policy has to allow as well, where there is one.
3. Within the account an Allow of the identity or of the resource is enough. The account's root needs none.
4. From another account both sides have to allow: the identity's, and the repository's or the registry's.
5. Else it is denied.

A statement that names an account delegates to it: its identity policies decide, and without an Allow there the
statement gives nothing, but to the account's root, which needs none. Everyone (``*``) is whoever has an identity, and
whoever has none.

The cost is linear in the statements. The result names document and statement, for people who ask why.

Source: IAM user guide, "Policy evaluation logic", "Cross-account policy evaluation logic"; ECR user guide, "Private
repository policies", "Private registry permissions".
"""

import re
from collections.abc import Iterable, Sequence
from enum import Enum

import msgspec

from protocol.auth.conditions import Keys, holds
from protocol.auth.patterns import Pattern, matches, pattern
from protocol.auth.policy import Kind, Policy, Principals, Statement

_ASSUMED = re.compile(r"(arn:[a-z0-9-]+):sts::([0-9]{12}):assumed-role/((?:[^/]+/)*[^/]+)/[^/]+")
_ANYTHING = pattern("*")


class Asked(msgspec.Struct, frozen=True):
    """A request, as policies see it."""

    principal: str  # ARN of the user, role session, root or node; ``*``: nobody is known.
    account: str  # Of the principal; empty where nobody is known.
    action: str  # Such as ``ecr:PutImage``.
    resource: str  # ARN, or ``*`` for an action that has none.
    owner: str  # The account whose registry is asked.
    keys: Keys = {}


class Why(Enum):
    """What decided."""

    OPERATOR = "whoever can use the control socket may do everything"
    ROOT = "the root of an account may do everything in it"
    PUBLIC = "a public repository is pulled by anyone"
    ALLOWED = "a statement allows it"
    EXPLICIT_DENY = "a statement denies it"
    NO_SESSION_ALLOW = "no statement of the session's policy allows it"
    NO_SCOPE_ALLOW = "the token that came with the request is not for it"
    NO_IDENTITY_ALLOW = "no identity-based policy allows it"
    NO_RESOURCE_ALLOW = "no resource-based policy allows it"
    NO_TRUST_ALLOW = "the role's trust policy does not allow it"
    UNREADABLE = "a policy cannot be read"


class Decision(msgspec.Struct, frozen=True):
    """Whether it is allowed, and why."""

    allowed: bool
    why: Why
    document: str = ""  # Name of the document that decided, where one did.
    statement: str = ""  # Its ``Sid``, or its place.
    kind: Kind | None = None  # Of the document.


class Named(msgspec.Struct, frozen=True):
    """A policy and what it is called; ``None``: it is there and cannot be read."""

    name: str
    policy: Policy | None


def decide(asked: Asked, policies: Sequence[Named]) -> Decision:
    """Return the decision about *asked* under all *policies* that concern it, of every kind."""
    return _denied(asked, policies) or _allowed(asked, policies)


def decide_assumption(asked: Asked, trust: Named, policies: Sequence[Named]) -> Decision:
    """Return whether who asks may assume a role, which only its trust policy can allow.

    One that names who asks is enough; one that names the account delegates to the identity policies, among *policies*.
    """
    denied = _denied(asked, (trust, *policies))
    if denied is not None:
        return denied
    is_root = asked.account == asked.owner and asked.principal.endswith(":root")
    is_delegated = is_root or _allow(_of(policies, Kind.IDENTITY), asked) is not None
    return _allow([trust], asked, delegated=is_delegated) or Decision(False, Why.NO_TRUST_ALLOW)


def _denied(asked: Asked, policies: Sequence[Named]) -> Decision | None:
    for named in policies:
        if named.policy is None:
            return Decision(False, Why.UNREADABLE, named.name)
        for statement in named.policy.statements:
            if not statement.allows and _applies(statement, asked):
                return Decision(False, Why.EXPLICIT_DENY, named.name, statement.place, named.policy.kind)
    sessions = _of(policies, Kind.SESSION)
    return Decision(False, Why.NO_SESSION_ALLOW) if sessions and _allow(sessions, asked) is None else None


def _allowed(asked: Asked, policies: Sequence[Named]) -> Decision:
    is_ours, is_root = asked.account == asked.owner, asked.principal.endswith(":root")
    if is_ours and is_root:
        return Decision(True, Why.ROOT)
    identity = _allow(_of(policies, Kind.IDENTITY), asked)
    resource = _allow(_of(policies, Kind.REPOSITORY, Kind.REGISTRY), asked, delegated=identity is not None or is_root)
    if is_ours:
        return identity or resource or Decision(False, Why.NO_IDENTITY_ALLOW)
    has_identity = identity is not None or is_root or not asked.account
    if resource is not None and not has_identity:
        return Decision(False, Why.NO_IDENTITY_ALLOW)
    return resource or Decision(False, Why.NO_RESOURCE_ALLOW)


def _of(policies: Iterable[Named], *kinds: Kind) -> list[Named]:
    return [named for named in policies if named.policy is not None and named.policy.kind in kinds]


def _allow(policies: Iterable[Named], asked: Asked, *, delegated: bool = True) -> Decision | None:
    for named in policies:
        if named.policy is None:
            continue
        for statement in named.policy.statements:
            if statement.allows and _applies(statement, asked) and (delegated or _names(statement, asked)):
                return Decision(True, Why.ALLOWED, named.name, statement.place, named.policy.kind)
    return None


def _applies(statement: Statement, asked: Asked) -> bool:
    return (
        _is_about(statement.principals, asked) != statement.not_principals
        and _any(statement.actions, asked.action.lower()) != statement.not_actions
        and _covers(statement, asked)
        and all(holds(test, asked.keys) for test in statement.tests)
    )


def _is_about(principals: Principals | None, asked: Asked) -> bool:
    """Whether the statement is about who asks; an identity's own policy always is."""
    if principals is None or principals.everyone:
        return True
    if asked.account and asked.account in principals.accounts:
        return True
    return _lists(principals, asked)


def _names(statement: Statement, asked: Asked) -> bool:
    """Whether it names who asks, or everyone, rather than delegating to the account."""
    principals = statement.principals
    if principals is None or principals.everyone:
        return True
    return _lists(principals, asked)


def _lists(principals: Principals, asked: Asked) -> bool:
    if asked.principal in principals.services or asked.principal in principals.federated:
        return True
    return bool(principals.arns & names_of(asked.principal))


def names_of(principal: str) -> set[str]:
    """Return the ARNs by which a principal is named in documents: a session by that of its role, too."""
    session = _ASSUMED.fullmatch(principal)
    return {principal, f"{session[1]}:iam::{session[2]}:role/{session[3]}"} if session else {principal}


def _covers(statement: Statement, asked: Asked) -> bool:
    if statement.resources is None:
        return True
    found = any(_fits(text.pattern(asked.keys), asked.resource) for text in statement.resources)
    return found != statement.not_resources


def _fits(wanted: Pattern | None, resource: str) -> bool:
    """An action without a resource is covered by ``*`` alone."""
    if wanted is None:
        return False
    return wanted == _ANYTHING if resource == "*" else matches(wanted, resource)


def _any(patterns: Iterable[Pattern], text: str) -> bool:
    return any(matches(one, text) for one in patterns)
