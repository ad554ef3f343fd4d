"""How far each image has come at each destination, and what was taken from each source.

At a source: one row for each image and destination says what is wanted there and how far it is. There are no job rows:
after a crash the rows that are not done are what is left to do. At a destination: one row for each image and each tag
says what was done last from that source, so that an announcement that comes twice changes nothing.
"""

from typing import Literal

import lmdb
import msgspec

from node.store.rows import image_key
from node.store.table import BytesTable, ReadTxn, Table, WriteTxn
from protocol.errors import Damaged
from protocol.events.event import Arrival
from protocol.oci.digest import Digest, packed, unpacked
from protocol.oci.names import RepositoryName

Progress = Literal["IN_PROGRESS", "COMPLETE", "FAILED"]

_encode_arrival = msgspec.msgpack.Encoder().encode
_decode_arrival = msgspec.msgpack.Decoder(Arrival).decode


class StatusRow(msgspec.Struct, frozen=True, array_like=True):
    """How far one image has come at one destination."""

    status: Progress
    wanted: int  # Number in local order of the last record that wants something there.
    done: int  # Number in local order up to which the destination has acknowledged.
    hlc: int  # Of the oldest record that is not acknowledged yet; of the last one once all is.
    failure: str = ""  # ECR's failure code.
    reason: str = ""  # For people.
    tries: int = 0  # Since the last success.
    changed: float = 0.0  # Seconds since 1970, UTC.


class Replicas:
    """The tables. A destination or source is its text, ``account/region``, ended by NUL."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.statuses = Table(env, "replication-status", StatusRow)
        """key: destination, NUL, u64 repository, digest in short form -> ``StatusRow``."""
        self.open = BytesTable(env, "replication-open")
        """key: destination, NUL, u64 ``wanted``, u64 repository, digest -> nothing: the rows that are not done."""
        self.taken_at = BytesTable(env, "replication-taken")
        """key: source, NUL, repository, NUL, digest or tag -> u64 clock of the last that was done.

        Of the source ``upstream``, which is no registry: repository, tag -> milliseconds since 1970 at which a tag that
        was pulled through was last compared (``registry.freshness``).
        """
        self.arrived = BytesTable(env, "replication-arrived")
        """key: u64 number of a record in local order -> ``Arrival``: what it says came from another registry.

        Without a body where an early version wrote it. As long as the record, for events are told from both.
        """

    def note_arrived(self, txn: WriteTxn, position: int, arrival: Arrival) -> None:
        """Say that the record came from another registry."""
        self.arrived.put(txn, position.to_bytes(8, "big"), _encode_arrival(arrival))

    def is_arrived(self, txn: ReadTxn, position: int) -> bool:
        """Whether the record came from another registry."""
        return self.arrived.has(txn, position.to_bytes(8, "big"))

    def arrival(self, txn: ReadTxn, position: int) -> Arrival | None:
        """Return how the record came from another registry, ``None`` for what was done here."""
        body = self.arrived.get(txn, position.to_bytes(8, "big"))
        return None if body is None else _decode_arrival(body) if body else Arrival()

    def status(self, txn: ReadTxn, destination: str, repository: int, digest: Digest) -> StatusRow | None:
        """Return how far the image has come there, or ``None`` if it never was for there."""
        return self.statuses.get(txn, _prefix(destination) + image_key(repository, digest))

    def put(self, txn: WriteTxn, destination: str, repository: int, digest: Digest, row: StatusRow) -> None:
        """Add or replace, and keep the open rows in step."""
        key = image_key(repository, digest)
        self._close(txn, destination, key)
        self.statuses.put(txn, _prefix(destination) + key, row)
        if row.status != "COMPLETE":
            self.open.put(txn, open_key(destination, row.wanted, key), b"")

    def delete(self, txn: WriteTxn, destination: str, repository: int, digest: Digest) -> None:
        """Forget the image there: it is no longer here either."""
        key = image_key(repository, digest)
        self._close(txn, destination, key)
        self.statuses.delete(txn, _prefix(destination) + key)

    def open_rows(
        self, txn: ReadTxn, destination: str, *, after: bytes = b"", limit: int
    ) -> list[tuple[bytes, int, Digest]]:
        """Return (place, repository, digest) of images that are not done there, those wanted first at the front.

        *after* is the place of the last one of the page before.
        """
        prefix = _prefix(destination)
        keys = [key[len(prefix) :] for key, _ in self.open.sound(txn, prefix, after=after, limit=limit)]
        return [(key, int.from_bytes(key[8:16], "big"), unpacked(key[16:])) for key in keys]

    def page(
        self, txn: ReadTxn, destination: str, *, after: bytes = b"", limit: int
    ) -> list[tuple[int, Digest, StatusRow]]:
        """Return how far images have come there, by repository number and digest, beyond the key *after*."""
        prefix = _prefix(destination)
        rows = self.statuses.sound(txn, prefix, after=after, limit=limit)
        return [
            (int.from_bytes(key[len(prefix) : len(prefix) + 8], "big"), unpacked(key[len(prefix) + 8 :]), row)
            for key, row in rows
        ]

    def _close(self, txn: WriteTxn, destination: str, key: bytes) -> None:
        """Delete the open row of an image, also where its status is damaged and does not tell which one that is."""
        try:
            old = self.statuses.get(txn, _prefix(destination) + key)
        except Damaged:
            for place in self.open.keys(txn, _prefix(destination), limit=2**31):
                if place.endswith(key):
                    self.open.delete(txn, place)
            return
        if old is not None and old.status != "COMPLETE":
            self.open.delete(txn, open_key(destination, old.wanted, key))

    def destinations(self, txn: ReadTxn) -> list[str]:
        """Return every destination that has a row."""
        found: list[str] = []
        after = b""
        while keys := self.statuses.bytes.keys(txn, b"", after=after, limit=1):
            name = keys[0].partition(b"\0")[0]
            found.append(name.decode())
            after = name + b"\1"
        return found

    def taken(self, txn: ReadTxn, source: str, repository: RepositoryName, what: str) -> int:
        """Return the clock of what was last done for a digest or tag from *source*, 0 if nothing was."""
        return int.from_bytes(self.taken_at.get(txn, _taken_key(source, repository, what)) or b"", "big")

    def take(self, txn: WriteTxn, source: str, repository: RepositoryName, what: str, hlc: int) -> None:
        """Take note of what was done."""
        self.taken_at.put(txn, _taken_key(source, repository, what), hlc.to_bytes(8, "big"))


def status_place(repository: int, digest: Digest) -> bytes:
    """Return where ``Replicas.page`` goes on after this image."""
    return repository.to_bytes(8, "big") + packed(digest)


def _prefix(registry: str) -> bytes:
    return registry.encode() + b"\0"


def open_key(destination: str, wanted: int, key: bytes) -> bytes:
    """Return the place of a row that is not done; *key* is u64 repository and digest in short form."""
    return _prefix(destination) + wanted.to_bytes(8, "big") + key


def _taken_key(source: str, repository: RepositoryName, what: str) -> bytes:
    return f"{source}\0{repository}\0{what}".encode()
