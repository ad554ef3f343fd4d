"""Identity tokens of others: what GitHub Actions, Kubernetes or a company's sign-in say of who somebody is.

A token is read twice. First for the issuer that it names, which decides whose keys are asked, and which is compared as
it stands with those that an operator trusts: a token never leads anywhere. Then with these keys: the signature first,
by an algorithm that the key is for, then audience and time. Sizes and dots are counted before anything is decoded, and
a header that brings keys along, or says that something in it is critical, is refused.

What it claims becomes condition keys of trust policies, as ``token.actions.githubusercontent.com:sub``.

Source: OpenID Connect Core 1.0, sections 2 and 3.1.3.7; RFC 7519; IAM user guide, "Available keys for AWS OIDC
federation".
"""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence

import msgspec

from protocol.auth.jwks import ProviderKey
from protocol.errors import IdentityTokenExpired, IdentityTokenInvalid
from protocol.oci.document import Document, read_object

MAX_TOKEN = 16 * 1024  # Characters.
LEEWAY = 60  # Seconds that clocks may differ.
_MAX_CLAIMS = 200
_MAX_VALUE = 2048  # Characters of one value that conditions see.
_LATEST = 2**53
_REFUSED = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc"})
_NONE = "not an identity token"


class Unverified(msgspec.Struct, frozen=True):
    """A token of which nothing is known but what it says."""

    algorithm: str
    key: str  # Id of the key; empty where it names none.
    issuer: str
    claims: Document
    message: bytes  # What was signed.
    signature: bytes


class Identity(msgspec.Struct, frozen=True):
    """Who somebody is, as an issuer has it."""

    issuer: str
    subject: str
    audience: tuple[str, ...]
    expires: float  # Seconds since 1970.
    claims: Mapping[str, tuple[str, ...]]
    """What conditions may compare: texts, numbers and truth values, and lists of them."""
    nonce: str = ""


def parse_id_token(token: str) -> Unverified:
    """Return what *token* says, or raise ``IdentityTokenInvalid`` where it is none."""
    if len(token) > MAX_TOKEN or token.count(".") != 2 or not token.isascii():
        raise IdentityTokenInvalid(_NONE)
    first, second, third = token.split(".")
    header = read_object(_bytes(first), IdentityTokenInvalid)
    claims = read_object(_bytes(second), IdentityTokenInvalid)
    if not _REFUSED.isdisjoint(header) or str(header.get("typ", "JWT")).upper() not in {"JWT", "AT+JWT"}:
        raise IdentityTokenInvalid("an identity token that brings its own keys, or is one of a kind that is not taken")
    algorithm, key, issuer = header.get("alg"), header.get("kid", ""), claims.get("iss")
    if not isinstance(algorithm, str) or not isinstance(key, str) or not isinstance(issuer, str):
        raise IdentityTokenInvalid(_NONE)
    return Unverified(algorithm, key, issuer, claims, f"{first}.{second}".encode(), _bytes(third))


def keys_for(token: Unverified, keys: Sequence[ProviderKey]) -> tuple[ProviderKey, ...]:
    """Return those of *keys* that may have signed *token*; none: it may have been signed by one that is new."""
    return tuple(
        one for one in keys if one.algorithm == token.algorithm and (one.id == token.key or not (one.id and token.key))
    )


def verify_id_token(
    token: Unverified, keys: Sequence[ProviderKey], *, issuer: str, audiences: Sequence[str], now: float
) -> Identity:
    """Return who *token* is about.

    Args:
        token: as it was parsed.
        keys: of the issuer.
        issuer: that it has to name, exactly.
        audiences: of which it has to name one: whom it was made for.
        now: seconds since 1970, UTC.

    Raises:
        IdentityTokenInvalid: none of the keys signed it, or it is not for us.
        IdentityTokenExpired: its time is over.
    """
    if token.issuer != issuer or not any(one.verify(token.message, token.signature) for one in keys_for(token, keys)):
        raise IdentityTokenInvalid("the identity token is not signed by its issuer")
    claims = token.claims
    subject, audience, nonce = claims.get("sub"), _audience(claims.get("aud")), claims.get("nonce", "")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_VALUE or not isinstance(nonce, str):
        raise IdentityTokenInvalid("the identity token says of nobody who it is")
    if not set(audience) & set(audiences):
        raise IdentityTokenInvalid("the identity token was made for another audience")
    expires, issued = _seconds(claims, "exp"), _seconds(claims, "iat")
    if max(issued, _seconds(claims, "nbf") if "nbf" in claims else issued) - LEEWAY > now:
        raise IdentityTokenInvalid("the identity token is not valid yet")
    if now >= expires + LEEWAY:
        raise IdentityTokenExpired("the identity token has expired")
    return Identity(issuer, subject, audience, expires, _texts(claims), nonce)


def _audience(value: object) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [value]
    if not many or len(many) > 100 or not all(isinstance(one, str) and one for one in many):
        raise IdentityTokenInvalid("the identity token names no audience")
    return tuple(many)


def _seconds(claims: Document, name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise IdentityTokenInvalid(f"the identity token has no {name}")
    if not 0 <= value <= _LATEST:
        raise IdentityTokenInvalid(f"the identity token has no {name}")
    return float(value)


def _texts(claims: Document) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in list(claims.items())[:_MAX_CLAIMS]:
        many = value if isinstance(value, list) else [value]
        texts = [_text(one) for one in many]
        if texts and None not in texts:
            found[name] = tuple(one for one in texts if one is not None)
    return found


def _text(value: object) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case str() if len(value) <= _MAX_VALUE:
            return value
        case int() | float():
            return str(value)
        case _:
            return None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise IdentityTokenInvalid(_NONE) from None
