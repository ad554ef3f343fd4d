"""Secrets at rest: sealed under a key that the master key gives, and bound to the place where they lie.

    u8 1 | 12 bytes nonce | ciphertext | 16 bytes tag         AES-256-GCM; the place is authenticated and not stored

A sealed value that is moved to another place, or put under another key, does not open. A nonce is drawn at random for
each seal; up to 2^32 of them may be under one key, which no registry reaches with its secrets.

Source: NIST SP 800-38D, 8.2.2 and 8.3; RFC 5869.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import Damaged

NONCE = 12  # Bytes.
MASTER = 32  # Bytes.
_FORMAT = b"\x01"
_INFO = b"entrepot 2026 "


def subkey(master: bytes, label: str) -> bytes:
    """Return the 32 bytes that *master* gives for the purpose *label*: other purposes tell nothing about them."""
    return HKDF(SHA256(), 32, salt=None, info=_INFO + label.encode()).derive(master)


def seal(key: bytes, secret: bytes, place: bytes, nonce: bytes) -> bytes:
    """Return *secret* sealed.

    Args:
        key: 32 bytes.
        secret: what nobody else may read.
        place: where it will lie, such as the key of its row.
        nonce: 12 random bytes, drawn for this very seal.
    """
    return _FORMAT + nonce + AESGCM(key).encrypt(nonce, secret, place)


def unseal(key: bytes, sealed: bytes, place: bytes) -> bytes:
    """Return the secret; ``Damaged`` where it was sealed under another key, for another place, or was changed."""
    if not sealed.startswith(_FORMAT):
        raise Damaged("a sealed secret in a form that this version does not know")
    try:
        return AESGCM(key).decrypt(sealed[1 : 1 + NONCE], sealed[1 + NONCE :], place)
    except (InvalidTag, ValueError):
        raise Damaged("a sealed secret that this node's master key does not open") from None
