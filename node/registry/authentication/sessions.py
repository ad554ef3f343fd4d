"""Temporary credentials: a key, a secret and a token, of which nothing is kept here.

The token is sealed and says whose they are and how long they are good; the secret follows from the key's id under the
registry's key. So they work at every node of the registry, and end with the generation of their principal.

Source: IAM user guide, "Temporary security credentials in IAM".
"""

import hmac

import msgspec

from node.registry.authentication.authorization import open_subject, seal_subject
from node.registry.authentication.subjects import Subject
from node.registry.registry import Registry
from protocol.auth.principals import TEMPORARY_KEY, access_key_id, secret_access_key
from protocol.auth.secret import Secret

_LABEL = "temporary credentials"


class Credentials(msgspec.Struct, frozen=True):
    """What AssumeRole and its like return."""

    key: str
    secret: Secret
    token: Secret
    expires: int  # Seconds since 1970.


def issue_credentials(registry: Registry, subject: Subject, lifetime: int) -> Credentials:
    """Return credentials that speak for *subject* for *lifetime* seconds; whoever gets them was allowed to before."""
    key = TEMPORARY_KEY + access_key_id(registry.random(10))[len(TEMPORARY_KEY) :]
    issued = seal_subject(registry, f"{_LABEL} {key}", subject, lifetime)
    return Credentials(key, Secret(_secret(registry, key).encode()), Secret(issued.password.encode()), issued.expires)


def open_credentials(registry: Registry, key: str, token: str) -> tuple[Subject, str]:
    """Return whom a key with its token speaks for, and its secret; ``TokenInvalid``, ``TokenExpired``: nobody."""
    return open_subject(registry, f"{_LABEL} {key}", token), _secret(registry, key)


def _secret(registry: Registry, key: str) -> str:
    return secret_access_key(hmac.digest(registry.vault.derive(_LABEL), key.encode(), "sha256")[:30])
