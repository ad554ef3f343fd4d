"""When an image was pulled last: seen at once, written down later, and never by who is excluded."""

import pytest
import trio

from node.registry.deletes import delete_image
from node.registry.exclusions import deregister_exclusion, list_exclusions, register_exclusion
from node.registry.pulltimes import last_pull, note_pull, write_pull_times
from node.registry.registry import Quotas, Registry, Settings
from protocol.auth.caller import Caller
from protocol.errors import Denied, ExclusionExists, ExclusionUnknown, LimitExceeded
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName
from tests.node.registry.world import ALICE, APP, EVE, World, image, push_image, put

ROLE = "arn:aws:iam::111111111111:role/scanner"
SESSION = Caller("arn:aws:sts::111111111111:assumed-role/scanner/ci", "111111111111")


def last(registry: Registry, digest: Digest, name: RepositoryName = APP) -> float | None:
    with registry.store.meta.read() as txn:
        row = registry.store.meta.repositories.get(txn, name)
        assert row is not None
        state = registry.store.meta.images.get(txn, row.number, digest)
        assert state is not None
        assert state.shown is not None
        return last_pull(registry, txn, name, digest, state.shown.value.pushed / 1000)


async def test_a_pull_is_seen_at_once_and_stays_when_it_was_written(registry: Registry, world: World) -> None:
    digest = await push_image(registry, b"{}")
    assert last(registry, digest) is None
    for _ in range(2):
        world.now += 60
        note_pull(registry, ALICE, APP, digest)
        assert last(registry, digest) == world.now
        await write_pull_times(registry)
        assert registry.pulls.times == {}
        assert last(registry, digest) == world.now


async def test_an_image_that_comes_again_was_not_pulled_since(registry: Registry, world: World) -> None:
    digest = await push_image(registry, b"{}")
    note_pull(registry, ALICE, APP, digest)
    await delete_image(registry, ALICE, APP, digest)
    await write_pull_times(registry)  # Nothing to write: it is not there.
    world.now += 1
    await put(registry, image(b"{}"))
    assert last(registry, digest) is None


async def test_what_is_excluded_leaves_no_trace_its_sessions_neither(registry: Registry) -> None:
    digest = await push_image(registry, b"{}")
    await register_exclusion(registry, ALICE, ROLE)
    for caller in (SESSION, Caller(ROLE, "111111111111")):
        note_pull(registry, caller, APP, digest)
    assert last(registry, digest) is None
    await deregister_exclusion(registry, ALICE, ROLE)
    note_pull(registry, SESSION, APP, digest)
    assert last(registry, digest) is not None


async def test_what_could_not_be_written_is_kept(registry: Registry, world: World) -> None:
    digest = await push_image(registry, b"{}")
    note_pull(registry, ALICE, APP, digest)
    with trio.CancelScope() as scope:
        scope.cancel()
        await write_pull_times(registry)
    assert registry.pulls.times == {(APP, digest): world.now}
    await write_pull_times(registry)
    assert last(registry, digest) == world.now


async def test_exclusions_are_listed_in_order_and_there_are_only_so_many(registry: Registry, world: World) -> None:
    registry.settings = Settings(quotas=Quotas(pull_time_exclusions=2))
    assert await register_exclusion(registry, ALICE, ROLE) == world.now
    await register_exclusion(registry, ALICE, ALICE.arn)
    with pytest.raises(ExclusionExists):
        await register_exclusion(registry, ALICE, ROLE)
    with pytest.raises(LimitExceeded):
        await register_exclusion(registry, ALICE, f"{ROLE}-2")
    assert list_exclusions(registry, ALICE, after="", limit=1) == [ROLE]
    assert list_exclusions(registry, ALICE, after=ROLE, limit=9) == [ALICE.arn]
    await deregister_exclusion(registry, ALICE, ROLE)
    with pytest.raises(ExclusionUnknown):
        await deregister_exclusion(registry, ALICE, ROLE)
    await register_exclusion(registry, ALICE, ROLE)  # It may come again.


async def test_who_may_not_learns_nothing(registry: Registry) -> None:
    for call in (register_exclusion(registry, EVE, ROLE), deregister_exclusion(registry, EVE, ROLE)):
        with pytest.raises(Denied):
            await call
    with pytest.raises(Denied):
        list_exclusions(registry, EVE, after="", limit=1)
