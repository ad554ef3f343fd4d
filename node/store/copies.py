"""The names of stored copies of blobs.

Repositories that keep their bytes in one way are a *domain*: all that keep them plain, all that seal them under keys of
one kind and one key. Within a domain a blob is stored once, across domains once in each. So what lies in a sealed
repository never lies plain because another repository has it too, and the other way round no plain repository reads
through a key.

A copy is named by the blob's digest where it is plain, and by ``digest@domain`` where it is sealed; in keys of tables
by the short form of the digest, and 8 bytes of the domain behind it. So stores from before there were domains are as
they have to be.
"""

from typing import NewType

from blake3 import blake3

from protocol.errors import DigestInvalid
from protocol.oci.digest import Digest, digest, packed, unpacked

Copy = NewType("Copy", Digest)
"""``digest`` or ``digest@domain``. Every digest names a copy, the plain one; not every copy's name is a digest."""

PLAIN = b""
_DOMAIN = 8  # Bytes.
_CONTEXT = "entrepot 2026 encryption domain v1"


def domain_of(kind: str, key: str) -> bytes:
    """Return the domain of repositories that are encrypted as *kind* (AES256, KMS, KMS_DSSE) under *key*, an ARN."""
    return blake3(f"{kind}\0{key}".encode(), derive_key_context=_CONTEXT).digest(length=_DOMAIN)


def copy_name(text: str) -> Copy:
    """Parse the name of a copy, or raise ``DigestInvalid``."""
    name, at, domain = text.partition("@")
    if at and (len(domain) != 2 * _DOMAIN or not set(domain) <= set("0123456789abcdef")):
        raise DigestInvalid(f"no copy of a blob is called {text[:160]!r}")
    return Copy(Digest(f"{digest(name)}@{domain}" if at else digest(name)))


def copy_in(blob: Digest, domain: bytes) -> Copy:
    """Return the name of the copy of a blob in a domain."""
    return Copy(Digest(f"{blob}@{domain.hex()}" if domain else blob))


def digest_of_copy(copy: Digest) -> Digest:
    """Return the digest of the blob that is stored as *copy*."""
    return Digest(copy.partition("@")[0])


def domain_of_copy(copy: Digest) -> bytes:
    """Return the domain of a copy."""
    return bytes.fromhex(copy.partition("@")[2])


def packed_copy(copy: Digest) -> bytes:
    """Return what a copy is called in keys."""
    blob, at, domain = copy.partition("@")
    return packed(Digest(blob)) + (bytes.fromhex(domain) if at else b"")


def unpacked_copy(key: bytes) -> Copy:
    """Return the copy that ``packed_copy`` made *key* of."""
    length = digest_length(key)
    return copy_in(unpacked(key[:length]), key[length:])


def digest_length(key: bytes) -> int:
    """Return how long the short form of a digest is with which *key* begins; ``IndexError`` where there is none."""
    return 65 if key[0] == 2 else 33  # SHA-512; 256 bits.


def is_copy(key: bytes) -> bool:
    """Whether *key* is what a copy is called in keys."""
    return bool(key) and 1 <= key[0] <= 3 and len(key) - digest_length(key) in (0, _DOMAIN)
