"""People log in at their own sign-in: an OpenID provider that is trusted, by the authorization code flow with PKCE.

    begin   -> where the browser goes, and what it keeps meanwhile (a cookie)
    finish  <- what it kept, and the state and the code that it came back with

What the browser keeps is sealed: the verifier, the nonce and the state of this very log-in. So any node of the registry
can finish it, nothing of it is kept here, and a code that was made for one browser is worth nothing in another. The
token that the code is exchanged for is verified as those of workloads are, and opens a session of a role alike.

Source: OpenID Connect Core 1.0, section 3.1; RFC 7636; RFC 9700, sections 2.1 and 4.7.
"""

import base64
import binascii
import hmac

import msgspec

from node.registry.authentication.federation import Federation
from node.registry.authentication.issuers import client_secret
from node.registry.authentication.roles import Assumed, Wanted, assume_role_by_identity
from node.registry.authentication.subjects import Client
from node.registry.registry import Registry
from protocol.auth.openid import authorization_url, form, id_token_of
from protocol.auth.secret import Secret
from protocol.errors import Damaged, IdentityTokenInvalid

_LABEL = "log-ins of people"
_LIFETIME = 600  # Seconds that somebody has at the provider.
_SCOPE = "openid profile email"
_LONGEST = 8192  # Characters of what comes back.


class Begun(msgspec.Struct, frozen=True):
    """A log-in that began."""

    url: str  # Where the browser goes.
    kept: Secret  # What it keeps, and shows when it is back; letters, digits, ``-`` and ``_``.


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    issuer: str
    redirect: str
    state: str
    nonce: str
    verifier: str
    expires: int  # Seconds since 1970.


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


async def begin_login(registry: Registry, federation: Federation, issuer: str, redirect: str) -> Begun:
    """Return how somebody logs in at the issuer with the URL *issuer*, to come back to the URL *redirect*.

    Raises:
        IdentityTokenInvalid: it is not trusted, or people cannot log in there.
        IssuerUnreachable: it does not answer.
    """
    trusted = federation.issuer(issuer)
    provider = await federation.provider(trusted)
    if not trusted.client or not provider.authorization or not provider.token:
        raise IdentityTokenInvalid(f"people cannot log in at {trusted.name}")
    state, nonce, verifier = (base64.urlsafe_b64encode(registry.random(33)).decode() for _ in range(3))
    expires = int(registry.now()) + _LIFETIME
    kept = _encode(_Kept(issuer, redirect, state, nonce, verifier, expires))
    sealed = base64.urlsafe_b64encode(registry.vault.seal(_LABEL, kept, str(registry.name))).rstrip(b"=")
    url = authorization_url(
        provider.authorization,
        client=trusted.client,
        redirect=redirect,
        scope=_SCOPE,
        state=state,
        nonce=nonce,
        verifier=verifier,
    )
    return Begun(url, Secret(sealed))


async def finish_login(
    registry: Registry, federation: Federation, kept: str, state: str, code: str, *, client: Client, wanted: Wanted
) -> Assumed:
    """Return a session of a role for whoever came back.

    Args:
        registry: whose role it is.
        federation: that knows the issuer.
        kept: what ``begin_login`` gave the browser to keep.
        state: that it came back with.
        code: that it came back with.
        client: the browser.
        wanted: the session.

    Raises:
        IdentityTokenInvalid: this is not the end of a log-in that began here, or not of this browser's.
        IssuerUnreachable: the issuer does not take the code, or does not answer.
        Denied, ParameterInvalid, PolicyInvalid: as ``assume_role_by_identity`` says.
    """
    begun = _opened(registry, kept)
    if not hmac.compare_digest(begun.state.encode(), state.encode("utf-8", "surrogatepass")) or not code:
        raise IdentityTokenInvalid("this log-in did not begin in this browser")
    trusted = federation.issuer(begun.issuer)
    provider = await federation.provider(trusted)
    fields = {
        "grant_type": "authorization_code",
        "code": code[:_LONGEST],
        "redirect_uri": begun.redirect,
        "client_id": trusted.client,
        "code_verifier": begun.verifier,
    }
    secret = client_secret(registry, trusted)
    answer = await federation.post(
        trusted, provider.token, form(fields | ({"client_secret": secret} if secret else {})).encode()
    )
    identity = await federation.identify(id_token_of(answer))
    is_ours = identity.issuer == trusted.url and trusted.client in identity.audience
    if not is_ours or not hmac.compare_digest(identity.nonce.encode(), begun.nonce.encode()):
        raise IdentityTokenInvalid("the identity token was made for another log-in")
    return assume_role_by_identity(registry, identity, client, wanted)


def _opened(registry: Registry, kept: str) -> _Kept:
    try:
        if len(kept) > _LONGEST:
            raise IdentityTokenInvalid("this log-in did not begin here")
        sealed = base64.b64decode(kept + "=" * (-len(kept) % 4), altchars=b"-_", validate=True)
        begun = _decode(registry.vault.unseal(_LABEL, sealed, str(registry.name)))
    except (Damaged, binascii.Error, ValueError, msgspec.DecodeError):
        raise IdentityTokenInvalid("this log-in did not begin here") from None
    if begun.expires <= registry.now():
        raise IdentityTokenInvalid("this log-in took too long; begin again")
    return begun
