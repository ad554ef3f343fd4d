"""Who asks, as every decision sees it."""

import msgspec


class Caller(msgspec.Struct, frozen=True):
    """The context of one request. Policies are evaluated against it; the audit names it."""

    arn: str  # Of the user, role or node; ``*`` for an anonymous caller.
    account: str  # 12 digits; empty for an anonymous caller.
    address: str = ""  # Without port; empty for a command on the control socket.
    request: str = ""  # The id that the log and the answer carry.


def root_of(account: str) -> str:
    """Return the ARN of the account's root user."""
    return f"arn:aws:iam::{account}:root"
