"""The ``meta`` environment: everything small, in one file and one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lmdb

from node.store.audit import Audit
from node.store.blobs import Blobs
from node.store.damage import Damages
from node.store.documents import Documents
from node.store.journal import Journal
from node.store.notes import Notes
from node.store.registers import Registers
from node.store.replicas import Replicas
from node.store.rows import Images, Repositories, Tags
from node.store.sums import Sums
from node.store.table import MAX_READERS, BytesTable, Noticed, ReadTxn, WriteTxn
from node.store.uploads import Uploads
from protocol.errors import StoreReadOnly

MAP_SIZE = 2**40  # Bytes of address space set aside, not of disk. Never changed while the node runs.
MAX_TABLES = 64  # LMDB wants to know beforehand; a slot costs 96 bytes in a transaction.


@dataclass(frozen=True, slots=True)
class Meta:
    """The environment and its tables."""

    env: "lmdb.Environment"
    repositories: Repositories
    images: Images
    tags: Tags
    blobs: Blobs
    uploads: Uploads
    journal: Journal
    sums: Sums
    documents: Documents
    replicas: Replicas
    registers: Registers
    audit: Audit
    notes: Notes
    damages: Damages
    noticed: Noticed

    def read(self) -> ReadTxn:
        """Begin a read, for a ``with`` that holds no ``await``: a reader pins free pages.

        Raises:
            StoreReadOnly: the last page of a commit could not be written, and the node is about to open the store anew.
        """
        try:
            return self.env.begin()
        except lmdb.PanicError as error:
            raise StoreReadOnly("the disk failed; the store is being opened anew") from error

    def nested(self, txn: WriteTxn) -> WriteTxn:
        """Begin a part of *txn* that can be undone by itself, for a ``with``."""
        return self.env.begin(parent=txn, write=True)

    def tables(self) -> list[BytesTable]:
        """Return every table."""
        sealed = (
            self.repositories.rows,
            self.repositories.deleted,
            self.images.alive,
            self.images.deleted,
            self.tags.alive,
            self.tags.deleted,
            self.tags.history,
            self.blobs.rows,
            self.blobs.links,
            self.blobs.domains,
            self.uploads.rows,
            self.journal.heads,
            self.journal.cursors,
            self.sums.buckets,
            self.replicas.statuses,
            self.registers.rows,
            self.audit.checkpoints,
            self.notes.rows,
            self.damages.rows,
        )
        plain = (
            self.repositories.numbers,
            self.repositories.burials,
            self.images.parents,
            self.images.referrers,
            self.tags.of_image,
            self.blobs.contents,
            self.blobs.maps,
            self.blobs.numbers,
            self.blobs.holders,
            self.blobs.due,
            self.audit.entries,
            self.blobs.wrapped,
            self.journal.records,
            self.journal.places,
            self.documents.rows,
            self.replicas.open,
            self.replicas.taken_at,
            self.replicas.arrived,
        )
        return [*(table.bytes for table in sealed), *plain]


@contextmanager
def open_meta(path: Path, *, map_size: int = MAP_SIZE, readonly: bool = False, sync: bool = True) -> Iterator[Meta]:
    """Open the environment in the directory *path*, which exists; close it at the end.

    Durable: the sync defaults stay. Never ``writemap``, with which a full disk kills the process. ``lib_version=0``
    holds the 0.9 file format, to which the chunk size is fitted. Without *sync* nothing survives a power cut until
    ``env.sync(True)``: for a store that counts for nothing before it is whole.
    """
    with lmdb.open(
        str(path),
        map_size=map_size,
        max_dbs=MAX_TABLES,
        max_readers=MAX_READERS,
        readonly=readonly,
        sync=sync,
        lib_version=0,
    ) as env:
        meta = Meta(
            env,
            Repositories(env),
            Images(env),
            Tags(env),
            Blobs(env),
            Uploads(env),
            Journal(env),
            Sums(env),
            Documents(env),
            Replicas(env),
            Registers(env),
            Audit(env),
            Notes(env),
            Damages(env),
            Noticed(),
        )
        for table in meta.tables():
            table.noticed = meta.noticed
        yield meta
