"""What an OpenID provider says of itself, and how a person is sent to it to log in and comes back.

    GET ISSUER/.well-known/openid-configuration   -> where its keys are, where people log in, where codes are exchanged

Whatever a provider names has to lie where it does itself, unless the operator named it: else one answer of it would
lead us, with a secret in the hand, to anyone. A person is sent with a challenge whose answer never leaves us (PKCE),
and comes back with a code that only we can exchange.

Source: OpenID Connect Discovery 1.0, section 4; OpenID Connect Core 1.0, section 3.1; RFC 7636, section 4.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from protocol.auth.percent import encoded
from protocol.errors import IdentityTokenInvalid, RuleInvalid
from protocol.oci.document import read_object
from protocol.rules.outbound import target

DISCOVERY = "/.well-known/openid-configuration"


class Provider(msgspec.Struct, frozen=True):
    """Where a provider is; empty: it does not say."""

    keys: str
    authorization: str = ""
    token: str = ""


def read_provider(data: bytes, issuer: str, *, allow_http: bool, named: Sequence[str] = ()) -> Provider:
    """Return what *data*, the document at ``ISSUER/.well-known/openid-configuration``, says.

    Args:
        data: the document.
        issuer: whose it has to be, exactly.
        allow_http: whether it may be without TLS.
        named: URLs that the operator named, which may lie elsewhere.

    Raises:
        IdentityTokenInvalid: it is another issuer's, or leads elsewhere.
    """
    document = read_object(data, IdentityTokenInvalid)
    if document.get("issuer") != issuer:
        raise IdentityTokenInvalid("the provider's configuration is that of another issuer")
    keys, authorization, token = (
        document.get(f"{name}", "") for name in ("jwks_uri", "authorization_endpoint", "token_endpoint")
    )
    for url in (keys, authorization, token):
        if not isinstance(url, str) or (
            url and url not in named and _origin(url, allow_http=allow_http) != _origin(issuer, allow_http=True)
        ):
            raise IdentityTokenInvalid("the provider's configuration leads to another server, which nobody named")
    return Provider(keys, authorization, token)


def code_challenge(verifier: str) -> str:
    """Return the challenge of a *verifier* of 43 to 128 unreserved characters, by SHA-256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_url(
    endpoint: str, *, client: str, redirect: str, scope: str, state: str, nonce: str, verifier: str
) -> str:
    """Return where a person's browser is sent to log in.

    Args:
        endpoint: of the provider.
        client: as which we are known there.
        redirect: where the browser comes back to.
        scope: what is asked for, as ``openid profile``.
        state: comes back with it, unchanged.
        nonce: comes back in the token, unchanged.
        verifier: of ``code_challenge``, kept here until it comes back.
    """
    fields = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": redirect,
        "scope": scope,
        "state": state,
        "nonce": nonce,
        "code_challenge": code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{form(fields)}"


def form(fields: Mapping[str, str]) -> str:
    """Return *fields* as ``application/x-www-form-urlencoded``."""
    return "&".join(f"{name}={encoded(value.encode())}" for name, value in fields.items())


def id_token_of(data: bytes) -> str:
    """Return the identity token in the answer of a token endpoint, or raise ``IdentityTokenInvalid``."""
    token = read_object(data, IdentityTokenInvalid).get("id_token")
    if not isinstance(token, str):
        raise IdentityTokenInvalid("the provider gave no identity token for the code")
    return token


def _origin(url: str, *, allow_http: bool) -> str:
    try:
        return target(url, allow_http=allow_http).origin
    except RuleInvalid:
        raise IdentityTokenInvalid("the provider's configuration has a URL that is none") from None
