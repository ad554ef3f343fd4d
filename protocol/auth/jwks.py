"""The keys of an OpenID provider, as it publishes them: a JSON Web Key Set.

Taken are the three kinds of signature that providers of workload identity use, each by its own kind of key: RS256
with RSA of 2048 to 8192 bits, ES256 with P-256, EdDSA with Ed25519. The kind of the key says which algorithm it is
for, never the token. Keys of other kinds, for encryption, or that are malformed are passed over: a provider may add
what we do not know, and its other keys stay good.

Source: RFC 7517, RFC 7518 sections 3.3, 3.4 and 6, RFC 8037.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from protocol.errors import IdentityTokenInvalid
from protocol.oci.document import Document, read_object

MAX_KEYS = 64  # Of one set; what comes behind them is not looked at.
_RSA_BITS = range(2048, 8193)
_MAX_TEXT = 2048  # Characters of one member.


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """One key."""

    id: str  # Empty where the set gives it none.
    algorithm: str  # ``RS256``, ``ES256`` or ``EdDSA``.
    verify: Callable[[bytes, bytes], bool]
    """``verify(message, signature)``"""


def read_keys(data: bytes) -> tuple[ProviderKey, ...]:
    """Return the keys for signatures in a JSON Web Key Set, or raise ``IdentityTokenInvalid`` where *data* is none."""
    listed = read_object(data, IdentityTokenInvalid).get("keys")
    if not isinstance(listed, list):
        raise IdentityTokenInvalid("what the provider publishes is no set of keys")
    found = [_key(one) for one in listed[:MAX_KEYS] if isinstance(one, dict)]
    return tuple(key for key in found if key is not None)


def _key(document: Document) -> ProviderKey | None:
    operations = document.get("key_ops", ["verify"])
    if document.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        algorithm, verify = _VERIFIERS[document.get("kty", ""), document.get("crv", "")](document)
    except (KeyError, TypeError, ValueError):
        return None
    name = document.get("kid", "")
    if document.get("alg", algorithm) != algorithm or not isinstance(name, str):
        return None
    return ProviderKey(name, algorithm, verify)


def _rsa(document: Document) -> tuple[str, Callable[[bytes, bytes], bool]]:
    exponent, modulus = _number(document["e"]), _number(document["n"])
    if modulus.bit_length() not in _RSA_BITS or exponent.bit_length() > 32:
        raise ValueError("a key of a size that is not taken")
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    return "RS256", _checked(lambda message, signature: key.verify(signature, message, padding.PKCS1v15(), SHA256()))


def _p256(document: Document) -> tuple[str, Callable[[bytes, bytes], bool]]:
    numbers = ec.EllipticCurvePublicNumbers(_number(document["x"]), _number(document["y"]), ec.SECP256R1())
    key = numbers.public_key()

    def verify(message: bytes, signature: bytes) -> None:
        if len(signature) != 64:
            raise InvalidSignature
        first, second = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        key.verify(encode_dss_signature(first, second), message, ec.ECDSA(SHA256()))

    return "ES256", _checked(verify)


def _ed25519(document: Document) -> tuple[str, Callable[[bytes, bytes], bool]]:
    key = ed25519.Ed25519PublicKey.from_public_bytes(_bytes(document["x"]))
    return "EdDSA", _checked(lambda message, signature: key.verify(signature, message))


_VERIFIERS = {("RSA", ""): _rsa, ("EC", "P-256"): _p256, ("OKP", "Ed25519"): _ed25519}


def _checked(verify: Callable[[bytes, bytes], None]) -> Callable[[bytes, bytes], bool]:
    def is_right(message: bytes, signature: bytes) -> bool:
        try:
            verify(message, signature)
        except (InvalidSignature, ValueError):
            return False
        return True

    return is_right


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")


def _bytes(text: str) -> bytes:
    if len(text) > _MAX_TEXT:
        raise ValueError("too long for a key")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
