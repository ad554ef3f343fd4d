"""A clock that cannot be right closes the gate; one that is behind or leaps is told of; silence is neither."""

import pytest

from node.daemon import clock as clock_module
from node.daemon.clock import WallClock
from node.registry.readonly import set_read_only
from node.registry.registry import Registry
from protocol.sync.clock import stamp_ms
from tests.node.registry.world import ALICE, DAY, World, push_blob

START = 1_800_000_000.0


@pytest.fixture(autouse=True)
def nobody_else_knows_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "is_synchronised", lambda: False)


@pytest.mark.parametrize("now", [0.0, 1_000_000_000.0, 4_291_747_200.0, -5.0, 1e18])
async def test_a_node_with_such_a_clock_takes_no_pushes(registry: Registry, world: World, now: float) -> None:
    world.now = now
    wall = WallClock(registry)
    assert "pulls go on" in wall.look()
    assert "clock" in registry.gate.closed
    world.now = START  # It was set.
    assert wall.look() == ""
    assert not registry.gate.why
    assert stamp_ms(registry.author.clock.stamp(world.now)) == START * 1000


async def test_setting_the_clock_opens_nothing_that_others_closed(registry: Registry, world: World) -> None:
    world.now = 0.0
    wall = WallClock(registry)
    await set_read_only(registry, ALICE, "moving")
    world.now = START
    wall.look()
    assert set(registry.gate.closed) == {"operator"}


async def test_a_node_that_was_off_for_a_year_believes_its_clock(registry: Registry, world: World) -> None:
    registry.author.clock.stamp(START - 365 * DAY)
    assert WallClock(registry).look() == ""
    assert stamp_ms(registry.author.clock.stamp(world.now)) == START * 1000


async def test_hours_without_a_write_are_no_leap(registry: Registry, world: World) -> None:
    wall = WallClock(registry)
    await push_blob(registry, b"x")
    for _ in range(50):
        world.now += 600
        assert wall.look() == ""
    assert stamp_ms(registry.author.clock.stamp(world.now)) == world.now * 1000


async def test_a_leap_is_told_until_somebody_believes_it(registry: Registry, world: World) -> None:
    wall = WallClock(registry)
    world.now += 2 * DAY
    assert "leapt" in wall.look()
    assert stamp_ms(registry.author.clock.stamp(world.now)) < START * 1000 + 20_000
    wall.believe()
    assert wall.look() == ""
    assert stamp_ms(registry.author.clock.stamp(world.now)) == world.now * 1000


async def test_a_leap_that_the_kernel_vouches_for_is_none(
    registry: Registry,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = WallClock(registry)
    monkeypatch.setattr(clock_module, "is_synchronised", lambda: True)
    world.now += 2 * DAY  # A machine that was suspended.
    assert wall.look() == ""


async def test_a_clock_that_is_behind_is_told_and_pushes_go_on(registry: Registry, world: World) -> None:
    wall = WallClock(registry)
    registry.author.clock.stamp(world.now)
    world.now -= DAY
    assert "has seen" in wall.look()
    await push_blob(registry, b"x")
