"""Whom something was issued to, and the caller that it makes now."""

import msgspec

from node.registry.identity.directory import Principal
from node.registry.registry import Registry
from protocol.auth.caller import Access, Caller, root_of
from protocol.auth.principals import session_arn
from protocol.errors import TokenExpired

OVER = "Your authorization token has expired. Reauthenticate and try again."
"""What clients of ECR look for."""


class Client(msgspec.Struct, frozen=True):
    """Where a request comes from."""

    address: str
    request: str  # Its id.
    is_secure: bool  # By TLS.


class Subject(msgspec.Struct, frozen=True, array_like=True):
    """A principal, as whatever is issued to it names it."""

    user_id: str  # Unique id of a user or role; empty: root; ``*``: nobody.
    generation: int = 0
    session: str = ""  # Of a role: what the session is called.
    policy: str = ""  # JSON text that narrows the session, or nothing.
    tags: tuple[tuple[str, str], ...] = ()  # Of the session, over those of the principal.


ANONYMOUS = Subject("*")


def subject_of(registry: Registry, caller: Caller) -> Subject:
    """Return what is written into whatever *caller* is issued."""
    if not caller.account:
        return ANONYMOUS
    unique_id, _, session = caller.user_id.partition(":")
    if not unique_id:
        return Subject("")
    found = registry.directory.get().by_id(unique_id)
    if found is None:
        raise TokenExpired(OVER)
    return Subject(unique_id, found.generation, session, caller.session_policy, caller.tags)


def caller_of_subject(
    registry: Registry, subject: Subject, client: Client, access: tuple[Access, ...] | None = None
) -> Caller:
    """Return the caller that *subject* makes now, or raise ``TokenExpired`` where what was issued to it is over."""
    account = registry.name.account
    if subject.user_id == "*":
        return Caller("*", "", client.address, client.request, access=access, is_secure=client.is_secure)
    if not subject.user_id:
        root = root_of(account)
        return Caller(root, account, client.address, client.request, access=access, is_secure=client.is_secure)
    found = registry.directory.get().by_id(subject.user_id)
    if found is None or found.is_disabled or found.generation != subject.generation:
        raise TokenExpired(OVER)
    is_role = found.kind == "role"
    arn = session_arn(account, found.name, subject.session) if is_role else found.arn
    user_id = f"{found.id}:{subject.session}" if is_role else found.id
    name = "" if is_role else found.name
    return Caller(
        arn,
        account,
        client.address,
        client.request,
        user_id,
        name,
        access,
        subject.policy,
        client.is_secure,
        tuple({**dict(found.tags), **dict(subject.tags)}.items()),
    )


def subject_of_principal(principal: Principal) -> Subject:
    """Return the subject that a user is."""
    return Subject(principal.id, principal.generation)
