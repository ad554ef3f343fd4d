"""Replication at the source: the rules, what each destination should have, and how far it has come.

Theory of operation
===================
A follower of the journal looks at each image and tag that was pushed to this node (what came from another registry
goes no further), asks the rules which registries it is for, and
writes for each what is wanted there, in the transaction that moves its cursor. Nothing else starts replication, and
nothing else is remembered of it: after any crash what is left to do is what is wanted and not done.

A rule covers what is pushed after it. So a new configuration first lets the follower pass all that was pushed before,
under the old one, some records at a time, and is written in the transaction that passes the last of them.
"""

from contextlib import suppress

import msgspec
import structlog
import trio

from node.registry.commit import commit_rules
from node.registry.documents import REPLICATION, document, document_put
from node.registry.imageids import ImageId, find_image
from node.registry.registry import Registry
from node.registry.repositories import unknown
from node.store.replicas import Progress, StatusRow, status_place
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.names import RegistryName
from protocol.errors import Damaged, NameUnknown
from protocol.oci.digest import Digest, unpacked
from protocol.oci.names import RepositoryName
from protocol.rules.replication import ReplicationConfiguration, destinations_for, replication_configuration
from protocol.sync.clock import stamp_ms, stamp_of
from protocol.sync.entries import ImageDelete, ImagePut, RegisterPut, TagPut
from protocol.sync.record import Record, read_record
from protocol.sync.storage import GROUP as STORAGE
from protocol.sync.storage import moved_by
from protocol.sync.vector import Dot

FOLLOWER = "replication"
_OLD_DOCUMENT = "replication-configuration"  # Where the rules lay before they were a register.
_BATCH = 200  # Records that are looked at together ...
_ENTRIES = 1000  # ... unless they have that many entries before; one record has some ten thousand at most.
_CATCHING_UP = 4  # Batches in one transaction of a new configuration: pushes must not stay ahead of it.
_MENDED = 5.0  # Seconds within which a damaged row is mended, as a rule.
_decode = msgspec.json.Decoder(ReplicationConfiguration).decode


log = structlog.get_logger()


class ImageReplication(msgspec.Struct, frozen=True):
    """How far one image has come at one destination, for people."""

    destination: str  # account/region
    repository: str
    digest: Digest
    state: Progress
    at: float  # When that changed: seconds since 1970, UTC.
    reason: str
    failure: str = ""  # In ECR's words, where it failed.


class ReplicationPage(msgspec.Struct, frozen=True):
    """A page of images, and where the next one begins."""

    images: list[ImageReplication]
    next: str | None


class Lag(msgspec.Struct, frozen=True):
    """What a destination lacks."""

    waiting: int  # Images, up to some thousands.
    seconds: float  # Age of the oldest.


async def put_replication(
    registry: Registry, caller: Caller, given: bytes, *, needs_peers: bool = True
) -> ReplicationConfiguration:
    """Replace the rules by ECR's document; they cover what is pushed from now on.

    Args:
        registry: whose rules they are.
        caller: who asks.
        given: the document.
        needs_peers: refuse rules where this registry made itself up and can have no peers. A call of ECR's API puts
            them all the same, for the service has no such registry; then they wait for ever.

    Raises:
        Denied: without ``ecr:PutReplicationConfiguration``.
        RuleInvalid: the document is none; the message names the place.
    """
    registry.authorize(caller, "ecr:PutReplicationConfiguration", None)
    configuration = replication_configuration(given, registry.name, needs_peers=needs_peers)
    text = msgspec.json.encode(configuration).decode()
    act = Act(caller, "ecr:PutReplicationConfiguration")
    journal = registry.store.meta.journal

    def run(txn: WriteTxn) -> bool:
        if all(_passed(registry, txn) for _ in range(_CATCHING_UP)):
            return False
        entry = document_put(registry, txn, act, REPLICATION, text)
        commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])
        registry.store.meta.documents.delete(txn, _OLD_DOCUMENT)
        journal.move(txn, FOLLOWER, journal.last(txn))
        return True

    while not await registry.store.writer.write(run):
        registry.wanted.notify()
    registry.changes.notify()
    return configuration


def get_replication(registry: Registry, caller: Caller) -> ReplicationConfiguration:
    """Return the rules; ``Denied`` without ``ecr:DescribeRegistry``."""
    registry.authorize(caller, "ecr:DescribeRegistry", None)
    with registry.store.meta.read() as txn:
        return configuration_in_force(registry, txn)


def replication_status(
    registry: Registry, caller: Caller, name: RepositoryName | None, *, after: str | None, limit: int
) -> ReplicationPage:
    """Return how far images have come at each destination, all or those of one repository.

    Args:
        registry: to ask.
        caller: who asks.
        name: of the repository, or ``None``.
        after: ``next`` of the page before, or ``None``.
        limit: most rows that are looked at.

    Raises:
        Denied: without ``ecr:DescribeImageReplicationStatus``.
        NameUnknown: *after* or *name* is none.
    """
    registry.authorize(caller, "ecr:DescribeImageReplicationStatus", name)
    replicas, repositories = registry.store.meta.replicas, registry.store.meta.repositories
    found: list[ImageReplication] = []
    start, place = _start(after)
    with registry.store.meta.read() as txn:
        row = None if name is None else repositories.get(txn, name)
        if name is not None and row is None:
            raise unknown(registry, name)
        for destination in replicas.destinations(txn):
            if destination < start:
                continue
            first = place if destination == start else b""
            for number, digest, status in replicas.page(txn, destination, after=first, limit=limit - len(found)):
                if row is None or row.number == number:
                    repository = repositories.name(txn, number) or RepositoryName("?")
                    found.append(_shown(destination, repository, digest, status))
                last = f"{destination}:{status_place(number, digest).hex()}"
                if len(found) == limit:
                    return ReplicationPage(found, last)
    return ReplicationPage(found, None)


def image_replication(
    registry: Registry, caller: Caller, name: RepositoryName, wanted: ImageId
) -> list[ImageReplication]:
    """Return how far one image has come at each destination, also where nothing was tried yet.

    An image that no rule was for when it was pushed has come nowhere: the list is empty.

    Raises:
        Denied: without ``ecr:DescribeImageReplicationStatus``.
        NameUnknown, ManifestUnknown: there is no such image.
    """
    registry.authorize(caller, "ecr:DescribeImageReplicationStatus", name)
    meta, shown = registry.store.meta, dict[str, ImageReplication]()
    with meta.read() as txn:
        found = find_image(registry, txn, name, wanted)
        if meta.journal.cursor(txn, FOLLOWER) < meta.journal.last(txn):
            # The follower is about to look at it, or at what came after it.
            waiting = ImageReplication("", name, found.digest, "IN_PROGRESS", registry.now(), "")
            for one in destinations_for(configuration_in_force(registry, txn), name):
                shown[str(one.registry)] = msgspec.structs.replace(waiting, destination=str(one.registry))
        for destination in meta.replicas.destinations(txn):
            row = meta.replicas.status(txn, destination, found.repository.number, found.digest)
            if row is not None:
                shown[destination] = _shown(destination, name, found.digest, row)
    return [shown[destination] for destination in sorted(shown)]


async def follow_journal(registry: Registry) -> None:
    """Write what is wanted where, for ever. What is damaged of what it reads is mended first, if that can be."""
    while True:
        changed = registry.changes.next()
        try:
            if _is_behind(registry):
                await registry.store.writer.write(lambda txn: _follow(registry, txn))
                registry.wanted.notify()
                continue
        except Damaged as damage:
            log.warning("replication waits", damaged=str(damage))
            registry.repairs.hurry()
            with trio.move_on_after(_MENDED):
                await changed.wait()
            continue
        await changed.wait()


def _is_behind(registry: Registry) -> bool:
    journal = registry.store.meta.journal
    with registry.store.meta.read() as txn:
        return journal.cursor(txn, FOLLOWER) < journal.last(txn) and bool(configuration_in_force(registry, txn).rules)


def destinations(registry: Registry) -> set[RegistryName]:
    """Return the registries that a rule names now; others are sent nothing, whatever was wanted there before."""
    with registry.store.meta.read() as txn:
        return {one.registry for rule in configuration_in_force(registry, txn).rules for one in rule.destinations}


def is_destination(registry: Registry, name: RepositoryName, other: RegistryName) -> bool:
    """Whether a rule sends what is pushed to the repository to the registry *other*."""
    with registry.store.meta.read() as txn:
        found = destinations_for(configuration_in_force(registry, txn), name)
    return any(one.registry == other for one in found)


def lags(registry: Registry) -> dict[str, Lag]:
    """Return what each destination lacks, by its name; bounded cost."""
    replicas, found = registry.store.meta.replicas, {}
    with registry.store.meta.read() as txn:
        for destination in replicas.destinations(txn):
            rows = replicas.open_rows(txn, destination, limit=5000)
            oldest = 0.0
            with suppress(Damaged):
                status = replicas.status(txn, destination, rows[0][1], rows[0][2]) if rows else None
                oldest = 0.0 if status is None else max(0.0, registry.now() - stamp_ms(status.hlc) / 1000)
            found[destination] = Lag(len(rows), oldest)
    return found


def _passed(registry: Registry, txn: WriteTxn) -> bool:
    """As ``_follow``; where the rules before are damaged nobody knows what they would cover."""
    try:
        return _follow(registry, txn)
    except Damaged:
        return False


def _follow(registry: Registry, txn: WriteTxn) -> bool:
    """Look at the next records under the rules in force; return whether there may be more."""
    journal = registry.store.meta.journal
    configuration = configuration_in_force(registry, txn)
    records = journal.after(txn, journal.cursor(txn, FOLLOWER), limit=_BATCH)
    if not configuration.rules:
        return False
    if not records:  # None is there up to the last one, whose number is known: its key is damaged.
        journal.move(txn, FOLLOWER, journal.last(txn))
        return False
    looked, passed = 0, 0
    for position, data in records:
        if looked > _ENTRIES:
            break
        if data is None:
            _want_unread(registry, txn, configuration, position)
            passed = position
            continue
        record = read_record(data)
        looked, passed = looked + len(record.entries), position
        if registry.store.meta.replicas.is_arrived(txn, position) or record.node != registry.author.node:
            continue  # It goes one hop, and its own node announces it.
        _want_of(registry, txn, configuration, record, position)
    journal.move(txn, FOLLOWER, passed)
    return passed < records[-1][0] or len(records) == _BATCH


def _want_of(
    registry: Registry, txn: WriteTxn, configuration: ReplicationConfiguration, record: Record, position: int
) -> None:
    for entry in record.entries:
        match entry:
            case ImagePut(key):
                _want(registry, txn, configuration, key.repository, key.digest, position, record.hlc)
            case TagPut(key, value) if value.digest is not None:
                _want(registry, txn, configuration, key.repository, value.digest, position, record.hlc)
            case RegisterPut(key, value) if key.group == STORAGE:
                moved = moved_by(key.name, value.fields)
                if moved is not None and not moved.is_archived:  # Brought back: as good as a push.
                    _want(registry, txn, configuration, moved.repository, moved.digest, position, record.hlc)
            case ImageDelete(key):
                _forget(registry, txn, key.repository, key.digest)
            case _:
                pass


def _want(
    registry: Registry,
    txn: WriteTxn,
    configuration: ReplicationConfiguration,
    name: RepositoryName,
    digest: Digest,
    position: int,
    *hlcs: int,
) -> None:
    row = registry.store.meta.repositories.get(txn, name)
    if row is None or not registry.store.meta.images.is_alive(txn, row.number, digest):
        return
    for destination in destinations_for(configuration, name):
        try:
            old = registry.store.meta.replicas.status(txn, str(destination.registry), row.number, digest)
        except Damaged:
            old = None
        done, hlc = (0, hlcs[0]) if old is None else (old.done, hlcs[0] if old.status == "COMPLETE" else old.hlc)
        new = StatusRow("IN_PROGRESS", position, done, hlc, changed=registry.now())
        registry.store.meta.replicas.put(txn, str(destination.registry), row.number, digest, new)


def _want_unread(registry: Registry, txn: WriteTxn, configuration: ReplicationConfiguration, position: int) -> None:
    """Want what a damaged record put: the rows of images and tags tell which record they are of. Slow, and rare."""
    meta, place = registry.store.meta, position.to_bytes(8, "big")
    written = {dot for dot, number in meta.journal.places.sound(txn, b"", limit=2**31) if number == place}
    if not written or meta.replicas.is_arrived(txn, position):
        log.error("damaged record passed over", position=position)
        return
    named = {key: name for key, name in meta.repositories.numbers.sound(txn, b"", limit=2**31)}  # noqa: C416 - mypy's sake.
    wanted: set[tuple[bytes, Digest]] = set()
    for key, image in meta.images.alive.sound(txn, b"", limit=2**31):
        if any(_dot_key(one.dot) in written for one in image.dots):
            wanted.add((key[:8], unpacked(key[8:])))
    for key, tag in meta.tags.alive.sound(txn, b"", limit=2**31):
        wanted |= {
            (key[:8], one.value.digest) for one in tag.values if one.value.digest and _dot_key(one.dot) in written
        }
    for number, digest in wanted:
        if number in named:
            name = RepositoryName(named[number].decode())
            _want(registry, txn, configuration, name, digest, position, stamp_of(int(registry.now() * 1000)))


def _dot_key(dot: Dot) -> bytes:
    return dot.node.encode() + dot.incarnation + dot.seq.to_bytes(8, "big")


def _forget(registry: Registry, txn: WriteTxn, name: RepositoryName, digest: Digest) -> None:
    row = registry.store.meta.repositories.get(txn, name)
    if row is not None and not registry.store.meta.images.is_alive(txn, row.number, digest):
        for destination in registry.store.meta.replicas.destinations(txn):
            registry.store.meta.replicas.delete(txn, destination, row.number, digest)


def configuration_in_force(registry: Registry, txn: ReadTxn) -> ReplicationConfiguration:
    """Return the rules; who asks was allowed to before."""
    data = document(registry, txn, REPLICATION) or registry.store.meta.documents.get(txn, _OLD_DOCUMENT)
    return ReplicationConfiguration() if data is None else _decode(data)


def _shown(destination: str, repository: RepositoryName, digest: Digest, row: StatusRow) -> ImageReplication:
    return ImageReplication(destination, repository, digest, row.status, row.changed, row.reason, row.failure)


def _start(after: str | None) -> tuple[str, bytes]:
    destination, _, place = (after or "").partition(":")
    try:
        return destination, bytes.fromhex(place)
    except ValueError:
        raise NameUnknown(f"not a page: {destination[:64]!r}; begin again without it") from None
