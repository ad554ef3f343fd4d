"""Bytes of blobs and manifests, chunk maps, records: mended from what is here, another node, or a backup.

What is sealed is opened to be compared, and what comes is sealed again as it was, under the nonce that its chunk map
says: the same bytes under the same nonce are the same sealed bytes. Without its key nothing of it is mended. A sealed
chunk map has the only copy of its seals: where a part of it is lost the blob has to be pushed again, which replaces it.

A bad chunk is fetched alone, compared with the map, and written over the bad one, in its place in the file: LMDB would
look at the page that cannot be read, and give the chunk another place while somebody sends the old one. A chunk that
matches when it is read again was hurt on its way from the disk, and is left as it is.
"""

from collections.abc import Callable

import trio
from blake3 import blake3

from node.registry.backup.archive import find_chunk, find_content, find_record, open_archive
from node.registry.blobs import content_of_number
from node.registry.check.blobs import root_of
from node.registry.damage import copy_of_number
from node.registry.mending.lost import Lost
from node.registry.registry import Registry
from node.registry.sealing import any_data_key, sealed_content
from node.store.blobs import INLINE_SIZE, SEGMENT, BlobRow, Chunked
from node.store.chunks import chunk_count
from node.store.copies import digest_of_copy, domain_of_copy, is_copy, unpacked_copy
from node.store.damage import Place, number_and_index
from node.store.sealedmap import plaintext
from node.store.table import ReadTxn, WriteTxn
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.blobs.sealing import NONCE, SEAL, seal_chunk
from protocol.errors import Damaged, NotReady
from protocol.oci.digest import Digest, algorithm, digest_of, packed, unpacked
from protocol.oci.names import RepositoryName
from protocol.sync.record import read_record, record_hash

_NEAR = 100  # Records behind a damaged one among which the next of its writer is, as a rule.
_MAX_NAMES = 16  # Repositories in whose name others are asked for a blob.
_NOBODY = "no other node in reach has it; push it again, or name a backup: entrepot scrub --from BACKUP"


async def mend_chunk(registry: Registry, place: Place) -> None:
    """Give a blob the right bytes of one chunk; ``Lost`` where nobody has them now."""
    store, (number, index) = registry.store, number_and_index(place)
    content, copy = content_of_number(registry, number), copy_of_number(registry, number)
    if content is None or copy is None:
        if _is_named(registry, number):
            raise Lost("the rows of its blob are damaged, too, or nobody has its key", may_come=True)
        store.verified.note_good(number, index)  # It was replaced, or is gone.
        return
    if await trio.to_thread.run_sync(_matches, registry, content, index):
        store.verified.note_good(number, index)
        return
    data = await _fetched(registry, digest_of_copy(copy), content, index)
    if data is None:
        raise Lost(_NOBODY, may_come=True)
    kept = _kept(content, index, data)
    store.leases.take(number)  # So that its place stays its own: whoever frees chunks looks at leases before.
    try:
        if _is_named(registry, number):
            await trio.to_thread.run_sync(store.chunks.rewrite, number, index, kept)
    except LookupError as error:
        raise Lost("it is missing, and pushing it again mends it") from error
    finally:
        store.leases.release(number)
    store.verified.note_good(number, index)


async def mend_content(registry: Registry, key: bytes) -> None:
    """Give a small blob or manifest its bytes again; ``Lost`` where nobody has them now."""
    blobs = registry.store.meta.blobs
    if not is_copy(key):
        raise Lost("its key is none", is_nobodys=True)
    copy = unpacked_copy(key)
    with registry.store.meta.read() as txn:
        try:
            row = blobs.rows.get(txn, key)
        except Damaged:  # It is worked out again from these bytes, once they are here.
            row = BlobRow(INLINE_SIZE, 0, b"", 0)
        data_key = None if row is None else any_data_key(registry, txn, copy, row)
    if row is None or row.number:
        raise Lost("no blob has these bytes", is_nobodys=True)
    if data_key is None and domain_of_copy(copy):
        raise Lost("its row is damaged, too", may_come=True)
    digest = digest_of_copy(copy)
    data = await _fetched(registry, digest, Chunked(row, b""), 0)
    if data is None:
        raise Lost(_NOBODY, may_come=True)

    kept = sealed_content(registry, data_key, data)

    def run(txn: WriteTxn) -> None:
        if not blobs.is_sound(txn, copy):
            blobs.contents.remove(txn, key)
            blobs.contents.put(txn, key, kept)

    await registry.store.writer.write(run)


async def mend_map(registry: Registry, key: bytes) -> None:
    """Work out a part of a chunk map from the chunks; from another node where they do not lead to the root."""
    meta, number = registry.store.meta, int.from_bytes(key[:8], "big")
    with meta.read() as txn:
        short = meta.blobs.numbers.get(txn, key[:8])
        row = None if short is None else meta.blobs.rows.get(txn, short)
    if short is None or row is None or row.number != number:
        raise Lost("no blob has this number", is_nobodys=True)
    if row.key:
        registry.store.verified.note_bad(number, 0)  # So that it is said to be missing, and a push replaces it.
        raise Lost("it is sealed, and has the only copy of its seals: push the blob again", may_come=True)
    segment = int.from_bytes(key[8:], "big")
    if len(key) != 12 or segment * SEGMENT >= chunk_count(row.size) * 32:
        raise Lost("its key is none", is_nobodys=True)
    hashes = await trio.to_thread.run_sync(_hashes_of, registry, row)
    if root_of(row.size, hashes) != row.root:
        digest = unpacked(short)
        names = await trio.to_thread.run_sync(_names, registry, digest)
        hashes = await registry.elsewhere.chunk_map(registry, names, digest, row.root)
    if not hashes:
        raise Lost("a chunk is damaged, too, and " + _NOBODY, may_come=True)
    part = hashes[segment * SEGMENT : (segment + 1) * SEGMENT]

    def run(txn: WriteTxn) -> None:
        if meta.blobs.is_numbered(txn, number):
            meta.blobs.maps.remove(txn, key)
            meta.blobs.maps.put(txn, key, part)

    await registry.store.writer.write(run)


async def _fetched(registry: Registry, digest: Digest, content: Chunked, index: int) -> bytes | None:
    """Return the right bytes of a chunk from another node: as a chunk of a blob, or of the manifest that it is."""
    row, start = content.row, index * CHUNK_SIZE
    length = min(CHUNK_SIZE, row.size - start)
    is_known = bool(row.root)  # Else its size is not known either.
    names = await trio.to_thread.run_sync(_names, registry, digest)
    manifests = [name for name in names if _is_image(registry, name, digest)]
    if manifests:
        data = await registry.elsewhere.manifest_bytes(registry, manifests, digest)
        if data is not None and (len(data) == row.size or not is_known):
            return data[start : start + length]
    expected = content.hashes[index * 32 : index * 32 + 32]

    def is_right(data: bytes) -> bool:
        if expected:
            return len(data) == length and blake3(data).digest() == expected
        return (len(data) == length or not is_known) and digest_of(data, algorithm(digest)) == digest

    data = await registry.elsewhere.chunk(registry, names, digest, row.root, index)
    if data is not None and is_right(data):
        return data
    return await trio.to_thread.run_sync(_of_backup, registry, digest, index, is_right)


def _of_backup(registry: Registry, digest: Digest, index: int, is_right: Callable[[bytes], bool]) -> bytes | None:
    try:
        archive = None if registry.repairs.backup is None else open_archive(registry.repairs.backup)
        if archive is None:
            return None
        small = find_content(archive, digest) if index == 0 else None
        return small if small is not None and is_right(small) else find_chunk(archive, digest, index, is_right)
    except (Damaged, NotReady, OSError):  # It is not in reach any more.
        return None


async def mend_record(registry: Registry, key: bytes) -> None:
    """Take a record of the journal from a backup: the hash in the next one, or in the head, says which is right."""
    journal, position = registry.store.meta.journal, int.from_bytes(key, "big")
    if registry.repairs.backup is None:
        raise Lost("a backup of this node has it: entrepot scrub --from BACKUP", may_come=True)
    hashes = await trio.to_thread.run_sync(_hashes_after, registry, position)
    root = registry.repairs.backup

    def find() -> bytes | None:
        return find_record(open_archive(root), position, lambda data: record_hash(data) in hashes)

    try:
        data = await trio.to_thread.run_sync(find)
    except (Damaged, NotReady, OSError) as error:
        raise Lost(f"the backup cannot be read: {error}", may_come=True) from error
    if data is None:
        raise Lost("the backup has not got it either", may_come=True)

    def run(txn: WriteTxn) -> None:
        journal.records.remove(txn, key)
        journal.records.put(txn, key, data)

    await registry.store.writer.write(run)


def _hashes_after(registry: Registry, position: int) -> set[bytes]:
    """Return the hashes that one of the records may have of which a later one, or the end of a chain, is known."""
    journal = registry.store.meta.journal
    with registry.store.meta.read() as txn:
        found = {head.hash for _, head in journal.heads.sound(txn, b"", limit=2**31)}
        for _, data in journal.after(txn, position, limit=_NEAR):
            if data is not None:
                found.add(read_record(data).prev)
    return found


def _names(registry: Registry, digest: Digest) -> list[RepositoryName]:
    """Return repositories that have the blob, or the image: others know it by the same names. Slow: for a thread."""
    meta, found = registry.store.meta, list[RepositoryName]()
    with meta.read() as txn:
        for number in meta.blobs.repositories(txn, digest, limit=_MAX_NAMES):
            name = _name(registry, txn, number)
            if name is not None:
                found.append(name)
        for key in meta.repositories.numbers.keys(txn, b"", limit=2**31):
            if len(found) >= _MAX_NAMES:
                break
            if meta.images.alive.bytes.has(txn, key + packed(digest)):
                name = _name(registry, txn, int.from_bytes(key, "big"))
                if name is not None and name not in found:
                    found.append(name)
    return found


def _name(registry: Registry, txn: ReadTxn, number: int) -> RepositoryName | None:
    try:
        return registry.store.meta.repositories.name(txn, number)
    except Damaged:
        return None


def _is_image(registry: Registry, name: RepositoryName, digest: Digest) -> bool:
    meta = registry.store.meta
    with meta.read() as txn:
        try:
            row = meta.repositories.get(txn, name)
        except Damaged:
            return False
        return row is not None and meta.images.is_alive(txn, row.number, digest)


def _is_named(registry: Registry, number: int) -> bool:
    with registry.store.meta.read() as txn:
        return registry.store.meta.blobs.is_numbered(txn, number)


def _matches(registry: Registry, content: Chunked, index: int) -> bool:
    length = min(CHUNK_SIZE, content.row.size - index * CHUNK_SIZE)
    try:
        data = plaintext(content, index, registry.store.chunks.load(content.row.number, index, length))
    except Damaged:
        return False
    return blake3(data).digest() == content.hashes[index * 32 : index * 32 + 32]


def _kept(content: Chunked, index: int, data: bytes) -> bytes:
    """Return the right bytes of a chunk as they were kept."""
    if content.key is None:
        return data
    seal = content.seals[index * SEAL : index * SEAL + SEAL]
    kept, again = seal_chunk(content.key, index, data, seal[:NONCE])
    if again != seal:
        raise Lost("its seal is another one: push the blob again", may_come=True)
    return bytes(kept)


def _hashes_of(registry: Registry, row: BlobRow) -> bytes:
    """Return the hashes of all chunks of a blob as they are; nothing where one cannot be read."""
    found = bytearray()
    try:
        for index in range(chunk_count(row.size)):
            length = min(CHUNK_SIZE, row.size - index * CHUNK_SIZE)
            found += blake3(registry.store.chunks.load(row.number, index, length)).digest()
    except Damaged:
        return b""
    return bytes(found)
