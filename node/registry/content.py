"""Bytes that came take their place: one rule for uploads, manifests and what other nodes send.

Where the copy is here already the bytes that came serve nobody, unless those that are here are known to be bad: then
they take the place of those, in every repository that sees the copy at once. A sealed copy that nobody can open any
more, since the repositories that could are gone, is as bad as one.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from blake3 import blake3

from node.store.blobs import BlobRow
from node.store.store import Store
from node.store.table import ReadTxn, WriteTxn
from protocol.blobs.sealing import DataKey, open_part
from protocol.oci.digest import Digest


class Kept(NamedTuple):
    """What became of bytes that came."""

    is_new: bool  # They are the copy's now; if not, their chunks may go.
    freed: int  # Number of the bad chunks that they took the place of, which may go; 0: there were none.


class Sealed(Protocol):
    """For whom a copy is sealed that is being written: ``sealing.SealedFor``."""

    @property
    def repository(self) -> int:
        """The repository that it came for."""

    def can_share(self, txn: ReadTxn, copy: Digest, row: BlobRow) -> bool:
        """Whether the copy that is here is sound as far as is known, and can be read by this repository as well."""

    def put_keys(self, txn: WriteTxn, copy: Digest, others: Sequence[int]) -> None:
        """Keep the data key for this repository, and for *others* that saw the copy before it got these bytes."""


def keep_content(
    store: Store,
    txn: WriteTxn,
    copy: Digest,
    row: BlobRow,
    content: bytes | None,
    hashes: bytes,
    *,
    parts: Sequence[bytes] = (),
    sealed: Sealed | None = None,
) -> Kept:
    """Give a copy its bytes, which were compared with its digest.

    Args:
        store: the store.
        txn: a write of ``meta``.
        copy: the blob's digest, or its name in the domain of the repository that it came for.
        row: as for ``Blobs.add``, as are *content*, *hashes* and *parts*.
        content: the bytes as they are kept, of a small one.
        hashes: of a large plain one.
        parts: of a large sealed one.
        sealed: for whom it is sealed; ``None``: it is kept plain.

    Raises:
        KeyUnusable: it is here, and its KMS key may not be used.
    """
    blobs = store.meta.blobs
    old = blobs.get(txn, copy)
    if sealed is None:
        if old is not None and old.number in store.verified.bad and row.number:
            return Kept(True, blobs.replace(txn, copy, row, hashes))
        return Kept(blobs.add(txn, copy, row, content, hashes), 0)
    if old is not None and sealed.can_share(txn, copy, old):
        return Kept(False, 0)
    others, freed = blobs.wrapping(txn, copy), 0
    if old is None:
        blobs.add(txn, copy, row, content, b"", parts=parts)
    else:
        freed = blobs.replace(txn, copy, row, b"", content=content, parts=parts)
    sealed.put_keys(txn, copy, others)
    return Kept(True, freed)


def opened_content(key: DataKey | None, size: int, kept: bytes) -> bytes:
    """Return the bytes of a small copy; ``Damaged`` where they are not what was sealed."""
    return kept if key is None else open_part(key, "content", 0, size, kept)


def map_of(content: bytes) -> bytes:
    """Return the chunk map of a small blob: it is one chunk, or none where it is empty."""
    return blake3(content).digest() if content else b""
