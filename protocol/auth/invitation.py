"""The token that lets one new node join, and the proof that it holds it.

Theory of operation
===================
A token is carried by people from one machine to another. It says where to dial, whom to believe there (the hash
of the authority's public key, so nothing is trusted on first use) and holds a secret that works once. The joiner
never sends the secret: it sends an HMAC over the public key of the server *as it saw it* and over its own request
for a certificate. A middleman with another key cannot pass the proof on, and nobody can put another request under
it. The authority keeps a *verifier* derived from the secret, not the secret: who reads its disk has no token.

The text is base32 without padding, in lower case, of a msgpack array and 4 bytes of its BLAKE3 hash, so that a
token cut short in a terminal is called that.

Source: peers.md 2, "Join"; reliability.md 5, "Join".
"""

import base64
import binascii
import hashlib
import hmac
from typing import Annotated

import msgspec
from blake3 import blake3

from protocol.auth.names import Account, Region, account, region
from protocol.errors import ParameterInvalid

VERSION = 1
MAX_TOKEN = 4096  # Characters.
MAX_LIFETIME = 86_400  # Seconds from being made to running out.
SECRET_SIZE = 16  # Bytes.
_CHECK_SIZE = 4  # Bytes of BLAKE3 against slips of the hand, not against forgers.
_VERIFIER = b"entrepot invitation v1"
_PROOF = b"entrepot join v1"


class Invitation(msgspec.Struct, frozen=True, array_like=True):
    """What a token says."""

    version: int
    account: Account
    region: Region
    """The region of the registry that the new node will serve."""
    authority: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """SHA-256 of the authority's SubjectPublicKeyInfo in DER."""
    addresses: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=8)]
    """``HOST:PORT`` of nodes to dial, in order of preference."""
    id: Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
    secret: Annotated[bytes, msgspec.Meta(min_length=SECRET_SIZE, max_length=SECRET_SIZE)]
    expires: int  # UTC, seconds since 1970.


_decoder = msgspec.msgpack.Decoder(Invitation)


def format_token(invitation: Invitation) -> str:
    """Return the text that ``parse_token`` reads."""
    packed = msgspec.msgpack.encode(invitation)
    packed += blake3(packed).digest(_CHECK_SIZE)
    return base64.b32encode(packed).decode().rstrip("=").lower()


def parse_token(text: str) -> Invitation:
    """Parse a token; white space around and inside it is forgiven, for terminals wrap it.

    Raises ``ParameterInvalid`` with what is wrong. Whether it ran out is the caller's to ask: it has the clock.
    """
    text = "".join(text.split())
    if not text or len(text) > MAX_TOKEN or not text.isascii():
        raise ParameterInvalid("this is not a token: paste what `entrepot invite` printed")
    try:
        packed = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except binascii.Error:
        raise ParameterInvalid("the token is damaged: it has characters or a length that no token has") from None
    packed, check = packed[:-_CHECK_SIZE], packed[-_CHECK_SIZE:]
    if blake3(packed).digest(_CHECK_SIZE) != check:
        raise ParameterInvalid("the token is damaged: part of it is missing or was changed")
    try:
        invitation = _decoder.decode(packed)
    except (msgspec.MsgspecError, RecursionError):
        raise ParameterInvalid("the token was made by a version of entrepot that this one cannot read") from None
    if invitation.version != VERSION:
        raise ParameterInvalid(f"the token has version {invitation.version}, this node reads {VERSION}")
    account(invitation.account)
    region(invitation.region)
    return invitation


def verifier(secret: bytes) -> bytes:
    """Return what the authority keeps of *secret*: enough to check a proof, not enough to write a token."""
    return hmac.new(secret, _VERIFIER, hashlib.sha256).digest()


def proof(secret_verifier: bytes, server_spki: bytes, csr: bytes) -> bytes:
    """Return the 32 bytes that prove the token for *csr* to the server that has the key *server_spki*.

    Args:
        secret_verifier: of ``verifier``.
        server_spki: SubjectPublicKeyInfo in DER of the certificate that the server showed in this very handshake.
        csr: the joiner's PKCS #10 request in DER.
    """
    text = _PROOF + len(server_spki).to_bytes(4, "big") + server_spki + csr
    return hmac.new(secret_verifier, text, hashlib.sha256).digest()


def proves(secret_verifier: bytes, server_spki: bytes, csr: bytes, given: bytes) -> bool:
    """Whether *given* is that proof; takes the same time either way."""
    return hmac.compare_digest(proof(secret_verifier, server_spki, csr), given)
