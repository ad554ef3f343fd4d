"""Roles are assumed: by users, by sessions of other roles, and by whom a trusted issuer knows.

What comes of it is a session: temporary credentials that speak for the role, under a name of their own, for a while,
narrowed by a policy where one was given. Who may is the role's trust policy to say (``protocol.auth.trust``).

Source: AWS STS API reference, "AssumeRole", "AssumeRoleWithWebIdentity", "GetSessionToken".
"""

import re
from collections.abc import Mapping

import msgspec

from node.registry.authentication.sessions import Credentials, issue_credentials
from node.registry.authentication.subjects import Client, Subject, subject_of
from node.registry.identity.directory import Principal
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.auth.conditions import Keys
from protocol.auth.context import request_keys
from protocol.auth.decision import Asked, Named, decide_assumption
from protocol.auth.idtoken import Identity
from protocol.auth.policy import Kind, Policy, read_policy
from protocol.auth.principals import session_arn
from protocol.auth.trust import WEB_IDENTITY, decide_web_identity
from protocol.errors import Denied, ParameterInvalid, PolicyInvalid, SessionTooLarge

MAX_PACKED = 2048  # Characters of what narrows and tags a session: all of it goes into tokens.
_ASSUME, _TAG_SESSION, _SESSION_TOKEN = "sts:AssumeRole", "sts:TagSession", "sts:GetSessionToken"
_SHORTEST = 900  # Seconds of a session.
_CHAINED = 3600  # Seconds that a session may last that another session opens.
_OF_USERS = range(900, 129_601)  # Seconds that a user's own session may last.
_SESSION = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_TAG = re.compile(r"[\w .:/=+@-]*")
_MAX_TAGS = 50


class Wanted(msgspec.Struct, frozen=True):
    """What a session is to be."""

    role: str  # ARN.
    session: str  # What it is called.
    seconds: int | None = None  # How long it lasts; ``None``: an hour.
    policy: str = ""  # JSON text that narrows it, or nothing.
    tags: Mapping[str, str] = {}
    external_id: str = ""


class Assumed(msgspec.Struct, frozen=True):
    """A session of a role."""

    arn: str
    id: str  # Unique id of the role, colon, name of the session.
    credentials: Credentials


def assume_role(registry: Registry, caller: Caller, wanted: Wanted) -> Assumed:
    """Return a session of a role for *caller*.

    Raises:
        Denied: the role's trust policy does not allow it, or there is no such role.
        ParameterInvalid, PolicyInvalid: something wanted is not what it has to be.
    """
    role, keys = _role(registry, wanted), _keys(registry, caller, wanted)
    own = list(registry.directory.get().identity_policies(caller))
    if caller.session_policy:
        own.append(Named("session policy", _read(caller.session_policy, Kind.SESSION)))
    for action in (_ASSUME, _TAG_SESSION) if wanted.tags else (_ASSUME,):
        asked = Asked(caller.arn, caller.account, action, wanted.role, registry.name.account, keys)
        if role is None or not _may_assume(caller) or not decide_assumption(asked, _trust(role), own).allowed:
            raise _denied(caller.arn, action, wanted.role)
    assert role is not None
    return _assumed(registry, role, wanted, is_chained=":assumed-role/" in caller.arn)


def assume_role_by_identity(registry: Registry, identity: Identity, client: Client, wanted: Wanted) -> Assumed:
    """Return a session of a role for whom a verified identity token is about.

    Raises:
        Denied: the role's trust policy does not allow it, or there is no such role.
        ParameterInvalid, PolicyInvalid: something wanted is not what it has to be.
    """
    role = _role(registry, wanted)
    nobody = Caller("*", "", client.address, client.request, is_secure=client.is_secure)
    account, keys = registry.name.account, _keys(registry, nobody, wanted)
    if role is None or not decide_web_identity(account, role.arn, _trust(role), identity, keys).allowed:
        raise Denied(f"Not authorized to perform {WEB_IDENTITY}")
    return _assumed(registry, role, wanted, is_chained=False)


def session_of_user(registry: Registry, caller: Caller, seconds: int) -> Credentials:
    """Return temporary credentials that speak for *caller*, a user or root, itself.

    Raises:
        Denied: it is nobody, or a session of a role.
        ParameterInvalid: they would not last so long.
    """
    if not _may_assume(caller) or ":assumed-role/" in caller.arn:
        raise _denied(caller.arn, _SESSION_TOKEN, caller.arn)
    if seconds not in _OF_USERS:
        raise ParameterInvalid(f"durationSeconds is {_OF_USERS.start} to {_OF_USERS.stop - 1}, not {seconds}")
    return issue_credentials(registry, subject_of(registry, caller), seconds)


def _may_assume(caller: Caller) -> bool:
    """Whether *caller* may have another session at all: a bearer token is for repositories alone."""
    return bool(caller.account) and caller.access is None


def _role(registry: Registry, wanted: Wanted) -> Principal | None:
    """Return the role, once everything else that is wanted was looked at: what is wrong with it tells nothing."""
    if not _SESSION.fullmatch(wanted.session):
        raise ParameterInvalid("roleSessionName has 2 to 64 letters, digits and +=,.@_-")
    if len(wanted.policy) + sum(len(key) + len(value) for key, value in wanted.tags.items()) > MAX_PACKED:
        raise SessionTooLarge(f"the policy and the tags of a session have at most {MAX_PACKED} characters together")
    if wanted.policy:
        read_policy(wanted.policy.encode(), Kind.SESSION)
    if len(wanted.tags) > _MAX_TAGS:
        raise ParameterInvalid(f"a session has at most {_MAX_TAGS} tags")
    for key, value in wanted.tags.items():
        if not (0 < len(key) <= 128 and len(value) <= 256 and _TAG.fullmatch(key) and _TAG.fullmatch(value)):
            raise ParameterInvalid("a tag has a key of 1 to 128 characters and a value of up to 256")
    found = registry.directory.get().by_arn(wanted.role)
    return found if found is not None and found.kind == "role" and not found.is_disabled else None


def _keys(registry: Registry, caller: Caller, wanted: Wanted) -> Keys:
    keys = dict(request_keys(caller, registry.name, registry.now()))
    keys["sts:rolesessionname"] = (wanted.session,)
    if wanted.external_id:
        keys["sts:externalid"] = (wanted.external_id,)
    if wanted.tags:
        keys["aws:tagkeys"] = tuple(wanted.tags)
        keys |= {f"aws:requesttag/{key.lower()}": (value,) for key, value in wanted.tags.items()}
    return keys


def _trust(role: Principal) -> Named:
    return Named(f"trust policy of {role.name}", _read(role.trust or "", Kind.TRUST))


def _read(text: str, kind: Kind) -> Policy | None:
    try:
        return read_policy(text.encode(), kind)
    except PolicyInvalid:
        return None


def _assumed(registry: Registry, role: Principal, wanted: Wanted, *, is_chained: bool) -> Assumed:
    longest = min(role.max_session, _CHAINED) if is_chained else role.max_session
    seconds = min(3600, longest) if wanted.seconds is None else wanted.seconds
    if not _SHORTEST <= seconds <= longest:
        raise ParameterInvalid(f"durationSeconds is {_SHORTEST} to {longest} for this role, not {seconds}")
    subject = Subject(role.id, role.generation, wanted.session, wanted.policy, tuple(wanted.tags.items()))
    arn = session_arn(registry.name.account, role.name, wanted.session)
    return Assumed(arn, f"{role.id}:{wanted.session}", issue_credentials(registry, subject, seconds))


def _denied(who: str, action: str, resource: str) -> Denied:
    return Denied(f"User: {who} is not authorized to perform: {action} on resource: {resource}")
