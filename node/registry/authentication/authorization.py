"""ECR's authorization tokens: the password that goes with the user ``AWS``, good for twelve hours or less.

    base64url( sealed( msgpack [subject, expires] ) )

Opaque to clients, and sealed for this registry: one of another registry or region does not open. Tools cut the whole at
its first colon, and decode it in either alphabet of base64, so it has letters, digits, ``-`` and ``_`` alone.

Source: Amazon ECR API reference, "GetAuthorizationToken".
"""

import base64
import binascii
from collections.abc import Iterable

import msgspec

from node.registry.authentication.subjects import OVER, Client, Subject, caller_of_subject, subject_of
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.errors import Damaged, TokenExpired, TokenInvalid

USER = "AWS"
_LABEL = "authorization tokens"
_MAX = 16 * 1024  # Characters.
_NONE = "not a token of this registry"


class _Content(msgspec.Struct, frozen=True, array_like=True):
    subject: Subject
    expires: int  # Seconds since 1970.


class Issued(msgspec.Struct, frozen=True):
    """A password, and until when it is good: seconds since 1970."""

    password: str
    expires: int

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return f"Issued(***, {self.expires})"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Content).decode


def issue_authorization_token(registry: Registry, caller: Caller, actions: Iterable[str]) -> Issued:
    """Return a password for the user ``AWS`` that speaks for *caller*; ``Denied`` where *actions* are not allowed."""
    for action in actions:
        registry.authorize(caller, action, None)
    return seal_subject(registry, _LABEL, subject_of(registry, caller), registry.settings.lifetimes.authorization)


def authenticate_authorization_token(registry: Registry, password: str, client: Client) -> Caller:
    """Return the caller that a password of ``issue_authorization_token`` speaks for, or raise ``TokenExpired``."""
    try:
        return caller_of_subject(registry, open_subject(registry, _LABEL, password), client)
    except TokenInvalid:  # Clients of ECR are told no difference.
        raise TokenExpired(OVER) from None


def seal_subject(registry: Registry, label: str, subject: Subject, lifetime: int) -> Issued:
    """Return a text that *label* opens again at any node of this registry, for *lifetime* seconds."""
    expires = int(registry.now()) + lifetime
    sealed = registry.vault.seal(label, _encode(_Content(subject, expires)), str(registry.name))
    return Issued(base64.urlsafe_b64encode(sealed).rstrip(b"=").decode(), expires)


def open_subject(registry: Registry, label: str, text: str) -> Subject:
    """Return whom a text of ``seal_subject`` was issued to; ``TokenInvalid``: it is none; ``TokenExpired``: it was."""
    try:
        if len(text) > _MAX:
            raise TokenInvalid(_NONE)
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        content = _decode(registry.vault.unseal(label, sealed, str(registry.name)))
    except (Damaged, binascii.Error, ValueError, msgspec.DecodeError):
        raise TokenInvalid(_NONE) from None
    if content.expires <= registry.now():
        raise TokenExpired(OVER)
    return content.subject
