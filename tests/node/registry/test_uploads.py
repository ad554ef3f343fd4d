"""A blob on its way in: what was acknowledged survives, what is refused leaves nothing, and nobody else gets at it."""

from pathlib import Path
from uuid import uuid4

import pytest
import trio
from trio.testing import MockClock

from node.registry.orphans import delete_abandoned, delete_orphans
from node.registry.registry import Registry
from node.registry.uploads import (
    Source,
    append_upload,
    begin_upload,
    cancel_upload,
    expire_uploads,
    finish_upload,
    upload_progress,
)
from node.store.blobs import INLINE_SIZE
from node.store.chunks import DELETE_BATCH
from protocol.auth.caller import Caller
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.errors import (
    Busy,
    Denied,
    DigestInvalid,
    NameUnknown,
    SizeInvalid,
    StoreFull,
    StoreReadOnly,
    TooSlow,
    UploadLocked,
    UploadRange,
    UploadUnknown,
)
from protocol.oci.digest import digest_of
from tests.node.registry.world import ALICE, APP, DAY, OTHER, World, content, opened, push_blob, push_image, source

LARGE = bytes(range(256)) * 10_000  # Two chunks and a bit.
SIZES = [0, 1, INLINE_SIZE, INLINE_SIZE + 1, CHUNK_SIZE, CHUNK_SIZE + 1, len(LARGE)]


async def begin(registry: Registry) -> str:
    return await begin_upload(registry, ALICE, APP, "sha256")


def chunks(registry: Registry) -> int:
    with registry.store.chunks.read() as txn:
        return registry.store.chunks.count(txn)


def rows(registry: Registry) -> int:
    with registry.store.meta.read() as txn:
        return len(registry.store.meta.uploads.page(txn, limit=99))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "blake3"])
@pytest.mark.parametrize("size", SIZES)
async def test_a_blob_comes_back_as_it_came(registry: Registry, size: int, algorithm: str) -> None:
    data, upload = LARGE[:size], await begin(registry)
    digest = digest_of(data, algorithm)
    await finish_upload(registry, ALICE, APP, upload, digest, source(data))
    assert await content(registry, APP, digest) == data
    assert (rows(registry), registry.sessions, registry.store.leases.counts) == (0, {}, {})


@pytest.mark.parametrize("cut", SIZES[:-1])
async def test_a_part_that_was_acknowledged_survives_a_restart(tmp_path: Path, world: World, cut: int) -> None:
    async with opened(tmp_path, world) as registry:
        upload = await begin(registry)
        assert await append_upload(registry, ALICE, APP, upload, source(LARGE[:cut], 0)) == cut
    async with opened(tmp_path, world) as registry:
        await delete_orphans(registry)
        assert await upload_progress(registry, ALICE, APP, upload) == cut
        await finish_upload(registry, ALICE, APP, upload, digest_of(LARGE), source(LARGE[cut:], cut))
        assert await content(registry, APP, digest_of(LARGE)) == LARGE


async def test_a_part_has_to_begin_where_the_last_one_ended(registry: Registry) -> None:
    upload = await begin(registry)
    await append_upload(registry, ALICE, APP, upload, source(b"abc", 0))
    for start in (0, 2, 4):
        with pytest.raises(UploadRange):
            await append_upload(registry, ALICE, APP, upload, source(b"def", start))
        with pytest.raises(UploadRange):
            await finish_upload(registry, ALICE, APP, upload, digest_of(b"abcdef"), source(b"def", start))
    assert await upload_progress(registry, ALICE, APP, upload) == 3
    await finish_upload(registry, ALICE, APP, upload, digest_of(b"abcdef"), source(b"def", 3))


@pytest.mark.parametrize("length", [2, 4])
async def test_a_part_of_another_length_than_announced_is_refused(registry: Registry, length: int) -> None:
    upload = await begin(registry)
    with pytest.raises(SizeInvalid):
        await append_upload(registry, ALICE, APP, upload, source(b"abc", 0, length=length))
    size = await upload_progress(registry, ALICE, APP, upload)
    await finish_upload(registry, ALICE, APP, upload, digest_of(b"abc"), source(b"abc"[size:], size))


@pytest.mark.parametrize("size", SIZES)
async def test_a_wrong_digest_leaves_nothing(registry: Registry, size: int) -> None:
    upload = await begin(registry)
    with pytest.raises(DigestInvalid):
        await finish_upload(registry, ALICE, APP, upload, digest_of(b"else"), source(LARGE[:size]))
    with pytest.raises(UploadUnknown):
        await upload_progress(registry, ALICE, APP, upload)
    assert (rows(registry), chunks(registry), registry.sessions) == (0, 0, {})
    with registry.store.meta.read() as txn:
        assert registry.store.meta.repositories.get(txn, APP) is None


async def test_a_cancelled_upload_leaves_nothing(registry: Registry) -> None:
    upload = await begin(registry)
    await append_upload(registry, ALICE, APP, upload, source(LARGE))
    assert (rows(registry), chunks(registry)) == (1, 3)
    await cancel_upload(registry, ALICE, APP, upload)
    assert (rows(registry), chunks(registry), registry.sessions) == (0, 0, {})
    with pytest.raises(UploadUnknown):
        await cancel_upload(registry, ALICE, APP, upload)


@pytest.mark.parametrize("restarts", [False, True])
async def test_nobody_else_gets_at_an_upload(tmp_path: Path, world: World, restarts: bool) -> None:
    bob = Caller("arn:aws:iam::111111111111:user/bob", "111111111111")
    async with opened(tmp_path, world) as registry:
        upload = await begin(registry)
        await append_upload(registry, ALICE, APP, upload, source(b"abc"))
        if restarts:
            registry.sessions.clear()
        world.allowed.add(bob)  # By policy Bob may push here as well.
        for caller, name in ((bob, APP), (ALICE, OTHER)):
            for call in (
                append_upload(registry, caller, name, upload, source(b"evil")),
                finish_upload(registry, caller, name, upload, digest_of(b"abcevil"), source(b"evil")),
                upload_progress(registry, caller, name, upload),
                cancel_upload(registry, caller, name, upload),
            ):
                with pytest.raises(UploadUnknown):
                    await call
        assert bool(registry.sessions) != restarts  # Nor does he make the node read what had come.
        await finish_upload(registry, ALICE, APP, upload, digest_of(b"abc"), source())


@pytest.mark.parametrize("text", ["", "x", str(uuid4()).upper(), "{" + str(uuid4()) + "}", str(uuid4()), "../.."])
async def test_what_is_no_upload_is_unknown(registry: Registry, text: str) -> None:
    with pytest.raises(UploadUnknown):
        await upload_progress(registry, ALICE, APP, text)


async def test_two_at_once_are_told_apart(registry: Registry, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """In time that jumps: the one that waits is refused before the one that feeds ends."""
    upload, never = await begin(registry), trio.Event()

    async def stalled(_view: memoryview) -> int:
        await never.wait()
        return 0

    nursery.start_soon(append_upload, registry, ALICE, APP, upload, Source(stalled, None, None))
    await trio.testing.wait_all_tasks_blocked()
    before = trio.current_time()
    with pytest.raises(UploadLocked):
        await append_upload(registry, ALICE, APP, upload, source(b"abc"))
    assert trio.current_time() - before == 5
    nursery.cancel_scope.cancel()


async def test_a_client_that_goes_away_can_go_on_with_what_came_in_whole_chunks(registry: Registry) -> None:
    upload = await begin(registry)
    with pytest.raises(trio.BrokenResourceError):
        await append_upload(registry, ALICE, APP, upload, source(LARGE, gone=True))
    size = await upload_progress(registry, ALICE, APP, upload)
    assert size >= 2 * CHUNK_SIZE
    await finish_upload(registry, ALICE, APP, upload, digest_of(LARGE), source(LARGE[size:], size))
    assert await content(registry, APP, digest_of(LARGE)) == LARGE


@pytest.mark.parametrize("is_gone", [True, False])
async def test_an_upload_that_stopped_within_a_chunk_leaves_its_memory_to_others(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    monkeypatch.setattr("node.store.filling.STALLED", 1.0)  # More than a loaded machine makes the honest one wait.
    sink, stopped, left = registry.store.sink, await begin(registry), 300_000
    sink.buffers.room = CHUNK_SIZE

    async def receive_into(view: memoryview) -> int:
        nonlocal left
        came = min(left, len(view))
        left -= came
        if came < len(view) and is_gone:
            raise trio.BrokenResourceError
        if came < len(view):
            await trio.sleep_forever()
        return came

    async def stop() -> None:
        with pytest.raises((TooSlow, trio.BrokenResourceError)):
            await append_upload(registry, ALICE, APP, stopped, Source(receive_into, 0, 2 * CHUNK_SIZE))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop)
            await trio.testing.wait_all_tasks_blocked(0.05)
            await push_blob(registry, LARGE)
    assert sink.buffers.held == 0
    kept = await upload_progress(registry, ALICE, APP, stopped)
    assert kept > INLINE_SIZE
    assert await append_upload(registry, ALICE, APP, stopped, source(b"more", kept)) == kept + 4


@pytest.mark.parametrize("saved", [0, 3, CHUNK_SIZE + 7])
async def test_a_request_that_is_cancelled_in_the_middle_loses_only_its_own_part(
    registry: Registry, saved: int
) -> None:
    upload = await begin(registry)
    if saved:
        await append_upload(registry, ALICE, APP, upload, source(LARGE[:saved]))
    with trio.CancelScope() as scope:
        receive = source(LARGE[saved:]).receive_into

        async def receive_into(view: memoryview) -> int:
            came = await receive(view)
            if came < len(view):
                scope.cancel()
                await trio.lowlevel.checkpoint()
            return came

        await append_upload(registry, ALICE, APP, upload, Source(receive_into, None, None))
    assert scope.cancelled_caught
    if saved:
        assert await upload_progress(registry, ALICE, APP, upload) == saved
        await finish_upload(registry, ALICE, APP, upload, digest_of(LARGE), source(LARGE[saved:], saved))
        assert await content(registry, APP, digest_of(LARGE)) == LARGE
    else:
        with pytest.raises(UploadUnknown):
            await upload_progress(registry, ALICE, APP, upload)
        await delete_abandoned(registry)
        assert chunks(registry) == 0


async def test_a_full_store_in_the_middle_refuses_and_gives_the_room_back(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path, world, map_size=2**21) as registry:
        upload = await begin(registry)
        with pytest.raises(StoreFull):
            await append_upload(registry, ALICE, APP, upload, source(LARGE * 2))
        await delete_abandoned(registry)
        assert chunks(registry) == 0
        await push_blob(registry, LARGE[:200_000])


async def test_the_same_blob_twice_is_stored_once(registry: Registry) -> None:
    digest = digest_of(LARGE)
    uploads = [await begin(registry) for _ in range(2)]
    async with trio.open_nursery() as nursery:
        for upload in uploads:
            nursery.start_soon(finish_upload, registry, ALICE, APP, upload, digest, source(LARGE))
    await push_blob(registry, LARGE, OTHER)
    assert chunks(registry) == 3
    assert await content(registry, OTHER, digest) == LARGE


async def test_uploads_that_nobody_feeds_expire(registry: Registry, world: World) -> None:
    fed, stale = await begin(registry), await begin(registry)
    await begin(registry)  # Never fed.
    for upload in (fed, stale):
        await append_upload(registry, ALICE, APP, upload, source(LARGE[: CHUNK_SIZE + 1]))
    assert await expire_uploads(registry, after=DAY, idle=300) == 0
    world.now += 301
    await expire_uploads(registry, after=DAY, idle=300)
    assert len(registry.sessions) == 1  # What has settled is kept on disk alone.
    world.now += DAY - 400
    await append_upload(registry, ALICE, APP, fed, source(b"more"))
    world.now += 301
    assert await expire_uploads(registry, after=DAY, idle=300) == 1
    assert (len(registry.sessions), rows(registry), chunks(registry)) == (0, 1, 2)
    with pytest.raises(UploadUnknown):
        await upload_progress(registry, ALICE, APP, stale)
    assert await upload_progress(registry, ALICE, APP, fed) == CHUNK_SIZE + 5


async def test_an_upload_that_is_being_fed_does_not_expire(
    registry: Registry, world: World, nursery: trio.Nursery
) -> None:
    upload, never = await begin(registry), trio.Event()
    await append_upload(registry, ALICE, APP, upload, source(LARGE))

    async def stalled(_view: memoryview) -> int:
        await never.wait()
        return 0

    nursery.start_soon(append_upload, registry, ALICE, APP, upload, Source(stalled, None, None))
    await trio.testing.wait_all_tasks_blocked()
    world.now += 2 * DAY
    assert await expire_uploads(registry, after=DAY, idle=300) == 0
    assert (rows(registry), chunks(registry)) == (1, 3)
    nursery.cancel_scope.cancel()


async def test_what_is_abandoned_and_named_after_all_stays(registry: Registry) -> None:
    upload = await begin(registry)
    await append_upload(registry, ALICE, APP, upload, source(LARGE))
    registry.abandoned.update({session.ingest.number for session in registry.sessions.values()})
    assert await delete_abandoned(registry) == 0
    await finish_upload(registry, ALICE, APP, upload, digest_of(LARGE), source())
    registry.abandoned.add(1)
    assert await delete_abandoned(registry) == 0
    assert await content(registry, APP, digest_of(LARGE)) == LARGE


async def test_an_upload_that_is_taken_up_while_it_expires_ends_with_it(registry: Registry, world: World) -> None:
    """Its chunks are about to go: nothing that is finished on them may become visible."""
    upload = await begin(registry)
    await append_upload(registry, ALICE, APP, upload, source(LARGE))
    world.now += 2 * DAY
    await expire_uploads(registry, after=DAY, idle=300)
    registry.sessions.clear()
    upload = await begin(registry)
    await append_upload(registry, ALICE, APP, upload, source(LARGE))
    registry.sessions.clear()
    world.now += 2 * DAY
    refused: list[bool] = []

    async def finish() -> None:
        try:
            await finish_upload(registry, ALICE, APP, upload, digest_of(LARGE), source())
        except UploadUnknown:
            refused.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: expire_uploads(registry, after=DAY, idle=300))
        nursery.start_soon(finish)
    if not refused:
        assert await content(registry, APP, digest_of(LARGE)) == LARGE


async def test_too_many_at_once_are_put_off(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.registry.uploads.MAX_SESSIONS", 2)
    first, _ = await begin(registry), await begin(registry)
    with pytest.raises(Busy):
        await begin(registry)
    await cancel_upload(registry, ALICE, APP, first)
    await begin(registry)


@pytest.mark.parametrize("setting", ["templates", "never"])
async def test_a_repository_that_a_push_may_not_create_is_unknown(tmp_path: Path, world: World, setting: str) -> None:
    async with opened(tmp_path, world) as registry:
        await push_image(registry, b"{}", name=OTHER)
    async with opened(tmp_path, world, create_on_push=setting) as registry:
        with pytest.raises(NameUnknown):
            await begin(registry)
        await push_blob(registry, b"abc", OTHER)


async def test_who_may_not_create_the_repository_stores_nothing(registry: Registry, world: World) -> None:
    upload = await begin(registry)
    world.denied.add(("ecr:CreateRepository", APP))
    with pytest.raises(Denied):  # Before any byte is sent.
        await begin(registry)
    with pytest.raises(Denied):
        await finish_upload(registry, ALICE, APP, upload, digest_of(LARGE), source(LARGE))
    await delete_abandoned(registry)
    assert (rows(registry), chunks(registry)) == (0, 0)


async def test_an_upload_whose_row_could_not_be_written_leaves_no_chunks(registry: Registry, world: World) -> None:
    """As where its client went away and the disk took longer than one waits for it."""
    await begin(registry)
    [session] = registry.sessions.values()
    await session.ingest.fill(source(LARGE).receive_into, None)
    world.now += DAY + 1
    await expire_uploads(registry, after=DAY, idle=300)
    assert await delete_abandoned(registry) == 1
    assert chunks(registry) == 0


async def test_what_is_abandoned_while_nothing_can_be_written_is_freed_later(registry: Registry) -> None:
    number = registry.store.sink.next_number()
    await registry.store.chunk_writer.write(lambda txn: registry.store.chunks.put(txn, number, 0, LARGE[:100]))
    registry.abandoned.add(number)
    registry.store.writer.broken = True
    with pytest.raises(StoreReadOnly):
        await delete_abandoned(registry)
    registry.store.writer.broken = False
    assert await delete_abandoned(registry) == 1
    assert chunks(registry) == 0


async def test_what_was_abandoned_before_a_restart_is_free_afterwards_and_is_used_again(
    tmp_path: Path, world: World
) -> None:
    """An upload has a deadline on disk, its chunks go a few at a time, the file does not grow for more (zot#2598)."""
    big = bytes(2 * DELETE_BATCH * CHUNK_SIZE + 5)
    async with opened(tmp_path / "other", world, map_size=2**28) as registry:
        upload = await begin(registry)
        await append_upload(registry, ALICE, APP, upload, source(big))
        kept = await begin(registry)
        world.now += 71 * 3600
        await append_upload(registry, ALICE, APP, kept, source(b"more"))
    async with opened(tmp_path / "other", world, map_size=2**28) as registry:
        world.now += 2 * 3600
        before, size = registry.store.chunk_writer.commits, registry.store.space.chunks.count().size
        assert await expire_uploads(registry, after=72 * 3600, idle=300) == 1
        assert registry.store.chunk_writer.commits - before == 3
        assert (chunks(registry), registry.counts.uploads) == (0, 1)
        assert registry.store.space.chunks.count().free > 0.98 * size
        assert await upload_progress(registry, ALICE, APP, kept) == 4
        again = await begin(registry)
        await append_upload(registry, ALICE, APP, again, source(big))
        assert registry.store.space.chunks.count().size < 1.2 * size
