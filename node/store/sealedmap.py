"""Chunk maps of sealed copies: a part has up to 500 hashes of plaintext, then as many seals, and is sealed itself."""

from collections.abc import Callable, Sequence

from node.store.blobs import SEGMENT, Chunked
from node.store.chunks import chunk_count
from protocol.blobs.sealing import NONCE, SEAL, DataKey, open_chunk, open_part, seal_part
from protocol.errors import Damaged

_CHUNKS = SEGMENT // 32  # In one part.


def sealed_map(
    key: DataKey, size: int, hashes: bytes, seals: bytes, random: Callable[[int], bytes]
) -> tuple[bytes, ...]:
    """Return the parts in which the chunk map of a blob of *size* bytes is kept."""
    return tuple(
        seal_part(
            key,
            "map",
            number,
            size,
            hashes[first * 32 : (first + _CHUNKS) * 32] + seals[first * SEAL : (first + _CHUNKS) * SEAL],
            random(NONCE),
        )
        for number, first in enumerate(range(0, chunk_count(size), _CHUNKS))
    )


def opened_map(key: DataKey, size: int, parts: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the hashes and the seals of all chunks; ``Damaged`` where it is not the map of a blob of *size* bytes."""
    hashes, seals = bytearray(), bytearray()
    for number, part in enumerate(parts):
        body = open_part(key, "map", number, size, part)
        count = len(body) // (32 + SEAL)
        hashes += body[: count * 32]
        seals += body[count * 32 :]
    if len(hashes) != 32 * chunk_count(size) or len(seals) != SEAL * chunk_count(size):
        raise Damaged("a sealed chunk map that is not whole")
    return bytes(hashes), bytes(seals)


def plaintext(content: Chunked, index: int, kept: bytes) -> bytes:
    """Return a chunk of a blob as it was before it was kept; ``Damaged`` where it is sealed and cannot be opened."""
    if content.key is None:
        return kept
    return open_chunk(content.key, index, kept, content.seals[index * SEAL : index * SEAL + SEAL])
