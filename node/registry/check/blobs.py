"""Blobs: their rows, small contents and chunk maps, the links through which they are seen, and what is due.

The digest of every small blob is computed again. Of large ones the map is compared with its root; ``chunks`` goes on
from there.
"""

from node.registry.check.again import is_forgotten
from node.registry.check.places import is_short, readable, short_length
from node.registry.check.walk import Walk
from node.registry.content import map_of, opened_content
from node.store.blobs import INLINE_SIZE, SEGMENT, BlobRow, LinkRow
from node.store.chunks import chunk_count
from node.store.copies import digest_length, digest_of_copy, is_copy, unpacked_copy
from node.store.sealedmap import opened_map
from protocol.blobs.chunkmap import ChunkMap
from protocol.blobs.sealing import SEAL
from protocol.errors import Damaged, PeerFault
from protocol.oci.digest import Digest, algorithm, digest_of


def walk_blobs(walk: Walk) -> None:
    """Look at each blob; its ``holds`` are what links and images hold."""
    for key, row in walk.rows(walk.meta.blobs.rows, "holds"):
        if not is_copy(key):
            walk.malformed("blobs", key)
            continue
        walk.tallies["holds"].find(key, row.holds)
        if row.holds == 0:
            walk.unheld.add(key)
        if bool(row.number) != (row.size > INLINE_SIZE):
            walk.tell("row", readable(key), f"has {row.size} bytes and number {row.number}")
        elif not row.number:
            if not walk.meta.blobs.contents.has(walk.txn, key):
                walk.tell("content", readable(key), "its content is missing")
        elif not walk.meta.blobs.is_numbered(walk.txn, row.number):
            walk.tell("index", readable(key), f"its number {row.number} is not given to it")
        else:
            _check_map(walk, key, row)


def _check_map(walk: Walk, key: bytes, row: BlobRow) -> None:
    try:
        parts = walk.meta.blobs.map_parts(walk.txn, row)
    except Damaged:
        return  # Told by the walk over maps.
    hashes = b"".join(parts)
    if row.key:
        data_key = walk.own.key_of(walk.txn, unpacked_copy(key), row)
        if data_key is None:
            return  # Nobody can look into it now.
        try:
            hashes, _ = opened_map(data_key, row.size, parts)
        except Damaged as damage:
            walk.tell("map", readable(key), str(damage))
            return
    if len(hashes) != 32 * chunk_count(row.size):
        walk.tell("map", readable(key), f"has hashes of {len(hashes) // 32} chunks, and {chunk_count(row.size)} chunks")
    elif root_of(row.size, hashes) != row.root:
        walk.tell("map", readable(key), "its chunk map has another root")


def root_of(size: int, hashes: bytes) -> bytes | None:
    """Return the root of a chunk map, ``None`` where it is none."""
    try:
        return ChunkMap(size, tuple(hashes[at : at + 32] for at in range(0, len(hashes), 32))).root
    except PeerFault:
        return None


def walk_contents(walk: Walk) -> None:
    """Compute the digest of each small blob."""
    blobs = walk.meta.blobs
    for key, data in walk.values(blobs.contents):
        if not is_copy(key):
            walk.malformed("contents", key)
            continue
        digest, row = unpacked_copy(key), walk.blob(key)
        if isinstance(row, BlobRow) and row.key:
            _check_sealed(walk, digest, row, data)
        elif row is None or (not isinstance(row, Damaged) and row.number):
            walk.tell("index", digest, "has a small content and no row that says so")
        elif digest_of(data, algorithm(digest)) != digest:
            walk.tell("content", digest, "its content has another digest")
        elif not isinstance(row, Damaged) and (row.size, row.root) != (len(data), root_of(len(data), map_of(data))):
            walk.tell("row", digest, "has another size or root than its content")


def _check_sealed(walk: Walk, copy: Digest, row: BlobRow, kept: bytes) -> None:
    key = walk.own.key_of(walk.txn, copy, row)
    if row.number:
        walk.tell("index", copy, "has a small content and no row that says so")
    elif len(kept) != row.size + SEAL:
        walk.tell("row", copy, f"says {row.size} bytes, and {len(kept)} are kept sealed")
    elif key is not None:
        try:
            data = opened_content(key, row.size, kept)
        except Damaged as damage:
            walk.tell("content", copy, str(damage))
            return
        digest = digest_of_copy(copy)
        if digest_of(data, algorithm(digest)) != digest:
            walk.tell("content", copy, "its content has another digest")


def walk_domains(walk: Walk) -> None:
    """Look at how repositories keep their bytes, and at the data keys that they keep."""
    blobs = walk.meta.blobs
    for key, row in walk.rows(blobs.domains):
        if len(key) != 8 or len(row.domain) != 8 or row.layers not in (1, 2):
            walk.malformed("domains", key)
    for key, _ in walk.values(blobs.wrapped):
        copy, image = key[:-8], key[-8:] + key[: digest_length(key) if key else 0]
        if not is_copy(copy):
            walk.malformed("data-keys", key)
        elif not (
            walk.reading.is_live
            or blobs.links.bytes.has(walk.txn, image)
            or walk.meta.images.alive.bytes.has(walk.txn, image)
        ):
            walk.tell("kept", readable(copy), "has a data key for a repository that does not see it, until it goes")


def walk_numbers(walk: Walk) -> None:
    """Compare the numbers of large blobs with the blobs, and look at their maps."""
    blobs = walk.meta.blobs
    for number, key in walk.values(blobs.numbers):
        row = walk.blob(key) if is_copy(key) else None
        if (
            len(number) != 8
            or row is None
            or (not isinstance(row, Damaged) and row.number.to_bytes(8, "big") != number)
        ):
            walk.tell("index", f"numbers {number.hex()}", f"is given to {readable(key)}, whose row has another one")
    for key, part in walk.values(blobs.maps):
        if len(key) != 12:
            walk.malformed("maps", key)
        elif not blobs.numbers.has(walk.txn, key[:8]):
            walk.tell("index", f"maps {key.hex()}", "is of a number that no blob has")
        elif not _is_part(walk, key, part):
            walk.tell("map", f"maps {key.hex()}", f"has {len(part)} bytes")


def _is_part(walk: Walk, key: bytes, part: bytes) -> bool:
    """Whether a part of a chunk map is as long as one can be."""
    try:
        short = walk.meta.blobs.numbers.get(walk.txn, key[:8])
    except Damaged:  # Told of its own row; whose this part is cannot be said.
        return True
    if short is not None and is_copy(short) and not is_short(short):
        return len(part) > SEAL and (len(part) - SEAL) % (32 + SEAL) == 0
    return bool(part) and len(part) % 32 == 0 and len(part) <= SEGMENT


def walk_links(walk: Walk) -> None:
    """Look at each link: it holds a blob that is here, is named by images or due, and found by the blob's digest."""
    blobs, tallies = walk.meta.blobs, walk.tallies
    for key, link in walk.all_rows(blobs.links, "names", "due"):
        if not is_short(key, 8):
            walk.malformed("links", key)
            continue
        walk.name_of(key)
        copy = walk.copy_key(key)
        tallies["holders"].expect(key[8:] + key[:8])
        if copy is None:
            tallies["names"].find(key, 0 if link is None else link.names)
            continue
        is_here = blobs.rows.bytes.has(walk.txn, copy)
        if is_here:
            tallies["holds"].expect(copy)
        if link is not None:
            _check_link(walk, key, link, is_here=is_here)
            if link.seen and is_here and copy != key[8:] and not blobs.wrapped.has(walk.txn, copy + key[:8]):
                walk.tell("content", walk.names.image(key), "may be read here, and its data key is missing")
    for key in walk.keys(blobs.holders):
        if len(key) != short_length(key, 0) + 8:
            walk.malformed("holders", key)
        else:
            tallies["holders"].find(key)


def _check_link(walk: Walk, key: bytes, link: LinkRow, *, is_here: bool) -> None:
    walk.tallies["names"].find(key, link.names)
    if link.due:
        walk.tallies["due"].expect(link.due.to_bytes(8, "big") + key)
    if bool(link.names) == bool(link.due) or not (link.names or link.seen):
        walk.tell("row", walk.names.image(key), f"is named by {link.names} images and due at {link.due}")
    if link.seen and not is_here:
        walk.tell("content", walk.names.image(key), "may be read here, and is missing")


def walk_due(walk: Walk) -> None:
    """Compare what is due with what has to be; a blob that is held again may still have a row of when it was not."""
    for key in walk.keys(walk.meta.blobs.due):
        if not (is_short(key, 16) if any(key[8:16]) else is_copy(key[16:])):
            walk.malformed("due", key)
        elif any(key[8:16]):
            walk.tallies["due"].find(key)
        else:
            walk.unheld.discard(key[16:])
    for key in sorted(walk.unheld):
        if walk.reading.is_live:
            walk.reading.turn()
            if not is_forgotten(walk.meta, walk.txn, key):
                continue
        walk.tell("index", readable(key), "is held by nothing, and never due to go")
