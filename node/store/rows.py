"""What the tables of repositories, images and tags hold, and their keys.

A repository is a u64 number in every other key, so that a key is short and what lies in one repository lies together.
What is alive and what is only remembered (deletes, until their horizon) lie in tables of their own: a listing never
walks over the dead.
"""

from collections.abc import Sequence

import lmdb
import msgspec

from node.store.table import BytesTable, ReadTxn, Table, WriteTxn
from protocol.oci.digest import Digest, packed, unpacked
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.images import ImageState
from protocol.sync.repositories import RepositoryState
from protocol.sync.tags import TagDot, TagState


class RepositoryRow(msgspec.Struct, frozen=True, array_like=True):
    """A repository name that was ever used here."""

    number: int  # In the keys of what lies in it; from 1.
    state: RepositoryState


class _BriefValue(msgspec.Struct, frozen=True, array_like=True):
    pushed: int
    media_type: str
    size: int


class _BriefDot(msgspec.Struct, frozen=True, array_like=True):
    dot: msgspec.Raw
    life: int
    hlc: int
    value: _BriefValue


class _BriefState(msgspec.Struct, frozen=True, array_like=True):
    """The head of ``ImageState``: decoding stops there, for a pull needs no more."""

    dots: list[_BriefDot]


class Images:
    """Images, alive or remembered."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.alive = Table(env, "images", ImageState)
        """key: u64 repository, digest in short form -> ``ImageState`` with dots."""
        self.deleted = Table(env, "images-deleted", ImageState)
        """key: as ``alive`` -> ``ImageState`` with tombstones alone."""
        self.parents = BytesTable(env, "parents")
        """key: u64 repository, digest of a child, digest of an index that names it -> nothing."""
        self.referrers = BytesTable(env, "referrers")
        """key: u64 repository, digest of a subject, digest of what refers to it -> nothing."""
        self._brief = msgspec.msgpack.Decoder(_BriefState).decode

    def media_type(self, txn: ReadTxn, repository: int, digest: Digest) -> str | None:
        """Return the media type of an image that is alive, else ``None``; faster than ``get``."""
        body = self.alive.bytes.get(txn, image_key(repository, digest))
        return None if body is None else self._brief(body).dots[0].value.media_type

    def get(self, txn: ReadTxn, repository: int, digest: Digest) -> ImageState | None:
        """Return what is known of the image, alive or not."""
        key = image_key(repository, digest)
        return self.alive.get(txn, key) or self.deleted.get(txn, key)

    def put(self, txn: WriteTxn, repository: int, digest: Digest, state: ImageState | None) -> None:
        """Replace what is known of the image."""
        key = image_key(repository, digest)
        if state is not None and state.dots:
            self.alive.put(txn, key, state)
            self.deleted.delete(txn, key)
            return
        self.alive.delete(txn, key)
        if state is None:
            self.deleted.delete(txn, key)
        else:
            self.deleted.put(txn, key, state)

    def is_alive(self, txn: ReadTxn, repository: int, digest: Digest) -> bool:
        """Whether the image is there."""
        return self.alive.bytes.has(txn, image_key(repository, digest))

    def page(self, txn: ReadTxn, repository: int, *, after: bytes = b"", limit: int) -> list[tuple[Digest, ImageState]]:
        """Return at most *limit* images that are alive, beyond the short form *after*, in the order of short forms."""
        rows = self.alive.items(txn, repository.to_bytes(8, "big"), after=after, limit=limit)
        return [(unpacked(key[8:]), state) for key, state in rows]

    def rows(self, txn: ReadTxn, repository: int, *, after: bytes, limit: int) -> list[tuple[bytes, ImageState]]:
        """Return images as ``page`` does, each under the short form of its digest."""
        rows = self.alive.items(txn, repository.to_bytes(8, "big"), after=after, limit=limit)
        return [(key[8:], state) for key, state in rows]

    def is_child(self, txn: ReadTxn, repository: int, digest: Digest) -> bool:
        """Whether an index of the repository names this manifest."""
        return bool(self.parents.keys(txn, image_key(repository, digest), limit=1))

    def naming(self, txn: ReadTxn, repository: int, digest: Digest, *, limit: int) -> list[Digest]:
        """Return at most *limit* indexes of the repository that name this manifest."""
        prefix = image_key(repository, digest)
        return [unpacked(key[len(prefix) :]) for key in self.parents.keys(txn, prefix, limit=limit)]

    def referring(self, txn: ReadTxn, repository: int, subject: Digest, *, after: bytes, limit: int) -> list[Digest]:
        """Return at most *limit* digests of what refers to *subject*, beyond the short form *after*."""
        prefix = image_key(repository, subject)
        return [unpacked(key[len(prefix) :]) for key in self.referrers.keys(txn, prefix, after=after, limit=limit)]


class Tags:
    """Tags, alive or remembered, and what they pointed at before."""

    def __init__(self, env: "lmdb.Environment") -> None:
        self.alive = Table(env, "tags", TagState)
        """key: u64 repository, tag in ASCII -> ``TagState`` whose current value has a digest."""
        self.deleted = Table(env, "tags-deleted", TagState)
        """key: as ``alive`` -> ``TagState`` whose current value has none."""
        self.history = Table(env, "tag-history", TagDot)
        """key: u64 repository, tag, NUL, u64 clock of the value, node and number of its record -> ``TagDot``."""
        self.of_image = BytesTable(env, "tags-of-image")
        """key: u64 repository, digest in short form, tag -> nothing: the tags by what they point at."""

    def get(self, txn: ReadTxn, repository: int, tag: TagName) -> TagState | None:
        """Return what is known of the tag, alive or not."""
        key = tag_key(repository, tag)
        return self.alive.get(txn, key) or self.deleted.get(txn, key)

    def digest(self, txn: ReadTxn, repository: int, tag: TagName) -> Digest | None:
        """Return where the tag points, or ``None``."""
        return pointed_at(self.alive.get(txn, tag_key(repository, tag)))

    def put(self, txn: WriteTxn, repository: int, tag: TagName, state: TagState | None) -> None:
        """Replace what is known of the tag, and keep ``of_image`` in step."""
        key = tag_key(repository, tag)
        before = self.digest(txn, repository, tag)
        after = pointed_at(state)
        if before is not None and before != after:
            self.of_image.delete(txn, image_key(repository, before) + tag.encode())
            self.alive.delete(txn, key)
        if state is not None and after is not None:
            self.alive.put(txn, key, state)
            self.of_image.put(txn, image_key(repository, after) + tag.encode(), b"")
            self.deleted.delete(txn, key)
        elif state is not None:
            self.deleted.put(txn, key, state)
        else:
            self.deleted.delete(txn, key)

    def names(self, txn: ReadTxn, repository: int, *, after: str, limit: int) -> list[TagName]:
        """Return at most *limit* tags beyond *after*, in the order of their bytes."""
        prefix = repository.to_bytes(8, "big")
        return [
            TagName(key[8:].decode()) for key in self.alive.bytes.keys(txn, prefix, after=after.encode(), limit=limit)
        ]

    def pointing_at(self, txn: ReadTxn, repository: int, digest: Digest, *, limit: int = 2**31) -> list[TagName]:
        """Return the tags that point at *digest*, in order, at most *limit*."""
        prefix = image_key(repository, digest)
        return [TagName(key[len(prefix) :].decode()) for key in self.of_image.keys(txn, prefix, limit=limit)]

    def of_images(self, txn: ReadTxn, repository: int, shorts: Sequence[bytes]) -> list[list[TagName]]:
        """Return the tags of each of these images, which are short forms in order and have no other between them."""
        if not shorts:
            return []
        prefix = repository.to_bytes(8, "big")
        keys = iter(self.of_image.span(txn, prefix + shorts[0], prefix + shorts[-1] + b"\xff"))
        key = next(keys, None)
        found: list[list[TagName]] = []
        for short in shorts:
            start = prefix + short
            tags: list[TagName] = []
            while key is not None and key.startswith(start):
                tags.append(TagName(key[len(start) :].decode()))
                key = next(keys, None)
            found.append(tags)
        return found

    def lose(self, txn: WriteTxn, repository: int, tag: TagName, lost: TagDot) -> None:
        """Keep a value that no longer counts."""
        self.history.put(txn, history_key(repository, tag, lost), lost)

    def lost(self, txn: ReadTxn, repository: int, tag: TagName) -> list[TagDot]:
        """Return what the tag pointed at before, oldest clock first."""
        prefix = tag_key(repository, tag) + b"\0"
        return [row for _, row in self.history.items(txn, prefix, limit=2**31)]

    def forget(self, txn: WriteTxn, repository: int, tag: TagName, lost: TagDot) -> None:
        """Drop a row of the history."""
        self.history.delete(txn, history_key(repository, tag, lost))


class Repositories:
    """Repository names, those that exist and those that did.

    A name that is deleted with all that lay in it gets another number at once, under which nothing lies. The one that
    it had goes to ``burials`` until the rows under it are gone as well: so a delete is one small transaction, whatever
    lay there.
    """

    def __init__(self, env: "lmdb.Environment") -> None:
        self.rows = Table(env, "repositories", RepositoryRow)
        """key: name in ASCII -> ``RepositoryRow``."""
        self.deleted = Table(env, "repositories-deleted", RepositoryRow)
        """key: name in ASCII -> ``RepositoryRow``: deleted, and nothing alive lies in it. Not in ``rows``."""
        self.burials = BytesTable(env, "repository-burials")
        """key: u64 number -> name that it had; what lies under it is gone for everyone and on its way out."""
        self.numbers = BytesTable(env, "repository-names")
        """key: u64 number -> name."""

    def get(self, txn: ReadTxn, name: RepositoryName) -> RepositoryRow | None:
        """Return the row, of a repository that exists or of one that did."""
        key = name.encode()
        return self.rows.get(txn, key) or self.deleted.get(txn, key)

    def put(self, txn: WriteTxn, name: RepositoryName, row: RepositoryRow) -> None:
        """Replace the row of a name."""
        key = name.encode()
        (self.deleted if self.deleted.bytes.has(txn, key) else self.rows).put(txn, key, row)

    def add(self, txn: WriteTxn, name: RepositoryName, state: RepositoryState) -> RepositoryRow:
        """Give a name that is new here its number."""
        row = RepositoryRow(self._next_number(txn), state)
        self.numbers.put(txn, row.number.to_bytes(8, "big"), name.encode())
        self.rows.put(txn, name.encode(), row)
        return row

    def unbind(self, txn: WriteTxn, name: RepositoryName, row: RepositoryRow) -> RepositoryRow:
        """Give the name a number under which nothing lies, and have what lies under the old one buried."""
        new, old = RepositoryRow(self._next_number(txn), row.state), row.number.to_bytes(8, "big")
        self.numbers.put(txn, new.number.to_bytes(8, "big"), name.encode())
        self.numbers.delete(txn, old)
        self.burials.put(txn, old, name.encode())
        self.put(txn, name, new)
        return new

    def retire(self, txn: WriteTxn, name: RepositoryName) -> None:
        """Take the name out of the listing: it is deleted, and nothing alive lies in it."""
        self._move(txn, name.encode(), self.rows, self.deleted)

    def revive(self, txn: WriteTxn, name: RepositoryName) -> None:
        """List the name again, where it had been deleted."""
        self._move(txn, name.encode(), self.deleted, self.rows)

    def name(self, txn: ReadTxn, number: int) -> RepositoryName | None:
        """Return the name of a number; that of one which is being buried is for ``buried``."""
        return self._name(txn, self.numbers, number)

    def buried(self, txn: ReadTxn, number: int) -> RepositoryName | None:
        """Return the name that a number had which is being buried."""
        return self._name(txn, self.burials, number)

    def burial(self, txn: ReadTxn) -> int:
        """Return the first number that is to be buried, or 0."""
        return int.from_bytes(b"".join(self.burials.keys(txn, b"", limit=1)), "big")

    def count(self, txn: ReadTxn) -> int:
        """Return how many names there are that were not deleted; constant cost."""
        return self.rows.bytes.count(txn)

    def page(self, txn: ReadTxn, *, after: str, limit: int) -> list[tuple[RepositoryName, RepositoryRow]]:
        """Return at most *limit* names beyond *after* with rows, damaged ones left out, in the order of their bytes."""
        rows = self.rows.sound(txn, b"", after=after.encode(), limit=limit)
        return [(RepositoryName(key.decode()), row) for key, row in rows]

    def _next_number(self, txn: ReadTxn) -> int:
        return 1 + int.from_bytes(self.numbers.last_key(txn) or b"", "big")

    def _name(self, txn: ReadTxn, table: BytesTable, number: int) -> RepositoryName | None:
        name = table.get(txn, number.to_bytes(8, "big"))
        return None if name is None else RepositoryName(name.decode())

    def _move(self, txn: WriteTxn, key: bytes, source: Table[RepositoryRow], destination: Table[RepositoryRow]) -> None:
        row = source.get(txn, key)
        if row is not None:
            source.delete(txn, key)
            destination.put(txn, key, row)


def pointed_at(state: TagState | None) -> Digest | None:
    """Return the digest that a tag points at, ``None`` where it is deleted or never was."""
    current = None if state is None else state.current
    return None if current is None else current.value.digest


def image_key(repository: int, digest: Digest) -> bytes:
    """Return u64 repository and the digest in short form."""
    return repository.to_bytes(8, "big") + packed(digest)


def tag_key(repository: int, tag: TagName) -> bytes:
    """Return u64 repository and the tag."""
    return repository.to_bytes(8, "big") + tag.encode()


def history_key(repository: int, tag: TagName, lost: TagDot) -> bytes:
    """Return the place of a lost value of a tag."""
    dot = lost.dot
    record = dot.node.encode() + dot.incarnation + dot.seq.to_bytes(8, "big")
    return tag_key(repository, tag) + b"\0" + lost.value.hlc.to_bytes(8, "big") + record
