"""Bearer tokens for OCI clients: JSON Web Tokens in the one form that this registry issues.

A general reader of such tokens has been broken in every way there is: an algorithm that the token chooses, keys that it
brings along, claims that are missing or come twice. So this one takes what ``issue`` writes and nothing else: EdDSA, a
key of ours by its id, a header of exactly three members, every claim present and of its type, sizes and dots counted
before anything is decoded.

``access`` is an upper bound: policies are asked at each request, and a token never gives what they do not.

Source: RFC 7515, RFC 7519, RFC 8037; Docker registry token authentication, "Token Authentication Implementation".
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Annotated, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from protocol.errors import Refusal, TokenExpired, TokenInvalid
from protocol.oci.document import read_object

MAX_TOKEN = 8 * 1024  # Bytes.
LEEWAY = 30  # Seconds that clocks may differ.

Sign: TypeAlias = Callable[[bytes], bytes]
"""Ed25519 over a message: 64 bytes."""

Verify: TypeAlias = Callable[[bytes, bytes], bool]
"""``verify(message, signature)``."""

Kind = TypeVar("Kind")
_Seconds = Annotated[int, Meta(ge=0, le=2**53)]


class Access(msgspec.Struct, frozen=True):
    """What a token may be used for at most."""

    name: str  # Of a repository; ``*``: the catalog.
    life: str  # Of the repository when the token was issued, a number; 0 where there was none.
    actions: tuple[str, ...]  # ``pull``, ``push``, ``delete``, ``*``.


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token says."""

    iss: str
    aud: str
    sub: str  # Unique id of the principal, with ``:SESSION`` of a role; empty: root; ``*``: anonymous.
    gen: _Seconds  # Of the principal: one that was raised since makes the token void.
    iat: _Seconds
    nbf: _Seconds
    exp: _Seconds
    jti: str
    access: tuple[Access, ...]
    pol: str = ""  # Policy of the session, JSON text, or nothing.
    tags: tuple[tuple[str, str], ...] = ()  # Of the session.


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: str
    kid: str
    typ: str


def issue(claims: Claims, kid: str, sign: Sign) -> str:
    """Return the token that says *claims*, signed by the key *kid*."""
    header = _base64(msgspec.json.encode(_Header("EdDSA", kid, "JWT")))
    message = f"{header}.{_base64(msgspec.json.encode(claims))}"
    return f"{message}.{_base64(sign(message.encode()))}"


def read_token(token: str, keys: Mapping[str, Verify], *, issuer: str, audience: str, now: float) -> Claims:
    """Return what *token* says, where one of *keys* signed it for this registry and its time is now.

    Args:
        token: as it came.
        keys: those that may have signed it, by id.
        issuer: that it has to name.
        audience: that it has to name.
        now: seconds since 1970, UTC.

    Raises:
        TokenInvalid: it is none of ours.
        TokenExpired: it was one.
    """
    if len(token) > MAX_TOKEN or token.count(".") != 2 or not token.isascii():
        raise TokenInvalid("not a token of this registry")
    first, second, third = token.split(".")
    header = _read(first, _Header)
    verify = keys.get(header.kid)
    if header.alg != "EdDSA" or header.typ != "JWT" or verify is None:
        raise TokenInvalid("not signed by a key of this registry")
    if not verify(f"{first}.{second}".encode(), _bytes(third)):
        raise TokenInvalid("not signed by a key of this registry")
    claims = _read(second, Claims)
    if (claims.iss, claims.aud) != (issuer, audience):
        raise TokenInvalid("a token for another registry")
    if not claims.nbf - LEEWAY <= now or claims.iat - LEEWAY > now:
        raise TokenInvalid("a token that is not valid yet")
    if now >= claims.exp + LEEWAY:
        raise TokenExpired("the token has expired; log in again")
    return claims


def _read(text: str, kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(read_object(_bytes(text), TokenInvalid), kind)
    except (msgspec.ValidationError, Refusal):
        raise TokenInvalid("not a token of this registry") from None


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Return what *text* is in base64url: without padding, and in the one form that its bytes have."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise TokenInvalid("not a token of this registry") from None
    if _base64(data) != text:
        raise TokenInvalid("not a token of this registry")
    return data
