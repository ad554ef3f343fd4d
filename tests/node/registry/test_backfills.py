"""A backfill sends what was here before the rules, tells how far it is, and stops when it is told to."""

from collections.abc import AsyncIterator

import pytest
import trio

from node.registry.announcing import acknowledge, due_images
from node.registry.backfilling import Backfill, State, find_backfill
from node.registry.backfills import MAX_RUNNING, backfill_results, list_backfills, start_backfill, stop_backfill
from node.registry.backfillwork import run_backfills
from node.registry.deletes import delete_image
from node.registry.imageids import image_id
from node.registry.registry import Registry
from node.registry.replication import put_replication
from node.registry.storage import update_storage_class
from protocol.auth.names import Account, Region, RegistryName
from protocol.errors import (
    BackfillEnded,
    BackfillInProgress,
    BackfillUnknown,
    Denied,
    LimitExceeded,
    ValidationFailed,
)
from protocol.oci.names import RepositoryName
from protocol.wire.transfer import Acknowledgement
from tests.node.registry.test_replication import FAR, THERE, announced, due, fetched, rules, take
from tests.node.registry.world import ACCOUNT, ALICE, APP, DAY, EVE, OTHER, World, image, index, push_image, put


@pytest.fixture
async def working(registry: Registry) -> AsyncIterator[Registry]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_backfills, registry)
        yield registry
        nursery.cancel_scope.cancel()


def now(registry: Registry, backfill: Backfill) -> Backfill:
    with registry.store.meta.read() as txn:
        found = find_backfill(registry, txn, backfill.id)
    assert found is not None
    return found


async def becomes(registry: Registry, backfill: Backfill, *states: State) -> Backfill:
    with trio.fail_after(20):
        while now(registry, backfill).state not in states:  # noqa: ASYNC110 - it looks once a second by itself.
            await trio.sleep(0.01)
    return now(registry, backfill)


async def answer(registry: Registry, said: Acknowledgement, to: RegistryName = THERE) -> None:
    for one in due_images(registry, to, after=b"", limit=999):
        await acknowledge(registry, to, one, said)


async def test_what_was_here_before_is_sent_and_told(working: Registry) -> None:
    before = [await push_image(working, b"%d" % n, tags=("a", "b") if n else ()) for n in range(2)]
    await push_image(working, b"{}", name=OTHER)
    await put_replication(working, ALICE, rules("team/"))
    assert await due(working) == []
    begun = await start_backfill(working, ALICE, THERE)
    assert (begun.state, begun.destination) == ("PREPARING", THERE)
    running = await becomes(working, begun, "IN_PROGRESS")
    assert (running.total, running.completed, running.failed) == (3, 0, 0)
    assert backfill_results(working, ALICE, begun.id, outcome="", after="", limit=9).items == []
    assert set(await due(working)) == set(before)
    await answer(working, Acknowledgement("done"))
    ended = await becomes(working, begun, "COMPLETE")
    assert (ended.total, ended.completed, ended.failed, ended.failure) == (3, 3, 0, "")
    page = backfill_results(working, ALICE, begun.id, outcome="COMPLETE", after="", limit=2)
    assert page.next is not None
    rest = backfill_results(working, ALICE, begun.id, outcome="COMPLETE", after=page.next, limit=2)
    pairs = sorted((one.digest, one.tag or "") for one in (*page.items, *rest.items))
    assert pairs == sorted([(before[0], ""), (before[1], "a"), (before[1], "b")])
    assert rest.next is None


async def test_what_failed_is_told_with_its_code(working: Registry) -> None:
    await push_image(working, b"{}")
    await put_replication(working, ALICE, rules())
    begun = await start_backfill(working, ALICE, THERE)
    await becomes(working, begun, "IN_PROGRESS")
    await answer(working, Acknowledgement("failed", "AccessDenied", "no"))
    ended = await becomes(working, begun, "COMPLETE")
    assert (ended.completed, ended.failed, ended.failures) == (0, 1, ("AccessDenied",))
    [one] = backfill_results(working, ALICE, begun.id, outcome="FAILED", after="", limit=9).items
    assert one.failure == "AccessDenied"
    assert backfill_results(working, ALICE, begun.id, outcome="COMPLETE", after="", limit=9).items == []


async def test_what_goes_meanwhile_failed(working: Registry) -> None:
    digest = await push_image(working, b"{}")
    await put_replication(working, ALICE, rules())
    begun = await start_backfill(working, ALICE, THERE)
    await becomes(working, begun, "IN_PROGRESS")
    await delete_image(working, ALICE, APP, digest)
    for one in due_images(working, THERE, after=b"", limit=9):
        await acknowledge(working, THERE, one, None)
    assert (await becomes(working, begun, "COMPLETE")).failures == ("ImageNotFound",)


async def test_half_of_a_hundred_is_too_many_failures(working: Registry) -> None:
    for n in range(4):
        await push_image(working, b"%d" % n, tags=tuple(f"{n}-{tag}" for tag in range(30)))
    await put_replication(working, ALICE, rules())
    begun = await start_backfill(working, ALICE, THERE)
    await becomes(working, begun, "IN_PROGRESS")
    rows = due_images(working, THERE, after=b"", limit=9)
    for one in rows[:3]:
        await acknowledge(working, THERE, one, Acknowledgement("failed", "AccessDenied", "no"))
    with trio.fail_after(20):
        while now(working, begun).failed != 90:  # noqa: ASYNC110 - it looks once a second by itself.
            await trio.sleep(0.01)
    assert now(working, begun).state == "IN_PROGRESS"  # Of ninety nobody can say.
    await acknowledge(working, THERE, rows[3], Acknowledgement("done"))
    ended = await becomes(working, begun, "FAILED")
    assert (ended.failed, ended.completed, ended.failure) == (90, 30, "TooManyFailures")


async def test_what_is_stopped_is_wanted_no_more_but_for_what_was_pushed_since(working: Registry) -> None:
    first, second = [await push_image(working, b"%d" % n) for n in range(2)]
    await put_replication(working, ALICE, rules())
    begun = await start_backfill(working, ALICE, THERE)
    await becomes(working, begun, "IN_PROGRESS")
    await put(working, image(b"1"), "new")
    assert set(await due(working)) == {first, second}
    assert (await stop_backfill(working, ALICE, begun.id)).state == "STOPPING"
    ended = await becomes(working, begun, "STOPPED")
    assert (ended.total, ended.completed, ended.failed) == (2, 0, 0)
    assert await due(working) == [second]
    with pytest.raises(BackfillEnded):
        await stop_backfill(working, ALICE, begun.id)


async def test_what_is_there_already_is_not_sent_again(working: Registry) -> None:
    await put_replication(working, ALICE, rules())
    await push_image(working, b"{}")
    await due(working)
    await answer(working, Acknowledgement("done"))
    ended = await becomes(working, await start_backfill(working, ALICE, THERE), "COMPLETE")
    assert (ended.total, ended.completed) == (1, 1)
    assert await due(working) == []


async def test_neither_parts_nor_what_is_archived_nor_what_came_itself(working: Registry) -> None:
    await push_image(working, b"child")
    parent = (await put(working, index(image(b"child")), "multi")).digest
    archived = await push_image(working, b"archived")
    await update_storage_class(working, ALICE, APP, image_id(archived, None), "ARCHIVE")
    await fetched(working, b"1")
    await take(working, announced(image(b"1"), 1000, latest=1000))
    await put_replication(working, ALICE, rules(to=FAR))
    begun = await start_backfill(working, ALICE, FAR)
    await becomes(working, begun, "IN_PROGRESS")
    assert await due(working, FAR) == [parent]


async def test_it_goes_on_where_a_node_was_stopped(registry: Registry) -> None:
    await push_image(registry, b"{}")
    await put_replication(registry, ALICE, rules())
    begun = await start_backfill(registry, ALICE, THERE)
    for state in ("IN_PROGRESS", "COMPLETE"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_backfills, registry)
            await becomes(registry, begun, state)
            nursery.cancel_scope.cancel()
        await answer(registry, Acknowledgement("done"))


async def test_a_registry_without_images_is_done_at_once(working: Registry) -> None:
    await put_replication(working, ALICE, rules())
    ended = await becomes(working, await start_backfill(working, ALICE, THERE), "COMPLETE")
    assert ended.total == 0


async def test_there_are_only_so_many_and_one_to_a_region(registry: Registry, world: World) -> None:
    with pytest.raises(ValidationFailed):
        await start_backfill(registry, ALICE, THERE)
    there = [RegistryName(ACCOUNT, Region(f"r-{n}")) for n in range(MAX_RUNNING + 1)]
    other = RegistryName(Account("222222222222"), Region("r-0"))
    destinations = [{"region": one.region, "registryId": one.account} for one in (*there, other)]
    rule = b'{"rules": [{"destinations": %s}]}' % str(destinations).replace("'", '"').encode()
    await put_replication(registry, ALICE, rule)
    begun = []
    for one in there[:-1]:
        world.now += 1
        begun.append(await start_backfill(registry, ALICE, one))
    with pytest.raises(BackfillInProgress):
        await start_backfill(registry, ALICE, other)
    with pytest.raises(LimitExceeded):
        await start_backfill(registry, ALICE, there[-1])
    first = list_backfills(registry, ALICE, after="", limit=4)
    rest = list_backfills(registry, ALICE, after=first[-1].id, limit=99)
    assert [one.id for one in (*first, *rest)] == [one.id for one in reversed(begun)]


async def test_after_ninety_days_it_is_forgotten(working: Registry, world: World) -> None:
    await put_replication(working, ALICE, rules())
    begun = await start_backfill(working, ALICE, THERE)
    await becomes(working, begun, "COMPLETE")
    world.now += 91 * DAY
    assert list_backfills(working, ALICE, after="", limit=9) == []
    with pytest.raises(BackfillUnknown):
        backfill_results(working, ALICE, begun.id, outcome="", after="", limit=9)
    await start_backfill(working, ALICE, THERE)
    with working.store.meta.read() as txn:
        assert find_backfill(working, txn, begun.id) is None


async def test_many_images_are_pages(working: Registry) -> None:
    tags = tuple(f"t{n}" for n in range(120))
    for n in range(10):
        await push_image(working, b"%d" % n, tags=tuple(f"{n}-{tag}" for tag in tags), name=RepositoryName(f"r/{n}"))
    await put_replication(working, ALICE, rules())
    begun = await start_backfill(working, ALICE, THERE)
    assert (await becomes(working, begun, "IN_PROGRESS")).total == 1200
    await answer(working, Acknowledgement("done"))
    await becomes(working, begun, "COMPLETE")
    found, after = 0, ""
    while True:
        page = backfill_results(working, ALICE, begun.id, outcome="", after=after, limit=500)
        found += len(page.items)
        if page.next is None:
            break
        after = page.next
    assert found == 1200


async def test_who_may_not_learns_nothing(registry: Registry) -> None:
    for call in (start_backfill(registry, EVE, THERE), stop_backfill(registry, EVE, "x")):
        with pytest.raises(Denied):
            await call
    with pytest.raises(Denied):
        list_backfills(registry, EVE, after="", limit=1)
    with pytest.raises(Denied):
        backfill_results(registry, EVE, "x", outcome="", after="", limit=1)
