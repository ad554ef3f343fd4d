"""Who can be given rights: users, groups and roles, by unique id, name and ARN; and access keys.

A unique id is never used again, a name may be: what is written down for later (who owns a key, who is in a group, whom
a token is for) says the id, and what people read and policies say has the name.

Source: IAM user guide, "IAM identifiers", "IAM and AWS STS quotas".
"""

import re
from typing import Literal, NewType, TypeAlias

from protocol.errors import ParameterInvalid

Arn = NewType("Arn", str)
"""Of something that is no repository."""

PrincipalKind: TypeAlias = Literal["user", "group", "role"]

PREFIXES: dict[str, str] = {"user": "AIDA", "group": "AGPA", "role": "AROA", "managed-policy": "ANPA"}
"""What the unique id of each kind begins with."""
ACCESS_KEY = "AKIA"
TEMPORARY_KEY = "ASIA"

_NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_LONGEST = {"user": 64, "group": 128, "role": 64, "policy": 128}
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def principal_name(kind: str, text: str) -> str:
    """Return *text* if it can be the name of a user, group, role or policy, or raise ``ParameterInvalid``."""
    longest = _LONGEST[kind]
    if not _NAME.fullmatch(text) or len(text) > longest:
        raise ParameterInvalid(f"a {kind} has a name of 1 to {longest} letters, digits and +=,.@_-, not {text[:80]!r}")
    return text


def principal_arn(account: str, kind: str, name: str) -> Arn:
    """Return the ARN of a user, group, role or policy of *account*."""
    return Arn(f"arn:aws:iam::{account}:{kind}/{name}")


def session_arn(account: str, role: str, session: str) -> Arn:
    """Return the ARN of a session of a role."""
    return Arn(f"arn:aws:sts::{account}:assumed-role/{role}/{session}")


def unique_id(kind: str, random: bytes) -> str:
    """Return an id of *kind* made of 10 random bytes."""
    return PREFIXES[kind] + _letters(random)


def access_key_id(random: bytes) -> str:
    """Return the id of an access key made of 10 random bytes."""
    return ACCESS_KEY + _letters(random)


def secret_access_key(random: bytes) -> str:
    """Return a secret of 40 characters made of 30 random bytes."""
    bits = int.from_bytes(random, "big")
    return "".join(_BASE64[bits >> 6 * at & 63] for at in range(40))


def _letters(random: bytes) -> str:
    bits = int.from_bytes(random, "big")
    return "".join(_BASE32[bits >> 5 * at & 31] for at in range(16))
