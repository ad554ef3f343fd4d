"""A blob on its way in: begun, fed in parts, finished or cancelled.

An upload lives in memory while it is fed and in the store as far as it has settled, so that a restart of the node loses
no part that was acknowledged. Its id is random and bound to who began it and to the repository: whoever else names it
is told that there is none. One request at a time may feed it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import msgspec
import trio

from node.registry.content import Kept, keep_content
from node.registry.registry import Registry
from node.registry.repositories import begin_push, find_repository, repository_for_push
from node.registry.sealing import SealedFor, grant, new_data_key, repository_key
from node.registry.session import Parts, Session
from node.store.blobs import INLINE_SIZE, BlobRow
from node.store.copies import PLAIN, copy_in
from node.store.ingest import Ingest, ReceiveInto
from node.store.sealedmap import sealed_map
from node.store.table import ReadTxn, WriteTxn
from node.store.uploads import UploadRow
from protocol.auth.caller import Caller
from protocol.auth.public import told
from protocol.blobs.chunkmap import ChunkMap
from protocol.blobs.sealing import NONCE, DataKey, unwrap, wrap
from protocol.errors import (
    Busy,
    Damaged,
    DigestInvalid,
    EmptyUpload,
    LimitExceeded,
    PartTooSmall,
    SizeInvalid,
    TooSlow,
    UploadLocked,
    UploadRange,
    UploadUnknown,
)
from protocol.oci.digest import Algorithm, Digest, algorithm
from protocol.oci.names import RepositoryName

MAX_SESSIONS = 10_000  # Uploads in memory; one that waits costs a kilobyte and what it has not settled.
_UNFED = 3600  # Seconds after which an upload without a byte goes: it must not keep others out.
_PATIENCE = 5  # Seconds that a request waits for the one before it on the same upload.
_WHOLE = (SizeInvalid, UploadRange, TooSlow, EmptyUpload, PartTooSmall, LimitExceeded)  # The upload goes on as it was.
_GRACE = 20  # Seconds to settle what came before the client went away.


@dataclass(frozen=True, slots=True)
class Source:
    """The body of a request."""

    receive_into: ReceiveInto
    start: int | None  # Where the client says that it begins, in bytes from the start of the blob.
    length: int | None  # Bytes, where they were announced.


class Completed(NamedTuple):
    """What an upload came to."""

    digest: Digest
    was_there: bool  # The repository saw the blob before.


async def begin_upload(registry: Registry, caller: Caller, name: RepositoryName, hashed_with: Algorithm) -> str:
    """Return the id of a new upload; nothing is written before its first byte.

    Raises:
        Denied: without ``ecr:InitiateLayerUpload``.
        NameUnknown: the repository does not exist and a push may not create it.
        StoreFull: there is no room.
        KeyUnusable: it is encrypted under a KMS key that may not be used.
        Busy: too many uploads are open.
    """
    registry.authorize(caller, "ecr:InitiateLayerUpload", name)
    await begin_push(registry, caller, name)
    return open_session(registry, caller, name, hashed_with)


def open_session(registry: Registry, caller: Caller, name: RepositoryName, hashed_with: Algorithm) -> str:
    """Return the id of a new upload, for who was allowed to begin one; raises as ``begin_upload``."""
    registry.store.space.require(0)
    if len(registry.sessions) >= MAX_SESSIONS:
        raise Busy("too many uploads are open; finish or cancel some")
    upload = registry.random(16)
    now = registry.now()
    with registry.store.meta.read() as txn:
        row = find_repository(registry, txn, name)
        domain = PLAIN if row is None else registry.store.meta.blobs.domain(txn, row.number)
        key = None if row is None else new_data_key(registry, txn, row.number)
    ingest = Ingest(registry.store.sink, hashed_with, key=key)
    registry.sessions[upload] = Session(name, _owner(caller), ingest, now, now, domain=domain)
    return str(UUID(bytes=upload))


async def put_blob(
    registry: Registry,
    caller: Caller,
    name: RepositoryName,
    digest: Digest,
    source: Source,
    *,
    hashed_with: Algorithm,
) -> None:
    """Take a whole blob in one request, and let the repository see it.

    Raises:
        Denied: without any of the three actions of an upload; nothing is begun then.
        NameUnknown, StoreFull, Busy: as ``begin_upload``.
        SizeInvalid, DigestInvalid: as ``finish_upload``.
    """
    for action in ("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"):
        registry.authorize(caller, action, name)
    upload = await begin_upload(registry, caller, name, hashed_with)
    await finish_upload(registry, caller, name, upload, digest, source)


async def append_upload(registry: Registry, caller: Caller, name: RepositoryName, upload: str, source: Source) -> int:
    """Take a part and return the bytes that are there, all of them durable.

    Raises:
        Denied: without ``ecr:UploadLayerPart``.
        UploadUnknown: there is none that this caller may feed.
        UploadRange: the part does not begin at the end of what is there.
        SizeInvalid: fewer or more bytes came than were announced; what came is kept.
        trio.BrokenResourceError: the client went away; what came in whole chunks is kept.
    """
    registry.authorize(caller, "ecr:UploadLayerPart", name)
    async with opened(registry, caller, name, upload) as session:
        await receive(registry, session, upload, source)
        await save(registry, session, upload)
        return session.ingest.size


async def finish_upload(
    registry: Registry, caller: Caller, name: RepositoryName, upload: str, digest: Digest, source: Source
) -> None:
    """Take the last part, which may be empty, compare the digest, and let the repository see the blob.

    Raises:
        Denied: without ``ecr:CompleteLayerUpload``, and ``ecr:UploadLayerPart`` where there are bytes.
        UploadUnknown, UploadRange, SizeInvalid: as ``append_upload``.
        DigestInvalid: the bytes have another digest; the upload is gone, nothing became visible.
    """
    registry.authorize(caller, "ecr:CompleteLayerUpload", name)
    if source.length != 0:
        registry.authorize(caller, "ecr:UploadLayerPart", name)
    async with opened(registry, caller, name, upload) as session:
        await receive(registry, session, upload, source)
        await complete(registry, caller, session, upload, [digest])


async def complete(
    registry: Registry, caller: Caller, session: Session, upload: str, digests: Sequence[Digest]
) -> Completed:
    """Let the repository see a blob that came whole and has one of *digests*; the upload is gone, whatever comes of it.

    Raises:
        DigestInvalid: it has none of them; nothing became visible.
    """
    for wanted in dict.fromkeys(map(algorithm, digests)):
        found, chunk_map = await session.ingest.finish(wanted)
        if found in digests:
            break
    else:
        await _drop(registry, upload, session.ingest)
        raise DigestInvalid("None of the provided layer digests match the calculated layer digest")
    kept, was_there = await _commit(registry, caller, session, upload, found, chunk_map=chunk_map)
    _forget(registry, upload)
    registry.abandoned.update(session.ingest.spent)
    if not kept.is_new:  # Someone else's copy was there already.
        await registry.transits.free(session.ingest.number)
    return Completed(found, was_there)


async def upload_progress(registry: Registry, caller: Caller, name: RepositoryName, upload: str) -> int:
    """Return how many bytes of the upload are durable; what ``append_upload`` raises."""
    registry.authorize(caller, "ecr:UploadLayerPart", name)
    async with opened(registry, caller, name, upload) as session:
        return session.ingest.settled


async def cancel_upload(registry: Registry, caller: Caller, name: RepositoryName, upload: str) -> None:
    """Forget the upload and free its room.

    Raises:
        Denied: without ``ecr:InitiateLayerUpload``.
        UploadUnknown: as ``append_upload``.
    """
    registry.authorize(caller, "ecr:InitiateLayerUpload", name)
    async with opened(registry, caller, name, upload) as session:
        await _drop(registry, upload, session.ingest)


async def expire_uploads(registry: Registry, *, after: float, idle: float) -> int:
    """Drop uploads that nobody fed for *after* seconds, and from memory those idle for *idle*; return how many went.

    One that never got a byte goes after an hour at the latest.
    """
    now = registry.now()
    for key, session in list(registry.sessions.items()):
        if not session.lock.locked() and session.touched < now - (
            idle if session.ingest.settled else min(after, _UNFED)
        ):
            _forget(registry, str(UUID(bytes=key)))
            _abandon(registry, session)
    gone, last = 0, b""
    while not registry.gate.why:  # Nobody can feed them behind a closed gate.
        with registry.store.meta.read() as txn:
            page = registry.store.meta.uploads.rows.sound(txn, b"", after=last, limit=100)
        for key, row in page:
            if row.touched < now - after and key not in registry.sessions:
                await _drop(registry, str(UUID(bytes=key)), None, row.number, row.tail)
                gone += 1
                registry.counts.uploads += 1
        if len(page) < 100:
            break
        last = page[-1][0]
        await trio.lowlevel.checkpoint()
    return gone


def spare_nothing(registry: Registry) -> bool:
    """Where nobody uploads at the moment, let go of the buffers that the next upload would begin with."""
    if any(session.lock.locked() for session in registry.sessions.values()):
        return False
    registry.store.sink.buffers.spare.clear()
    return True


@asynccontextmanager
async def opened(registry: Registry, caller: Caller, name: RepositoryName, upload: str) -> AsyncIterator[Session]:
    """Give the upload of *caller* for as long as the block, to it alone.

    Raises:
        UploadUnknown: there is none that this caller may feed.
        UploadLocked: another request feeds it, and does not come to its end.
    """
    try:
        key = _key(upload)
    except ValueError:
        raise _unknown(registry, name, upload) from None
    session = registry.sessions.get(key) or await _resumed(registry, caller, name, key)
    if session is None or session.owner != _owner(caller) or session.repository != name:
        raise _unknown(registry, name, upload)
    with trio.move_on_after(_PATIENCE) as waiting:
        await session.lock.acquire()
    if waiting.cancelled_caught:
        raise UploadLocked("another request is writing to this upload")
    is_whole = False
    try:
        if registry.sessions.get(key) is not session:
            raise _unknown(registry, name, upload)
        session.client = caller.address
        yield session
        is_whole = True
    except (*_WHOLE, trio.BrokenResourceError):
        is_whole = True  # What came was saved before this was raised.
        raise
    finally:
        session.touched = registry.now()
        session.lock.release()
        if not is_whole and registry.sessions.get(key) is session:
            _forget(registry, upload)  # Cancelled or refused in the middle: the store knows how far it had settled.
            if _abandon(registry, session):
                registry.freeable.notify()


async def _resumed(registry: Registry, caller: Caller, name: RepositoryName, key: bytes) -> Session | None:
    with registry.store.meta.read() as txn:
        row = registry.store.meta.uploads.get(txn, key)
        if row is None or row.owner != _owner(caller) or row.repository != name:
            return None
        data_key = _key_of(registry, txn, row, str(UUID(bytes=key)))
    ingest = Ingest(registry.store.sink, row.algorithm, key=data_key)
    parts, domain = Parts(row.parts, row.last_part, row.has_small_part), row.domain
    session = Session(name, row.owner, ingest, row.begun, row.touched, is_saved=True, parts=parts, domain=domain)
    async with session.lock:
        if key in registry.sessions:  # Another request was quicker.
            return registry.sessions[key]
        registry.sessions[key] = session
        is_resumed = False
        try:
            await ingest.resume(row.number, row.size, row.inline, tail=row.tail, seals=row.seals)
            is_resumed = True
        except Damaged:
            with registry.store.meta.read() as txn:
                if registry.store.meta.uploads.get(txn, key) is not None:
                    raise
            # It expired meanwhile, and its chunks are going.
            raise _unknown(registry, name, str(UUID(bytes=key))) from None
        finally:
            if not is_resumed:
                del registry.sessions[key]
    return session


def _key_of(registry: Registry, txn: ReadTxn, row: UploadRow, upload: str) -> DataKey | None:
    """Return the data key of an upload; ``UploadUnknown`` where its repository has another key by now, or none."""
    if not row.key:
        return None
    repository = find_repository(registry, txn, RepositoryName(row.repository))
    key = None if repository is None else repository_key(registry, txn, repository.number)
    if key is not None:
        with suppress(Damaged):
            return unwrap(key, row.key, row.wrapped)
    raise _unknown(registry, RepositoryName(row.repository), upload)


async def receive(registry: Registry, session: Session, upload: str, source: Source) -> None:
    """Take the bytes of *source* into an upload that was ``opened``; raises as ``append_upload``."""
    before = session.ingest.size
    session.expected = None if source.length is None else before + source.length
    if source.start is not None and source.start != before:
        raise UploadRange(f"First byte of the layer part is {source.start} instead of {before}")
    try:
        await session.ingest.fill(source.receive_into, source.length)
        # A body without a length of its own may have more than its Content-Range says.
        beyond = 0 if source.length is None else await source.receive_into(memoryview(bytearray(1)))
    except (TooSlow, trio.BrokenResourceError):
        with trio.move_on_after(_GRACE, shield=True):
            await save(registry, session, upload)
        raise
    came = session.ingest.size - before
    if source.length is not None and came + beyond != source.length:
        await save(registry, session, upload)
        raise SizeInvalid(f"{'more' if beyond else came} bytes came where {source.length} were announced")


async def save(registry: Registry, session: Session, upload: str) -> None:
    """Make durable what came, and give its buffer to others: the next part may never come."""
    ingest = session.ingest
    await ingest.settle()
    spent = list(ingest.spent)
    row = UploadRow(
        session.repository,
        session.owner,
        int(session.begun),
        int(registry.now()),
        ingest.algorithm,
        ingest.number,
        ingest.size,
        ingest.kept_inline,
        session.parts.count,
        session.parts.last,
        session.parts.has_small,
        session.domain,
        b"" if ingest.key is None else ingest.key.id,
        tail=ingest.tail,
        seals=ingest.kept_seals,
    )
    uploads, key = registry.store.meta.uploads, _key(upload)

    def run(txn: WriteTxn) -> None:
        _require(registry, txn, session, key)
        wrapped = b"" if ingest.key is None else _wrapped(registry, txn, session, upload, ingest.key)
        uploads.put(txn, key, msgspec.structs.replace(row, wrapped=wrapped))

    await registry.store.writer.write(run)
    session.is_saved = True
    if spent:
        await registry.store.delete_chunks(*spent)
        del ingest.spent[: len(spent)]
    ingest.park()


def _wrapped(registry: Registry, txn: ReadTxn, session: Session, upload: str, key: DataKey) -> bytes:
    """Return the data key of an upload under the key of its repository, which is not another one than it began in."""
    row = find_repository(registry, txn, session.repository)
    own = None if row is None else repository_key(registry, txn, row.number)
    if row is None or own is None or registry.store.meta.blobs.domain(txn, row.number) != session.domain:
        raise _unknown(registry, session.repository, upload)
    return wrap(own, key, registry.random(NONCE))


def _require(registry: Registry, txn: WriteTxn, session: Session, key: bytes) -> None:
    """Raise ``UploadUnknown`` where the upload expired after it was taken up: its chunks are going."""
    if session.is_saved and registry.store.meta.uploads.get(txn, key) is None:
        raise _unknown(registry, session.repository, str(UUID(bytes=key)))


async def _commit(
    registry: Registry,
    caller: Caller,
    session: Session,
    upload: str,
    digest: Digest,
    *,
    chunk_map: ChunkMap,
) -> tuple[Kept, bool]:
    """Make the blob visible; return whether its chunks serve anybody, and whether the repository saw it before."""
    blobs, ingest, content, hashes = registry.store.meta.blobs, session.ingest, None, b""
    number, key, parts = ingest.number, ingest.key, tuple[bytes, ...]()
    if chunk_map.size > INLINE_SIZE:
        hashes = b"".join(chunk_map.hashes)
        if key is not None:
            parts = sealed_map(key, chunk_map.size, hashes, ingest.seals, registry.random)
    else:
        content, number = ingest.kept_inline, 0
    row = BlobRow(chunk_map.size, number, chunk_map.root, 0, b"" if key is None else key.id)
    copy, now = copy_in(digest, session.domain), registry.now()

    def run(txn: WriteTxn) -> tuple[Kept, bool]:
        _require(registry, txn, session, _key(upload))
        repository = repository_for_push(registry, txn, caller, session.repository)
        if blobs.domain(txn, repository.number) != session.domain:
            # The repository was deleted and made anew, and keeps its bytes in another way.
            raise _unknown(registry, session.repository, upload)
        was_there = blobs.visible(txn, repository.number, digest) is not None
        sealed = None if key is None else SealedFor(registry, repository.number, key)
        kept = keep_content(registry.store, txn, copy, row, content, hashes, parts=parts, sealed=sealed)
        blobs.show(txn, repository.number, digest, now=now)
        if key is not None:
            grant(registry, txn, repository.number, digest)
        registry.store.meta.uploads.delete(txn, _key(upload))
        return kept, was_there

    kept, was_there = await registry.store.writer.write(run)
    registry.abandoned.add(kept.freed)
    if kept.is_new and number:
        registry.store.verified.note(number, range(len(chunk_map.hashes)))
    return kept, was_there


async def _drop(registry: Registry, upload: str, ingest: Ingest | None, *numbers: int) -> None:
    """Forget an upload, in memory or in the store, with the chunks that it has."""
    meta = registry.store.meta
    if ingest is not None:
        numbers = (ingest.number, ingest.tail, *ingest.spent)
    _forget(registry, upload)
    registry.abandoned.update(numbers)  # Until they are gone: this may be cancelled.
    await registry.store.writer.write(lambda txn: meta.uploads.delete(txn, _key(upload)))
    for number in numbers:
        await registry.transits.free(number)
    registry.abandoned.difference_update(numbers)


def _abandon(registry: Registry, session: Session) -> bool:
    """Have chunks looked at that perhaps nothing names now that *session* is forgotten; whether there may be some."""
    ingest = session.ingest
    numbers = {ingest.tail, *ingest.spent} - {0}
    if not session.is_saved:
        numbers.add(ingest.number)
    registry.abandoned.update(numbers)
    return bool(numbers)


def _forget(registry: Registry, upload: str) -> None:
    session = registry.sessions.pop(_key(upload), None)
    if session is not None:
        session.ingest.close()


def _owner(caller: Caller) -> str:
    """Return whose an upload is: of a principal that has its name from another one it is not."""
    return caller.user_id or caller.arn


def _unknown(registry: Registry, name: RepositoryName, upload: str) -> UploadUnknown:
    return UploadUnknown(
        f"Upload with id '{upload[:64]}' could not be found for the repository with name '{told(name)}' "
        f"in the registry with id '{registry.name.account}'"
    )


def _key(upload: str) -> bytes:
    """Return the key of an upload; ``ValueError`` where its id is not written as we write it."""
    key = UUID(upload).bytes
    if str(UUID(bytes=key)) != upload:
        raise ValueError("an id that is not ours")
    return key
