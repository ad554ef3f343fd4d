"""Who asks, as every decision sees it."""

import msgspec


class Access(msgspec.Struct, frozen=True, array_like=True):
    """One repository that a bearer token is for. A bound, not a right: the policies are asked as well."""

    repository: str
    life: int  # The repository's life when the token was issued; 0: it did not exist.
    actions: tuple[str, ...]  # As in ``ecr:BatchGetImage``.


class Caller(msgspec.Struct, frozen=True):
    """The context of one request. Policies are evaluated against it; the audit names it."""

    arn: str  # Of the user, role or node; ``*`` for an anonymous caller.
    account: str  # 12 digits; empty for an anonymous caller.
    address: str = ""  # Without port; empty for a command on the control socket.
    request: str = ""  # The id that the log and the answer carry.
    user_id: str = ""  # Unique id of the user or role, for ever; of a session ``role:session``. Empty: root, nobody.
    user_name: str = ""
    access: tuple[Access, ...] | None = None
    """What a bearer token is limited to; ``None``: to nothing but the policies."""
    session_policy: str = ""  # JSON text: has to allow as well. Empty: there is none.
    is_secure: bool = False  # By TLS.
    tags: tuple[tuple[str, str], ...] = ()  # Of the principal and the session.


class Act(msgspec.Struct, frozen=True):
    """Who does what to what: what a change is committed for, and audited as."""

    caller: Caller
    action: str  # As in ``ecr:PutImage``.
    resource: str = ""  # Name of a repository, or what the action says it is about; empty: the registry.


def root_of(account: str) -> str:
    """Return the ARN of the account's root user."""
    return f"arn:aws:iam::{account}:root"
