"""What a user, group or role may do: inline policies, and managed ones that are attached to it."""

from collections.abc import Mapping

from node.registry.identity.directory import Directory
from node.registry.identity.principals import change, find_principal, named
from node.registry.registry import Registry
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.policy import Kind, read_policy
from protocol.auth.principals import PrincipalKind, principal_arn, principal_name
from protocol.errors import LimitExceeded, PolicyInvalid, PrincipalUnknown
from protocol.sync.entries import Setting

MAX_POLICY = 10_240  # Characters of one document.
MAX_ATTACHED = 20
MAX_INLINE = 20
_Wanted = Mapping[tuple[str, str], Mapping[str, Setting] | None]


async def put_inline_policy(
    registry: Registry, caller: Caller, kind: PrincipalKind, name: str, policy: str, document: str
) -> None:
    """Give a principal a policy of its own, or replace it.

    Raises:
        Denied: without ``iam:PutUserPolicy`` (``Group``, ``Role``).
        PolicyInvalid: the document is none; the message names the place.
        PrincipalUnknown: there is no such principal.
        LimitExceeded: it has too many.
    """
    action = _authorize(registry, caller, "Put", kind, name)
    principal_name("policy", policy)
    identity_document(document)

    def write(_txn: WriteTxn, directory: Directory) -> _Wanted:
        found = named(directory, kind, name)
        if policy not in found.inline and len(found.inline) >= MAX_INLINE:
            raise LimitExceeded(f"{kind} {name} has {MAX_INLINE} policies of its own")
        return {(kind, found.id): {f"policy:{policy}": document}}

    await change(registry, Act(caller, action, f"{name}/{policy}"), write)


async def delete_inline_policy(registry: Registry, caller: Caller, kind: PrincipalKind, name: str, policy: str) -> None:
    """Take away a policy of its own.

    Raises:
        Denied: without ``iam:DeleteUserPolicy`` (``Group``, ``Role``).
        PrincipalUnknown: there is no such principal or policy.
    """
    action = _authorize(registry, caller, "Delete", kind, name)

    def write(_txn: WriteTxn, directory: Directory) -> _Wanted:
        found = named(directory, kind, name)
        if policy not in found.inline:
            raise PrincipalUnknown(f"{kind} {name} has no policy {policy[:128]}")
        return {(kind, found.id): {f"policy:{policy}": None}}

    await change(registry, Act(caller, action, f"{name}/{policy}"), write)


def get_inline_policy(registry: Registry, caller: Caller, kind: PrincipalKind, name: str, policy: str) -> str:
    """Return the document of a policy of its own, as it was put.

    Raises:
        Denied: without ``iam:GetUserPolicy`` (``Group``, ``Role``).
        PrincipalUnknown: there is no such principal or policy.
    """
    _authorize(registry, caller, "Get", kind, name)
    found = find_principal(registry, kind, name).inline.get(policy)
    if found is None:
        raise PrincipalUnknown(f"{kind} {name} has no policy {policy[:128]}")
    return found


async def set_attached(
    registry: Registry, caller: Caller, kind: PrincipalKind, name: str, arn: str, *, is_attached: bool
) -> None:
    """Attach a managed policy to a principal, or detach it.

    Raises:
        Denied: without ``iam:AttachUserPolicy`` or ``iam:DetachUserPolicy`` (``Group``, ``Role``).
        PrincipalUnknown: there is no such principal or policy, or it is not attached.
        LimitExceeded: too many are.
    """
    action = _authorize(registry, caller, "Attach" if is_attached else "Detach", kind, name)

    def write(_txn: WriteTxn, directory: Directory) -> _Wanted:
        found = named(directory, kind, name)
        if is_attached and directory.policy(arn) is None:
            raise PrincipalUnknown(f"there is no policy {arn[:200]}; `entrepot policy ls` shows those that there are")
        if not is_attached and arn not in found.attached:
            raise PrincipalUnknown(f"{arn[:200]} is not attached to {kind} {name}")
        if is_attached and arn not in found.attached and len(found.attached) >= MAX_ATTACHED:
            raise LimitExceeded(f"{MAX_ATTACHED} policies are attached to {kind} {name}")
        return {(kind, found.id): {f"attached:{arn}": is_attached or None}}

    await change(registry, Act(caller, action, f"{name}/{arn}"), write)


def identity_document(document: str) -> None:
    """Raise ``PolicyInvalid`` where *document* is no identity policy, or too long for one."""
    if len(document) > MAX_POLICY:
        raise PolicyInvalid(f"the document has {len(document)} characters; {MAX_POLICY} are taken")
    read_policy(document.encode(), Kind.IDENTITY)


def _authorize(registry: Registry, caller: Caller, verb: str, kind: PrincipalKind, name: str) -> str:
    action = f"iam:{verb}{kind.capitalize()}Policy"
    registry.authorize(caller, action, principal_arn(registry.name.account, kind, principal_name(kind, name)))
    return action
