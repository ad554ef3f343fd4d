"""Signature Version 4: which key signed a request, and for whom it speaks."""

import hashlib
from collections.abc import Collection

from node.registry.authentication.sessions import open_credentials
from node.registry.authentication.subjects import Client, Subject, caller_of_subject, subject_of_principal
from node.registry.identity.keys import is_usable, secret_of
from node.registry.identity.uses import note_use
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.auth.principals import TEMPORARY_KEY
from protocol.auth.sigv4 import MAX_SKEW, UNSIGNED, Request, Signature, read_signature, verify_signature
from protocol.errors import KeyUnknown, SignatureExpired, SignatureInvalid, TokenInvalid

_PAYLOAD = "x-amz-content-sha256"
_UNKNOWN = "The security token included in the request is invalid."


def authenticate_signature(
    registry: Registry, request: Request, body: bytes, client: Client, *, services: Collection[str]
) -> Caller:
    """Return the caller whose key signed *request* with *body*.

    Args:
        registry: whose keys and region are meant.
        request: as it came.
        body: all of it.
        client: where it comes from.
        services: of which the credential has to be scoped to one.

    Raises:
        SignatureMissing, SignatureIncomplete, SignatureInvalid, SignatureExpired: as ``protocol.auth.sigv4`` says.
        KeyUnknown: there is no such key, or it may not be used.
        TokenExpired: the session is over.
    """
    signature = read_signature(request)
    service = signature.service if signature.service in services else min(services)
    payload = _payload(request, signature, body)
    subject, secret = _signer(registry, signature)
    verify_signature(
        request, signature, secret, payload, region=registry.name.region, service=service, now=registry.now()
    )
    if not signature.access_key.startswith(TEMPORARY_KEY):
        note_use(registry, signature.access_key, client.address, service)
    return caller_of_subject(registry, subject, client)


def check_signer(registry: Registry, request: Request) -> None:
    """Raise as ``authenticate_signature`` where no body could make the signature of *request* a good one.

    The signature itself is not looked at: its key has to be there, and its time to be now.
    """
    signature = read_signature(request)
    lifetime = MAX_SKEW if signature.lifetime is None else signature.lifetime
    if not -MAX_SKEW <= registry.now() - signature.at <= lifetime:
        raise SignatureExpired(f"signed at {signature.stamp}; at most {lifetime} seconds may have passed since")
    _signer(registry, signature)


def _signer(registry: Registry, signature: Signature) -> tuple[Subject, str]:
    """Return for whom a key speaks, and its secret."""
    if signature.access_key.startswith(TEMPORARY_KEY):
        try:
            return open_credentials(registry, signature.access_key, signature.token)
        except TokenInvalid:
            raise KeyUnknown(_UNKNOWN) from None
    directory = registry.directory.get()
    key = directory.access_key(signature.access_key)
    owner = None if key is None else directory.by_id(key.user)
    if key is None or owner is None or owner.is_disabled or not is_usable(key, registry.now()) or signature.token:
        raise KeyUnknown(_UNKNOWN)
    secret = secret_of(registry, key)
    if secret is None:
        raise KeyUnknown(_UNKNOWN)
    return subject_of_principal(owner), secret


def _payload(request: Request, signature: Signature, body: bytes) -> str:
    """Return what was signed of the body; where its hash is said in a header, that has to be the body's."""
    found = hashlib.sha256(body).hexdigest()
    said = [value for name, value in request.headers if name == _PAYLOAD]
    if not said:
        return found
    if said == [UNSIGNED] and signature.lifetime is not None and not body:
        return UNSIGNED
    if said != [found]:
        raise SignatureInvalid("the body is not the one whose hash was signed (x-amz-content-sha256)")
    return found
