"""From a record of the journal to the events that it stands for.

Theory of operation
===================
Each entry stands for at most one event, known by the record's dot and the entry's place in it: the same record gives
the same ids at every node and each time that it is read. What an entry does not say (what a deleted tag pointed at,
the media type behind a tag that was only moved) is looked up through ``Facts`` and left out where nobody knows it any
more; an id never depends on it.

An event with a tag is about the tag, one without is about the image itself. A push by tags is one event for each tag,
as at ECR; a push by digest is one without a tag. The deletion of an image is one event for each tag that went with it,
and then one without. The deletion of a repository is one event of kind ``delete`` with neither digest nor tag: all that
was in it is gone. Manifests under an index are put anew with it: those are no events of their own, for each was
pushed before and told then. Records that came from another registry are events of that arrival: replication or
pull-through. (A change of more than 1 MiB is several records; what of it comes in the later ones is told by itself.)

Source: Amazon ECR user guide, "Amazon ECR events and EventBridge".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
from blake3 import blake3

from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.clock import stamp_ms
from protocol.sync.entries import (
    Entry,
    ImageDelete,
    ImagePut,
    ImageValue,
    RegisterPut,
    RepositoryDelete,
    RepositoryPut,
    TagPut,
    TagValue,
    Unknown,
)
from protocol.sync.record import Record
from protocol.sync.storage import GROUP as STORAGE
from protocol.sync.storage import Moved, moved_by
from protocol.sync.vector import Dot

Kind: TypeAlias = Literal["push", "delete", "replication", "pull-through", "repository", "storage"]
KINDS: tuple[Kind, ...] = ("push", "delete", "replication", "pull-through", "repository", "storage")

_ID_CONTEXT = "entrepot 2026 event id v1"


class Arrival(msgspec.Struct, frozen=True, array_like=True):
    """How what a record says came from another registry."""

    kind: Literal["replication", "pull-through"] = "replication"
    source: str = ""  # ``account/region``
    prefix: str = ""  # Of the pull-through rule, here.


class Event(msgspec.Struct, frozen=True):
    """One thing that happened."""

    id: str  # A UUID.
    position: int  # Of its record, in the local order of the node that tells.
    index: int  # Of its entry in the record.
    kind: Kind
    action: Literal["PUSH", "DELETE", "REPLICATE", "PULL_THROUGH", "PUT", "UPDATE_STORAGE_CLASS"]
    at: int  # Milliseconds since 1970.
    account: str
    region: str
    repository: RepositoryName
    digest: Digest | None = None
    tag: TagName | None = None
    media_type: str | None = None
    artifact_type: str | None = None
    is_referrer: bool = False
    by: str | None = None  # ARN of the caller, where a record says it.
    arrival: Arrival | None = None
    storage_class: Literal["ARCHIVE", "STANDARD"] | None = None  # To which the image went.


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tables say of things that an entry only names; each returns ``None`` where they say nothing."""

    image: Callable[[RepositoryName, Digest], ImageValue | None]
    pointed_at: Callable[[RepositoryName, TagName, TagValue], Digest | None]
    """Where a tag pointed before this value deleted it."""


def events_of(record: Record, position: int, arrival: Arrival | None, facts: Facts) -> list[Event]:
    """Return the events of a record in the order of its entries.

    Args:
        record: as it was committed.
        position: its number in local order.
        arrival: how it came from another registry, ``None`` for what was done here.
        facts: to ask for what it does not say.
    """
    reading = _Reading(record, position, arrival, facts)
    found = (reading.event(index, entry) for index, entry in enumerate(record.entries))
    return [event for event in found if event is not None]


def event_id(dot: Dot, index: int) -> str:
    """Return the UUID (version 8) of entry *index* of a record."""
    text = dot.node.encode() + b"\0" + dot.incarnation + dot.seq.to_bytes(8, "big") + index.to_bytes(8, "big")
    raw = bytearray(blake3(text, derive_key_context=_ID_CONTEXT).digest(16))
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class _Reading:
    """A record with what its entries say of each other."""

    def __init__(self, record: Record, position: int, arrival: Arrival | None, facts: Facts) -> None:
        self._record = record
        self._position = position
        self._arrival = arrival
        self._facts = facts
        self._account, _, self._region = record.registry.partition("/")
        puts = [entry for entry in record.entries if isinstance(entry, ImagePut)]
        self._images = {(one.key.repository, one.key.digest): one.value for one in puts}
        self._told_by_another = {(one.key.repository, child) for one in puts for child in one.value.children}
        self._told_by_another |= {
            (one.key.repository, one.value.digest)
            for one in record.entries
            if isinstance(one, TagPut) and one.value.digest is not None
        }
        deleted = [one.key for one in record.entries if isinstance(one, ImageDelete)]
        self._deleted = {one.repository: one.digest for one in deleted} if len(deleted) == 1 else {}

    def event(self, index: int, entry: Entry) -> Event | None:
        """Return what entry *index* stands for."""
        found: Event | None = None
        match entry:
            case ImagePut(key, value):
                if (key.repository, key.digest) not in self._told_by_another:
                    found = self._put(index, key.repository, key.digest, None, value, None)
            case TagPut(key, value) if value.digest is not None:
                image = self._images.get((key.repository, value.digest))
                image = image or self._facts.image(key.repository, value.digest)
                found = self._put(index, key.repository, value.digest, key.tag, image, value.by)
            case TagPut(key, value):
                digest = self._facts.pointed_at(key.repository, key.tag, value) or self._deleted.get(key.repository)
                found = self._event(index, "delete", key.repository, "DELETE", digest=digest, tag=key.tag, by=value.by)
            case ImageDelete(key):
                found = self._event(index, "delete", key.repository, "DELETE", digest=key.digest)
            case RepositoryPut(key):
                found = self._event(index, "repository", key.repository, "PUT")
            case RepositoryDelete(key):
                found = self._event(index, "delete", key.repository, "DELETE")
            case RegisterPut(key, value) if key.group == STORAGE:
                found = self._moved(index, moved_by(key.name, value.fields), value.by)
            case RegisterPut() | Unknown():
                pass
        return found

    def _moved(self, index: int, moved: Moved | None, by: str) -> Event | None:
        if moved is None:
            return None
        name, digest = moved.repository, moved.digest
        image = self._images.get((name, digest)) or self._facts.image(name, digest)
        event = self._event(index, "storage", name, "UPDATE_STORAGE_CLASS", digest=digest, by=by)
        return msgspec.structs.replace(
            _described(event, image), storage_class="ARCHIVE" if moved.is_archived else "STANDARD"
        )

    def _put(
        self,
        index: int,
        repository: RepositoryName,
        digest: Digest,
        tag: TagName | None,
        image: ImageValue | None,
        by: str | None,
    ) -> Event:
        arrival = self._arrival
        event = self._event(index, "push", repository, "PUSH", digest=digest, tag=tag, by=by)
        if arrival is not None:
            is_pulled = arrival.kind == "pull-through"
            action: Literal["PULL_THROUGH", "REPLICATE"] = "PULL_THROUGH" if is_pulled else "REPLICATE"
            event = msgspec.structs.replace(event, kind=arrival.kind, action=action, arrival=arrival)
        return _described(event, image)

    def _event(
        self,
        index: int,
        kind: Kind,
        repository: RepositoryName,
        action: Literal["PUSH", "DELETE", "PUT", "UPDATE_STORAGE_CLASS"],
        *,
        digest: Digest | None = None,
        tag: TagName | None = None,
        by: str | None = None,
    ) -> Event:
        record = self._record
        return Event(
            event_id(record.dot, index),
            self._position,
            index,
            kind,
            action,
            stamp_ms(record.hlc),
            self._account,
            self._region,
            repository,
            digest,
            tag,
            by=by,
        )


def _described(event: Event, image: ImageValue | None) -> Event:
    """Return *event* with what is known of the image that it is about."""
    if image is None:
        return event
    return msgspec.structs.replace(
        event,
        media_type=image.media_type,
        artifact_type=image.artifact_type,
        is_referrer=image.subject is not None,
    )
