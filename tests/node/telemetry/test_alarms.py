"""An alarm is a state: raised again and again while it holds, once in the log, with what to do about it."""

from typing import get_args

from node.telemetry.alarms import REMEDIES, Alarm, AlarmName, Alarms


def test_an_alarm_keeps_the_time_of_its_first_notice_and_says_the_latest() -> None:
    times = iter([100.0])
    alarms = Alarms(lambda: next(times))
    alarms.raise_("disk-full", "3 bytes left")
    alarms.raise_("disk-full", "2 bytes left")
    assert alarms.raised() == [Alarm("disk-full", 100.0, "2 bytes left", REMEDIES["disk-full"])]


def test_what_is_over_is_gone_and_what_never_was_does_no_harm() -> None:
    alarms = Alarms(lambda: 1.0)
    alarms.clear("disk-full")
    alarms.keep("disk-failed", "fdatasync")
    alarms.keep("disk-failed", "")
    assert alarms.raised() == []


def test_the_oldest_comes_first() -> None:
    times = iter([5.0, 3.0])
    alarms = Alarms(lambda: next(times))
    alarms.raise_("disk-full", "a")
    alarms.raise_("disk-failed", "b")
    assert [alarm.name for alarm in alarms.raised()] == ["disk-failed", "disk-full"]


def test_every_alarm_has_a_remedy() -> None:
    assert set(REMEDIES) == set(get_args(AlarmName))
