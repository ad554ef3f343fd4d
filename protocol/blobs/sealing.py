"""Blobs at rest: how the bytes of a blob, its chunk map and its key are sealed.

Theory of operation
===================
Each stored copy of a blob has a *data key* of its own, drawn at random, and a random id. What lies on the disk is
sealed under it with AES-256-GCM: each chunk, the parts of the chunk map, and blobs and manifests that are small enough
to lie in one value. The data key is kept only *wrapped*, under the key of each repository that sees the copy.

What a seal is bound to is authenticated beside it: the id, what it is (chunk, part of a map, ...), and which one. So a
chunk that is put in another's place does not open, nor does a map that was cut, for the blob's size is bound as well. A
nonce is 96 random bits, drawn at every write: a tail that grows is sealed anew and repeats none. Under one key there
are some ten thousand of them, far below the 2^32 for which random nonces are good.

A chunk keeps its length, so a sealed one fills the same pages; its nonce and tag, 28 bytes, are in the sealed map
beside the hash of its plaintext. One that was found right may be read in pieces from then on (``open_piece``): GCM is
counter mode, so any sixteen bytes can be had by themselves. Whoever does that has compared the whole since it came from
the disk.

With *two layers* (KMS_DSSE) the plaintext first goes through AES-256 in counter mode under a second, independent key;
the tag of the outer layer authenticates both.

Source: NIST SP 800-38D, 7.1 (counter blocks), 8.2.2 (random nonces), 8.3.
"""

from typing import Literal, TypeAlias

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from protocol.errors import Damaged

ID, KEY, NONCE, TAG = 16, 32, 12, 16  # Bytes.
SEAL = NONCE + TAG
"""Bytes that belong to a sealed chunk and are not in it."""
_BLOCK = 16  # Bytes.

Bytes: TypeAlias = bytes | bytearray | memoryview
Part: TypeAlias = Literal["map", "content", "upload"]
"""What a sealed value is: a part of a chunk map, a whole small blob, what of an upload is not in chunks."""


class DataKey(msgspec.Struct, frozen=True):
    """The key of one copy of a blob."""

    id: bytes  # 16 random bytes.
    secret: bytes  # 32 random bytes; 64 for two layers.

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return f"DataKey({self.id.hex()}, ***)"


def seal_chunk(key: DataKey, index: int, data: Bytes, nonce: bytes) -> tuple[memoryview, bytes]:
    """Return the chunk as it is stored, as long, and its seal: *nonce*, drawn for this very write, and tag."""
    place = key.id + b"chunk" + index.to_bytes(4, "big")
    sealed = memoryview(_sealed(key, place, data, nonce))
    return sealed[:-TAG], nonce + bytes(sealed[-TAG:])


def open_chunk(key: DataKey, index: int, sealed: Bytes, seal: bytes) -> bytes:
    """Return the plaintext of a chunk; ``Damaged`` where one bit of anything is another one."""
    place = key.id + b"chunk" + index.to_bytes(4, "big")
    return _opened(key, place, b"".join((sealed, seal[NONCE:])), seal[:NONCE])


def open_piece(key: DataKey, seal: bytes, start: int, sealed: Bytes) -> bytes:
    """Return the plaintext of a part of a chunk that was compared before.

    Args:
        key: of the copy.
        seal: of the chunk.
        start: of the part in the chunk, in bytes; a multiple of 16.
        sealed: the part as it is stored.
    """
    # GCM encrypts from counter 2 on: 1 is the tag's.
    plain = _counter(key.secret[:KEY], seal[:NONCE], 2 + start // _BLOCK, sealed)
    if len(key.secret) > KEY:
        plain = _counter(key.secret[KEY:], seal[:NONCE], start // _BLOCK, plain)
    return plain


def seal_part(key: DataKey, part: Part, number: int, size: int, data: Bytes, nonce: bytes) -> bytes:
    """Return a value that is not a chunk, sealed, 28 bytes longer than *data*.

    Args:
        key: of the copy.
        part: what it is.
        number: which of them.
        size: what else it is bound to: the size of the blob in bytes.
        data: the plaintext.
        nonce: 12 random bytes, drawn for this very write.
    """
    return nonce + _sealed(key, _place(key, part, number, size), data, nonce)


def open_part(key: DataKey, part: Part, number: int, size: int, sealed: Bytes) -> bytes:
    """Return what ``seal_part`` sealed; ``Damaged`` where it is not that."""
    return _opened(key, _place(key, part, number, size), bytes(sealed[NONCE:]), bytes(sealed[:NONCE]))


def wrap(wrapping: bytes, key: DataKey, nonce: bytes) -> bytes:
    """Return the data key as a repository keeps it, under its own key *wrapping*."""
    return nonce + AESGCM(wrapping).encrypt(nonce, key.secret, b"data key" + key.id)


def unwrap(wrapping: bytes, id_: bytes, wrapped: bytes) -> DataKey:
    """Return the data key with this id; ``Damaged`` where it is another one, or wrapped under another key."""
    try:
        secret = AESGCM(wrapping).decrypt(wrapped[:NONCE], wrapped[NONCE:], b"data key" + id_)
    except (InvalidTag, ValueError):
        raise Damaged("a wrapped data key that its repository's key does not open") from None
    return DataKey(id_, secret)


def _place(key: DataKey, part: Part, number: int, size: int) -> bytes:
    return key.id + part.encode() + number.to_bytes(4, "big") + size.to_bytes(8, "big")


def _sealed(key: DataKey, place: bytes, data: Bytes, nonce: bytes) -> bytes:
    if len(key.secret) > KEY:
        data = _counter(key.secret[KEY:], nonce, 0, data)
    return AESGCM(key.secret[:KEY]).encrypt(nonce, data, place)


def _opened(key: DataKey, place: bytes, sealed: bytes, nonce: bytes) -> bytes:
    try:
        plain = AESGCM(key.secret[:KEY]).decrypt(nonce, sealed, place)
    except (InvalidTag, ValueError):
        raise Damaged("sealed bytes that their key does not open") from None
    return plain if len(key.secret) == KEY else _counter(key.secret[KEY:], nonce, 0, plain)


def _counter(secret: bytes, nonce: bytes, first: int, data: Bytes) -> bytes:
    """Return *data* through AES-256 in counter mode, the first block of it being number *first*."""
    return Cipher(AES256(secret), CTR(nonce + first.to_bytes(4, "big"))).encryptor().update(data)
