"""The checker finds what it is there to find: a harness that cannot fail proves nothing."""

import time
from math import inf

import pytest

from tests.e2e.history import Read, Write, explains
from tests.e2e.load import AFTERMATH, Weather
from tests.e2e.workload import Key, Ledger

A, B = Write("a", 1, 2), Write("b", 3, 4)
LOST_B = Write("b", 3, 4, acknowledged=False)
DELETE = Write(None, 5, 6)
DELETE_A = Write(None, 5, 6, only="a")


@pytest.mark.parametrize(
    ("writes", "value", "possible", "why"),
    [
        ([], None, True, "nothing was written"),
        ([], "a", False, "a value out of nowhere"),
        ([A], "a", True, "acknowledged and there"),
        ([A], None, False, "acknowledged and lost"),
        ([A, B], "a", False, "an old value came back"),
        ([A, LOST_B], "a", True, "the second write did not happen"),
        ([A, LOST_B], "b", True, "it did happen"),
        ([A, Write("b", 1.5, 4)], "a", True, "they overlapped: either order"),
        ([A, DELETE], "a", False, "deleted, and back again"),
        ([A, DELETE], None, True, "deleted"),
        ([A, DELETE_A], None, True, "deleted with its manifest"),
        ([A, DELETE_A], "a", False, "a tag without its manifest"),
        ([A, B, DELETE_A], None, False, "another manifest's deletion took the tag along"),
        ([A, B, DELETE_A], "b", True, "another manifest was deleted"),
        ([A, LOST_B, DELETE_A], None, True, "the second write did not happen before the deletion"),
    ],
)
def test_explains(writes: list[Write], value: str | None, possible: bool, why: str) -> None:
    assert explains(writes, Read(value, 10)) == possible, why


def test_a_read_beside_a_write_sees_either() -> None:
    assert explains([A, B], Read("a", 3.5, 3.6))
    assert explains([A, B], Read("b", 3.5, 3.6))
    assert not explains([A, B], Read("b", 2.5, 2.6))


TAG: Key = ("tag", "app", "v1")


def test_a_ledger_takes_note_of_what_was_answered_and_of_what_was_not() -> None:
    ledger = Ledger()
    with ledger.writing("a", TAG):
        pass
    with pytest.raises(OSError, match="broken"), ledger.writing("b", TAG):
        raise OSError("broken")
    assert [write.acknowledged for write in ledger.writes[TAG]] == [True, False]
    ledger.copy().settle(TAG, Read("b", inf))
    ledger.settle(TAG, Read("a", inf))


@pytest.mark.parametrize("value", [None, "b", "c"])
def test_a_ledger_notices_what_is_lost_or_made_up(value: str | None) -> None:
    ledger = Ledger()
    with ledger.writing("b", TAG):
        pass
    with ledger.writing("a", TAG):
        pass
    with pytest.raises(AssertionError, match="no history explains"):
        ledger.settle(TAG, Read(value, inf))
    ledger.reads.append((TAG, Read(value, inf)))
    with pytest.raises(AssertionError, match="no history explains"):
        ledger.settle_reads()


def test_a_copy_of_a_ledger_goes_on_by_itself() -> None:
    ledger = Ledger()
    copied = ledger.copy()
    with copied.writing("a", TAG):
        pass
    assert ledger.writes == {}


def test_a_problem_is_what_fails_in_fine_weather() -> None:
    weather = Weather()
    assert weather.is_fine(1000.0)
    with weather.fault("a kill"):
        assert not weather.is_fine(time.monotonic())
    assert not weather.is_fine(time.monotonic())
    assert weather.is_fine(time.monotonic() + 2 * AFTERMATH)
