"""Blobs, and the links through which a repository sees them.

Theory of operation
===================
A *blob* row exists once for each digest. Its ``holds`` counts what keeps it: one for each link, one for each image
whose manifest it is. A *link* lets one repository see the blob. Its ``names`` counts the images of the repository
that name the blob; it may exist before the blob does (a manifest pushed ahead of its layers), and shows nothing then,
nor where the repository only named a digest that it was never given (``seen``).

Each encryption domain has a copy of its own of a blob (``copies``), with a row of its own; what is a *digest* in the
arguments here may name any copy. A link is a repository's, and the repository's domain says which copy it is to. Who
reads a sealed copy needs its data key, which is kept wrapped for each repository that sees the copy; an image holds its
manifest's copy in the same way.

A link that no image names is due some time after it was last asked for, and a row in ``due`` says when, so that a
collector finds what to look at without a search. Counts and due rows change in the transaction of their cause.
"""

from collections.abc import Sequence
from typing import NamedTuple

import lmdb
import msgspec

from node.store.copies import PLAIN, copy_in, digest_of_copy, domain_of_copy, packed_copy, unpacked_copy
from node.store.table import BytesTable, ReadTxn, Table, WriteTxn
from protocol.blobs.sealing import DataKey
from protocol.errors import Damaged
from protocol.oci.digest import Digest, packed

INLINE_SIZE = 16_320  # Bytes: with its seal and the page header such a value fills 4 pages.
DUE_AFTER = 25 * 3600  # Seconds: 24 hours are promised, and a due time moves at most once an hour.
BACK = 2 * 86_400  # Seconds by which a clock that goes back is not believed yet, where that would cost a promise.
_RENEW_AFTER = 3600  # Seconds.
SEGMENT = 500 * 32  # Bytes of a chunk map in one value.


class BlobRow(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a blob that is wholly here."""

    size: int  # Bytes.
    number: int  # Of its chunks; 0: its bytes are in ``contents``.
    root: bytes  # Of its chunk map, 32 bytes.
    holds: int  # Links and images; 0 only within a transaction.
    key: bytes = b""  # Id of its data key, 16 bytes; empty: it lies plain.


class Chunked(NamedTuple):
    """A blob that lies in chunks, and its chunk map, of one transaction: chunks of another one would not fit."""

    row: BlobRow
    hashes: bytes
    seals: bytes = b""
    """Of a sealed one: 28 bytes for each chunk."""
    key: DataKey | None = None


class DomainRow(msgspec.Struct, frozen=True, array_like=True):
    """How a repository keeps its bytes; one without such a row keeps them plain."""

    domain: bytes  # 8 bytes: see ``copies``.
    key: bytes  # Id of its key, 16 bytes; empty: the key was destroyed, and what lay here is on its way out.
    layers: int = 1  # How often a byte is encrypted: twice for KMS_DSSE.


class LinkRow(msgspec.Struct, frozen=True, array_like=True):
    """That a repository knows a blob."""

    names: int  # Images of the repository that name it.
    due: int  # Seconds since 1970, UTC; 0 while ``names`` is not.
    seen: bool  # Uploaded here, mounted here or replicated here: it may be read.


class Blobs:
    """The tables, and what keeps them in step. A repository is its u64 number."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.rows = Table(env, "blobs", BlobRow)
        """key: copy in short form -> ``BlobRow``."""
        self.contents = BytesTable(env, "contents")
        """key: copy in short form -> the bytes of a small blob, as they are kept."""
        self.maps = BytesTable(env, "maps")
        """key: u64 blob number, u32 segment -> up to 500 hashes of 32 bytes; of a sealed copy see ``sealedmap``."""
        self.numbers = BytesTable(env, "numbers")
        """key: u64 blob number -> copy in short form."""
        self.links = Table(env, "links", LinkRow)
        """key: u64 repository, digest in short form -> ``LinkRow``."""
        self.holders = BytesTable(env, "holders")
        """key: digest in short form, u64 repository -> nothing: the links by digest."""
        self.due = BytesTable(env, "due")
        """key: u64 seconds since 1970, u64 repository or 0, digest or copy in short form -> nothing.

        With a repository: a link to look at. With 0: a copy that nothing held when the row was written.
        """
        self.domains = Table(env, "domains", DomainRow)
        """key: u64 repository -> ``DomainRow``."""
        self.wrapped = BytesTable(env, "data-keys")
        """key: copy in short form, u64 repository -> its data key, under the repository's key."""
        self._images = BytesTable(env, "images")  # Whose manifests hold copies.
        self._seen = 0  # The time that the last due row went by; set by the writer alone.

    # Reading.

    def domain(self, txn: ReadTxn, repository: int) -> bytes:
        """Return the domain of a repository, which never changes; nothing for one that keeps its bytes plain."""
        row = self.domains.get(txn, repository.to_bytes(8, "big"))
        return PLAIN if row is None else row.domain

    def copy(self, txn: ReadTxn, repository: int, digest: Digest) -> Digest:
        """Return the name of the copy that the repository sees or would see."""
        return copy_in(digest, self.domain(txn, repository))

    def get(self, txn: ReadTxn, digest: Digest) -> BlobRow | None:
        """Return the row of a copy, whoever may see it."""
        return self.rows.get(txn, packed_copy(digest))

    def content(self, txn: ReadTxn, digest: Digest) -> bytes:
        """Return the bytes of a small copy whose row is there, as they are kept."""
        data = self.contents.get(txn, packed_copy(digest))
        if data is None:
            raise Damaged(f"the content of {digest} is missing")
        return data

    def small(self, txn: ReadTxn, digest: Digest) -> bytes | None:
        """Return the bytes of a copy that is here and small, as they are kept, else ``None``."""
        return self.contents.get(txn, packed_copy(digest))

    def is_sound(self, txn: ReadTxn, digest: Digest) -> bool:
        """Whether the bytes of a small copy are there and pass their check."""
        try:
            return self.small(txn, digest) is not None
        except Damaged:
            return False

    def hashes(self, txn: ReadTxn, row: BlobRow) -> bytes:
        """Return the chunk map of a large plain blob: 32 bytes for each chunk."""
        return b"".join(self.map_parts(txn, row))

    def map_parts(self, txn: ReadTxn, row: BlobRow) -> list[bytes]:
        """Return the parts of the chunk map of a large blob as they are kept, in order."""
        return [body for _, body in self.maps.items(txn, row.number.to_bytes(8, "big"), limit=2**31)]

    def is_numbered(self, txn: ReadTxn, number: int) -> bool:
        """Whether a blob has its chunks under this number."""
        return self.numbers.has(txn, number.to_bytes(8, "big"))

    def link(self, txn: ReadTxn, repository: int, digest: Digest) -> LinkRow | None:
        """Return the repository's link to the blob."""
        return self.links.get(txn, _link_key(repository, packed(digest)))

    def visible(self, txn: ReadTxn, repository: int, digest: Digest) -> BlobRow | None:
        """Return the blob's row where this repository may read it and it is here."""
        link = self.link(txn, repository, digest)
        return self.get(txn, self.copy(txn, repository, digest)) if link is not None and link.seen else None

    def wrapped_key(self, txn: ReadTxn, repository: int, copy: Digest) -> bytes | None:
        """Return the data key of a copy as the repository keeps it, ``None`` where it has none."""
        return self.wrapped.get(txn, packed_copy(copy) + repository.to_bytes(8, "big"))

    def wrapping(self, txn: ReadTxn, copy: Digest) -> list[int]:
        """Return the numbers of repositories that keep the data key of a copy."""
        return [int.from_bytes(key[-8:], "big") for key in self.wrapped.keys(txn, packed_copy(copy), limit=2**31)]

    def repositories(self, txn: ReadTxn, digest: Digest, *, limit: int) -> list[int]:
        """Return the numbers of repositories with a link to the blob, to whichever copy."""
        keys = self.holders.keys(txn, packed(digest_of_copy(digest)), limit=limit)
        return [int.from_bytes(key[-8:], "big") for key in keys]

    # Writing.

    def add(
        self,
        txn: WriteTxn,
        digest: Digest,
        row: BlobRow,
        content: bytes | None,
        hashes: bytes,
        *,
        parts: Sequence[bytes] = (),
    ) -> bool:
        """Add a copy that nothing holds yet but the links that waited for it; ``False`` where it is here already.

        Small content that fails its check is replaced.

        Args:
            txn: the transaction.
            digest: of the blob, compared by the caller, or the copy.
            row: its size, number and root; ``holds`` is ignored.
            content: the bytes as they are kept, where *row* has no number.
            hashes: the chunk map of the blob, 32 bytes for each chunk; written where *row* has a number.
            parts: the chunk map of a sealed copy, as it is kept; then *hashes* is not looked at.
        """
        key = packed_copy(digest)
        old = self.rows.get(txn, key)
        if old is not None:
            if content is not None and not old.number and not row.key and not self.is_sound(txn, digest):
                self.contents.put(txn, key, content)
            return False
        waiting = self.waiting(txn, digest)
        self.rows.put(txn, key, msgspec.structs.replace(row, holds=waiting))
        if content is not None:
            self.contents.put(txn, key, content)
            return True
        self._put_map(txn, key, row.number, parts or map_parts(hashes))
        return True

    def replace(
        self,
        txn: WriteTxn,
        digest: Digest,
        row: BlobRow,
        hashes: bytes,
        *,
        content: bytes | None = None,
        parts: Sequence[bytes] = (),
    ) -> int:
        """Give a copy that is here other bytes, which make the same; return the number whose chunks may go, or 0.

        Arguments as ``add``. The data keys that repositories keep of it open it no more, and go.
        """
        key = packed_copy(digest)
        old = self.rows.get(txn, key)
        assert old is not None  # The caller looked in this transaction.
        if old.number:
            self._drop_map(txn, old.number)
        for wrapped in self.wrapped.keys(txn, key, limit=2**31) if old.key else ():
            self.wrapped.delete(txn, wrapped)
        self.rows.put(txn, key, msgspec.structs.replace(row, holds=old.holds))
        if content is not None:
            self.contents.put(txn, key, content)
        else:
            self._put_map(txn, key, row.number, parts or map_parts(hashes))
        return old.number

    def put_domain(self, txn: WriteTxn, repository: int, row: DomainRow) -> None:
        """Say how a repository keeps its bytes, before anything lies in it."""
        self.domains.put(txn, repository.to_bytes(8, "big"), row)

    def shred(self, txn: WriteTxn, repository: int) -> None:
        """Let go of the key of a repository that is deleted: nobody can read through it from now on."""
        row = self.domains.get(txn, repository.to_bytes(8, "big"))
        if row is not None:
            self.put_domain(txn, repository, msgspec.structs.replace(row, key=b""))

    def drop_domain(self, txn: WriteTxn, repository: int) -> None:
        """Forget how a repository kept its bytes, of which nothing is left."""
        self.domains.delete(txn, repository.to_bytes(8, "big"))

    def put_wrapped(self, txn: WriteTxn, repository: int, copy: Digest, wrapped: bytes) -> None:
        """Keep the data key of a copy for a repository."""
        self.wrapped.put(txn, packed_copy(copy) + repository.to_bytes(8, "big"), wrapped)

    def let_go(self, txn: WriteTxn, repository: int, digest: Digest, *, now: float) -> None:
        """An image of the repository that was the blob's manifest is gone: one fewer holds the copy."""
        copy = self.copy(txn, repository, digest)
        if self.link(txn, repository, digest) is None:
            self._drop_wrapped(txn, repository, copy)
        self.release(txn, copy, now=now)

    def show(self, txn: WriteTxn, repository: int, digest: Digest, *, now: float) -> None:
        """Let the repository see the blob, and put off its due time."""
        key = _link_key(repository, packed(digest))
        link = self.links.get(txn, key)
        if link is not None and link.names:
            if not link.seen:
                self.links.put(txn, key, LinkRow(link.names, 0, seen=True))
            return
        if link is None:
            self._hold(txn, repository, digest)
        self._put_due(txn, key, link, now)

    def needs_renewal(self, link: LinkRow, *, now: float) -> bool:
        """Whether the link has a due time that was last put off an hour ago or earlier."""
        return bool(link.due) and link.due - self._latest(now) < DUE_AFTER - _RENEW_AFTER

    def renew(self, txn: WriteTxn, repository: int, digest: Digest, *, now: float) -> bool:
        """Put off the due time of a link that no image names; ``False`` where there is no link any more."""
        key = _link_key(repository, packed(digest))
        link = self.links.get(txn, key)
        if link is not None and self.needs_renewal(link, now=now):
            self._put_due(txn, key, link, now)
        return link is not None

    def name(self, txn: WriteTxn, repository: int, digest: Digest) -> None:
        """One more image of the repository names the blob."""
        key = _link_key(repository, packed(digest))
        link = self.links.get(txn, key)
        if link is None:
            self._hold(txn, repository, digest)
            self.links.put(txn, key, LinkRow(1, 0, seen=False))
            return
        if link.due:
            self.due.delete(txn, link.due.to_bytes(8, "big") + key)
        self.links.put(txn, key, LinkRow(link.names + 1, 0, link.seen))

    def unname(self, txn: WriteTxn, repository: int, digest: Digest, *, now: float) -> None:
        """One image fewer names the blob; the last one leaves a due time behind."""
        key = _link_key(repository, packed(digest))
        link = self.links.get(txn, key)
        if link is None:
            raise Damaged(f"{digest} was named in repository {repository} without a link")
        if link.names > 1:
            self.links.put(txn, key, LinkRow(link.names - 1, 0, link.seen))
        elif link.seen:
            self._put_due(txn, key, link, now)
        else:
            self.unlink(txn, repository, digest, now=now)

    def unlink(self, txn: WriteTxn, repository: int, digest: Digest, *, now: float) -> None:
        """Take away a link, so that the repository no longer sees the blob."""
        key = _link_key(repository, packed(digest))
        link = self.links.get(txn, key)
        if link is None:
            return
        if link.due:
            self.due.delete(txn, link.due.to_bytes(8, "big") + key)
        self.links.delete(txn, key)
        self.holders.delete(txn, packed(digest) + repository.to_bytes(8, "big"))
        copy = self.copy(txn, repository, digest)
        if not self._images.has(txn, key):
            self._drop_wrapped(txn, repository, copy)
        self.release(txn, copy, now=now)

    def hold(self, txn: WriteTxn, digest: Digest) -> None:
        """One more link or image holds the blob, if it is here."""
        row = self.get(txn, digest)
        if row is not None:
            self.rows.put(txn, packed_copy(digest), msgspec.structs.replace(row, holds=row.holds + 1))

    def release(self, txn: WriteTxn, digest: Digest, *, now: float) -> None:
        """One link or image fewer; what nothing holds is looked at when it is due."""
        row = self.get(txn, digest)
        if row is None:
            return
        self.rows.put(txn, packed_copy(digest), msgspec.structs.replace(row, holds=row.holds - 1))
        if row.holds == 1:
            self.keep_for_a_day(txn, digest, now=now)

    def drop_if_free(self, txn: WriteTxn, digest: Digest) -> BlobRow | None:
        """Remove the rows of a blob that nothing holds; return what it was: chunks of its number may go.

        ``None``: it is held, or not here.
        """
        key = packed_copy(digest)
        row = self.rows.get(txn, key)
        if row is None or row.holds > 0:
            return None
        self.rows.delete(txn, key)
        for wrapped in self.wrapped.keys(txn, key, limit=2**31) if row.key else ():
            self.wrapped.delete(txn, wrapped)  # Of a repository for which it was fetched, and that never saw it.
        if not row.number:
            self.contents.delete(txn, key)
        else:
            self._drop_map(txn, row.number)
        return row

    def due_before(self, txn: ReadTxn, now: float, *, limit: int) -> list[tuple[int, int, Digest]]:
        """Return (due time, repository or 0, digest or, with 0, copy) of what is due, the oldest first."""
        rows = [
            (int.from_bytes(key[:8], "big"), int.from_bytes(key[8:16], "big"), unpacked_copy(key[16:]))
            for key, _ in self.due.sound(txn, b"", limit=limit)
        ]
        return [row for row in rows if row[0] <= now]

    def put_off(self, txn: WriteTxn, when: int, repository: int, digest: Digest, *, now: float) -> None:
        """Have a due row that cannot be dealt with looked at again a day later."""
        self.undue(txn, when, repository, digest)
        key = _link_key(repository, packed_copy(digest))
        try:
            link = self.links.get(txn, key) if repository else None
        except Damaged:
            link = None
        if link is not None and link.due == when:
            self.links.put(txn, key, LinkRow(0, int(now) + DUE_AFTER, link.seen))
        if link is None or link.due == when:
            self.due.put(txn, (int(now) + DUE_AFTER).to_bytes(8, "big") + key, b"")

    def undue(self, txn: WriteTxn, when: int, repository: int, digest: Digest) -> None:
        """Delete a due row that is being dealt with."""
        self.due.delete(txn, when.to_bytes(8, "big") + _link_key(repository, packed_copy(digest)))

    def keep_for_a_day(self, txn: WriteTxn, digest: Digest, *, now: float) -> None:
        """Have a blob that nothing holds yet looked at when what it came for has long happened."""
        self.due.put(txn, self._due(now).to_bytes(8, "big") + _link_key(0, packed_copy(digest)), b"")

    def _put_map(self, txn: WriteTxn, key: bytes, number: int, parts: Sequence[bytes]) -> None:
        place = number.to_bytes(8, "big")
        self.numbers.put(txn, place, key)
        for segment, part in enumerate(parts):
            self.maps.put(txn, place + segment.to_bytes(4, "big"), part)

    def waiting(self, txn: ReadTxn, copy: Digest) -> int:
        """Return how many links there are to a copy."""
        repositories, domain = self.repositories(txn, copy, limit=2**31), domain_of_copy(copy)
        if not domain and not self.domains.bytes.count(txn):
            return len(repositories)
        return sum(self.domain(txn, one) == domain for one in repositories)

    def _drop_wrapped(self, txn: WriteTxn, repository: int, copy: Digest) -> None:
        if domain_of_copy(copy):
            self.wrapped.delete(txn, packed_copy(copy) + repository.to_bytes(8, "big"))

    def _drop_map(self, txn: WriteTxn, number: int) -> None:
        place = number.to_bytes(8, "big")
        self.numbers.delete(txn, place)
        for part in self.maps.keys(txn, place, limit=2**31):
            self.maps.delete(txn, part)

    def _hold(self, txn: WriteTxn, repository: int, digest: Digest) -> None:
        self.holders.put(txn, packed(digest) + repository.to_bytes(8, "big"), b"")
        self.hold(txn, self.copy(txn, repository, digest))

    def _put_due(self, txn: WriteTxn, key: bytes, old: LinkRow | None, now: float) -> None:
        if old is not None and old.due:
            self.due.delete(txn, old.due.to_bytes(8, "big") + key)
        due = self._due(now)
        self.due.put(txn, due.to_bytes(8, "big") + key, b"")
        self.links.put(txn, key, LinkRow(0, due, seen=True))

    def _due(self, now: float) -> int:
        self._seen = self._latest(now)
        return self._seen + DUE_AFTER

    def _latest(self, now: float) -> int:
        """Return *now*, or the time that was seen before where the clock has gone back by less than ``BACK``.

        A clock that goes back, and forth again later, would shorten the day that a blob was promised.
        """
        return self._seen if 0 < self._seen - now < BACK else int(now)


def map_parts(hashes: bytes) -> list[bytes]:
    """Return the chunk map of a plain blob in the parts in which it is kept."""
    return [hashes[at : at + SEGMENT] for at in range(0, len(hashes), SEGMENT)]


def _link_key(repository: int, key: bytes) -> bytes:
    return repository.to_bytes(8, "big") + key
