"""Bytes that came take their place: one rule for uploads, manifests and what other nodes send.

Where the blob is here already the bytes that came serve nobody, unless those that are here are known to be bad: then
they take the place of those, in every repository at once.
"""

from typing import NamedTuple

from node.store.blobs import BlobRow
from node.store.store import Store
from node.store.table import WriteTxn
from protocol.oci.digest import Digest


class Kept(NamedTuple):
    """What became of bytes that came."""

    is_new: bool  # They are the blob's now; if not, their chunks may go.
    freed: int  # Number of the bad chunks that they took the place of, which may go; 0: there were none.


def keep_content(
    store: Store, txn: WriteTxn, digest: Digest, row: BlobRow, content: bytes | None, hashes: bytes
) -> Kept:
    """Give a blob its bytes, which were compared with *digest*; arguments as ``Blobs.add``."""
    blobs = store.meta.blobs
    old = blobs.get(txn, digest)
    if old is not None and old.number in store.verified.bad and row.number:
        return Kept(True, blobs.replace(txn, digest, row, hashes))
    return Kept(blobs.add(txn, digest, row, content, hashes), 0)
