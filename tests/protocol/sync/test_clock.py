"""The hybrid clock: stamps only rise, whatever the wall clocks do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.sync.clock import AHEAD_MS, CEILING_MS, Clock, stamp_ms, stamp_of

NOW = 1_700_000_000.0
MS = 1_700_000_000_000
HOUR = 3600.0


def test_a_stamp_is_the_wall_clock_and_a_counter() -> None:
    clock = Clock()
    assert [clock.stamp(NOW), clock.stamp(NOW), clock.stamp(NOW + 0.001)] == [MS << 16, (MS << 16) + 1, (MS + 1) << 16]


def test_a_full_counter_borrows_from_the_next_millisecond() -> None:
    clock = Clock()
    stamps = [clock.stamp(NOW) for _ in range(2**16 + 1)]
    assert stamps[-1] == (MS + 1) << 16
    assert clock.stamp(NOW + 0.001) == stamps[-1] + 1


def test_the_ceiling_is_raised_once_for_many_stamps() -> None:
    clock = Clock()
    clock.stamp(NOW)
    ceiling = clock.ceiling
    assert ceiling == stamp_of(MS + CEILING_MS)
    clock.stamp(NOW + 9)
    assert clock.ceiling == ceiling
    clock.stamp(NOW + 11)
    assert clock.ceiling == stamp_of(MS + 11_000 + CEILING_MS)


def test_a_restart_goes_on_above_the_ceiling_though_the_wall_went_back() -> None:
    clock = Clock()
    last = clock.stamp(NOW)
    again = Clock(clock.ceiling)
    assert again.stamp(NOW - 1000) > clock.ceiling > last


@pytest.mark.parametrize(
    ("ahead_ms", "taken"), [(-1000, True), (0, True), (AHEAD_MS, True), (AHEAD_MS + 1, False), (10**10, False)]
)
def test_a_stamp_more_than_a_minute_ahead_is_not_taken(ahead_ms: int, taken: bool) -> None:
    clock, remote = Clock(), stamp_of(MS + ahead_ms)
    assert clock.observe(remote, NOW) == taken
    assert (clock.stamp(NOW) > remote) == (taken or ahead_ms <= 0)


def test_taking_stamps_minute_by_minute_does_not_carry_the_clock_away() -> None:
    clock = Clock()
    assert [clock.observe(stamp_of(MS + n * AHEAD_MS), NOW) for n in (1, 2, 3)] == [True, False, False]


def test_a_leap_is_not_believed_until_told() -> None:
    clock = Clock()
    first = clock.stamp(NOW)
    assert clock.stamp(NOW + 2 * HOUR) == first + 1
    assert not clock.tick(NOW + 2 * HOUR)
    assert not clock.observe(stamp_of(MS + 7_200_000), NOW + 2 * HOUR)
    clock.believe(NOW + 2 * HOUR)
    assert stamp_ms(clock.stamp(NOW + 2 * HOUR)) == MS + 7_200_000


def test_a_leap_across_a_restart_is_not_believed_either() -> None:
    clock = Clock()
    clock.stamp(NOW)
    again = Clock(clock.ceiling)
    assert again.stamp(NOW + 2 * HOUR) == clock.ceiling + 1


def test_an_idle_night_is_no_leap() -> None:
    clock = Clock()
    clock.stamp(NOW)
    for minute in range(8 * 60):
        assert clock.tick(NOW + minute * 60)
    assert stamp_ms(clock.stamp(NOW + 8 * HOUR)) == MS + 8 * 3_600_000


def test_a_node_ahead_of_its_peers_is_held_to_the_limit() -> None:
    clock = Clock()
    assert stamp_ms(clock.stamp(NOW + 500, limit=NOW + 10)) == MS + 10_000
    assert clock.stamp(NOW + 501, limit=NOW + 10) == stamp_of(MS + 10_000) + 1


@given(st.lists(st.tuples(st.sampled_from(["stamp", "observe", "restart", "believe"]), st.floats(-1e5, 1e9))))
def test_stamps_only_rise(steps: list[tuple[str, float]]) -> None:
    clock, last = Clock(), 0
    for deed, offset in steps:
        now = NOW + offset
        match deed:
            case "stamp":
                stamp = clock.stamp(now)
                assert last < stamp <= clock.ceiling
                last = stamp
            case "observe":
                remote = stamp_of(int(now * 1000))
                last = max(last, remote) if clock.observe(remote, NOW) else last
            case "restart":
                clock = Clock(clock.ceiling)
            case _:
                clock.believe(now)
