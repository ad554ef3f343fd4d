"""What the Authorization header says.

Source: RFC 7617 (Basic); RFC 6750 (Bearer); for a public registry, ECR Public user guide, "Registry authentication".
"""

import base64
import binascii
from typing import TypeAlias

import msgspec

from node.http.message import Request
from protocol.auth.sigv4 import ALGORITHM
from protocol.errors import CredentialsWrong


class Basic(msgspec.Struct, frozen=True):
    """A name and a password."""

    name: str
    password: str

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return f"Basic({self.name!r}, ***)"


class Bearer(msgspec.Struct, frozen=True):
    """A token."""

    token: str

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return "Bearer(***)"


class Signed(msgspec.Struct, frozen=True):
    """Signature Version 4, in the headers or in the URL."""


class Nothing(msgspec.Struct, frozen=True):
    """The request does not say who sends it."""


Shown: TypeAlias = Basic | Bearer | Signed | Nothing

_NOTHING, _SIGNED = Nothing(), Signed()


def shown(request: Request) -> Shown:
    """Return what *request* shows, or raise ``CredentialsWrong`` where that has no form that is known here."""
    header = request.headers.get("authorization")
    if header is None:
        in_url = any(name == "X-Amz-Signature" for name, _ in request.query)
        return _SIGNED if in_url else _NOTHING
    scheme, _, rest = header.partition(" ")
    scheme = scheme.lower()
    if scheme == "bearer":
        return _bearer(rest.strip())
    if scheme == "basic":
        return _basic(rest.strip())
    if header.startswith(f"{ALGORITHM} "):
        return _SIGNED
    raise CredentialsWrong("the Authorization header is neither Basic, Bearer nor a signature of AWS")


def _basic(text: str) -> Basic:
    try:
        name, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise CredentialsWrong("the Authorization header is not base64 of NAME:PASSWORD") from None
    if not colon:
        raise CredentialsWrong("the Authorization header is not base64 of NAME:PASSWORD")
    return Basic(name, password)


def _bearer(text: str) -> Basic | Bearer:
    """Return the token; what ECR's guide sends is not one of ours, but base64 of ``AWS:PASSWORD``."""
    if text.count(".") != 2 and len(text) < 16_384:
        try:
            decoded = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return Bearer(text)
        if decoded.startswith(b"AWS:"):
            return _basic(text)
    return Bearer(text)
