"""Blobs, and the links through which a repository sees them.

Theory of operation
===================
A *blob* row exists once for each digest. Its ``holds`` counts what keeps it: one for each link, one for each image
whose manifest it is. A *link* lets one repository see the blob. Its ``names`` counts the images of the repository
that name the blob; it may exist before the blob does (a manifest pushed ahead of its layers), and shows nothing then,
nor where the repository only named a digest that it was never given (``seen``).

A link that no image names is due some time after it was last asked for, and a row in ``due`` says when, so that a
collector finds what to look at without a search. Counts and due rows change in the transaction of their cause.
"""

from math import ceil
from typing import NamedTuple

import lmdb
import msgspec

from node.store.table import BytesTable, ReadTxn, Table, WriteTxn
from protocol.errors import Damaged
from protocol.oci.digest import Digest, packed, unpacked

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


class Chunked(NamedTuple):
    """A blob that lies in chunks, and its chunk map, of one transaction: chunks of another one would not fit."""

    row: BlobRow
    hashes: bytes


class LinkRow(msgspec.Struct, frozen=True, array_like=True):
    """That a repository knows a blob."""

    names: int  # Images of the repository that name it.
    due: int  # Seconds since 1970, UTC; 0 while ``names`` is not.
    seen: bool  # Uploaded here, mounted here or replicated here: it may be read.


class Blobs:
    """The tables, and what keeps them in step. A repository is its u64 number."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.rows = Table(env, "blobs", BlobRow)
        """key: digest in short form -> ``BlobRow``."""
        self.contents = BytesTable(env, "contents")
        """key: digest in short form -> the bytes of a small blob."""
        self.maps = BytesTable(env, "maps")
        """key: u64 blob number, u32 segment -> up to 500 hashes of 32 bytes."""
        self.numbers = BytesTable(env, "numbers")
        """key: u64 blob number -> digest in short form."""
        self.links = Table(env, "links", LinkRow)
        """key: u64 repository, digest in short form -> ``LinkRow``."""
        self.holders = BytesTable(env, "holders")
        """key: digest in short form, u64 repository -> nothing: the links by digest."""
        self.due = BytesTable(env, "due")
        """key: u64 seconds since 1970, u64 repository or 0, digest in short form -> nothing.

        With a repository: a link to look at. With 0: a blob that nothing held when the row was written.
        """
        self._seen = 0  # The time that the last due row went by; set by the writer alone.

    # Reading.

    def get(self, txn: ReadTxn, digest: Digest) -> BlobRow | None:
        """Return the blob's row, whoever may see it."""
        return self.rows.get(txn, packed(digest))

    def content(self, txn: ReadTxn, digest: Digest) -> bytes:
        """Return the bytes of a small blob whose row is there."""
        data = self.contents.get(txn, packed(digest))
        if data is None:
            raise Damaged(f"the content of {digest} is missing")
        return data

    def small(self, txn: ReadTxn, digest: Digest) -> bytes | None:
        """Return the bytes of a blob that is here and small, else ``None``."""
        return self.contents.get(txn, packed(digest))

    def is_sound(self, txn: ReadTxn, digest: Digest) -> bool:
        """Whether the bytes of a small blob are there and pass their check."""
        try:
            return self.small(txn, digest) is not None
        except Damaged:
            return False

    def hashes(self, txn: ReadTxn, row: BlobRow) -> bytes:
        """Return the chunk map of a large blob: 32 bytes for each chunk."""
        prefix = row.number.to_bytes(8, "big")
        return b"".join(body for _, body in self.maps.items(txn, prefix, limit=2**31))

    def is_numbered(self, txn: ReadTxn, number: int) -> bool:
        """Whether a blob has its chunks under this number."""
        return self.numbers.has(txn, number.to_bytes(8, "big"))

    def link(self, txn: ReadTxn, repository: int, digest: Digest) -> LinkRow | None:
        """Return the repository's link to the blob."""
        return self.links.get(txn, _link_key(repository, packed(digest)))

    def visible(self, txn: ReadTxn, repository: int, digest: Digest) -> BlobRow | None:
        """Return the blob's row where this repository may read it and it is here."""
        link = self.link(txn, repository, digest)
        return self.get(txn, digest) if link is not None and link.seen else None

    def repositories(self, txn: ReadTxn, digest: Digest, *, limit: int) -> list[int]:
        """Return the numbers of repositories with a link to the blob."""
        keys = self.holders.keys(txn, packed(digest), limit=limit)
        return [int.from_bytes(key[-8:], "big") for key in keys]

    # Writing.

    def add(self, txn: WriteTxn, digest: Digest, row: BlobRow, content: bytes | None, hashes: bytes) -> bool:
        """Add a blob that nothing holds yet but the links that waited for it; ``False`` where it is here already.

        Small content that fails its check is replaced.

        Args:
            txn: the transaction.
            digest: of the blob; compared by the caller.
            row: its size, number and root; ``holds`` is ignored.
            content: the bytes, where *row* has no number.
            hashes: the chunk map of the blob, 32 bytes for each chunk; written where *row* has a number.
        """
        key = packed(digest)
        old = self.rows.get(txn, key)
        if old is not None:
            if content is not None and not old.number and not self.is_sound(txn, digest):
                self.contents.put(txn, key, content)
            return False
        waiting = len(self.holders.keys(txn, key, limit=2**31))
        self.rows.put(txn, key, msgspec.structs.replace(row, holds=waiting))
        if content is not None:
            self.contents.put(txn, key, content)
            return True
        self._put_map(txn, key, row.number, hashes)
        return True

    def replace(self, txn: WriteTxn, digest: Digest, row: BlobRow, hashes: bytes) -> int:
        """Give a large blob that is here other chunks of the same bytes; return the number whose chunks may go."""
        key = packed(digest)
        old = self.rows.get(txn, key)
        assert old is not None  # The caller looked in this transaction.
        self._drop_map(txn, old.number)
        self.rows.put(txn, key, msgspec.structs.replace(row, holds=old.holds))
        self._put_map(txn, key, row.number, hashes)
        return old.number

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
        self.release(txn, digest, now=now)

    def hold(self, txn: WriteTxn, digest: Digest) -> None:
        """One more link or image holds the blob, if it is here."""
        row = self.get(txn, digest)
        if row is not None:
            self.rows.put(txn, packed(digest), msgspec.structs.replace(row, holds=row.holds + 1))

    def release(self, txn: WriteTxn, digest: Digest, *, now: float) -> None:
        """One link or image fewer; what nothing holds is looked at when it is due."""
        row = self.get(txn, digest)
        if row is None:
            return
        self.rows.put(txn, packed(digest), msgspec.structs.replace(row, holds=row.holds - 1))
        if row.holds == 1:
            self.keep_for_a_day(txn, digest, now=now)

    def drop_if_free(self, txn: WriteTxn, digest: Digest) -> BlobRow | None:
        """Remove the rows of a blob that nothing holds; return what it was: chunks of its number may go.

        ``None``: it is held, or not here.
        """
        key = packed(digest)
        row = self.rows.get(txn, key)
        if row is None or row.holds > 0:
            return None
        self.rows.delete(txn, key)
        if not row.number:
            self.contents.delete(txn, key)
        else:
            self._drop_map(txn, row.number)
        return row

    def due_before(self, txn: ReadTxn, now: float, *, limit: int) -> list[tuple[int, int, Digest]]:
        """Return (due time, repository or 0, digest) of what is due, the oldest first."""
        rows = [
            (int.from_bytes(key[:8], "big"), int.from_bytes(key[8:16], "big"), unpacked(key[16:]))
            for key, _ in self.due.sound(txn, b"", limit=limit)
        ]
        return [row for row in rows if row[0] <= now]

    def put_off(self, txn: WriteTxn, when: int, repository: int, digest: Digest, *, now: float) -> None:
        """Have a due row that cannot be dealt with looked at again a day later."""
        self.undue(txn, when, repository, digest)
        key = _link_key(repository, packed(digest))
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
        self.due.delete(txn, when.to_bytes(8, "big") + _link_key(repository, packed(digest)))

    def keep_for_a_day(self, txn: WriteTxn, digest: Digest, *, now: float) -> None:
        """Have a blob that nothing holds yet looked at when what it came for has long happened."""
        self.due.put(txn, self._due(now).to_bytes(8, "big") + _link_key(0, packed(digest)), b"")

    def _put_map(self, txn: WriteTxn, key: bytes, number: int, hashes: bytes) -> None:
        place = number.to_bytes(8, "big")
        self.numbers.put(txn, place, key)
        for segment in range(ceil(len(hashes) / SEGMENT)):
            part = hashes[segment * SEGMENT : (segment + 1) * SEGMENT]
            self.maps.put(txn, place + segment.to_bytes(4, "big"), part)

    def _drop_map(self, txn: WriteTxn, number: int) -> None:
        place = number.to_bytes(8, "big")
        self.numbers.delete(txn, place)
        for part in self.maps.keys(txn, place, limit=2**31):
            self.maps.delete(txn, part)

    def _hold(self, txn: WriteTxn, repository: int, digest: Digest) -> None:
        self.holders.put(txn, packed(digest) + repository.to_bytes(8, "big"), b"")
        self.hold(txn, digest)

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


def _link_key(repository: int, key: bytes) -> bytes:
    return repository.to_bytes(8, "big") + key
