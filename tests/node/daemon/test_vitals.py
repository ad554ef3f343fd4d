"""The node's own alarms: raised by what is found, gone when it is over."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from node.daemon import vitals as vitals_module
from node.daemon.vitals import DAY, Vitals
from node.telemetry.alarms import Alarms
from node.telemetry.holds import Hold
from node.telemetry.lines import Lines
from node.telemetry.usage import Usage


@dataclass
class Clock:
    says: str = ""

    def look(self) -> str:
        return self.says

    def now(self) -> float:
        return 0.0


@dataclass
class Node:
    vitals: Vitals
    alarms: Alarms
    lines: Lines
    clock: Clock
    expires: list[float]
    ahead: list[float]
    now: float = 0.0

    def look(self) -> dict[str, str]:
        self.vitals.look()
        return {alarm.name: alarm.what for alarm in self.alarms.raised()}


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    alarms, clock, expires, ahead = Alarms(lambda: 0.0), Clock(), [0.0], list[float]()
    with (tmp_path / "log").open("wb") as file:
        lines = Lines(file.fileno())
    vitals = Vitals(alarms, clock, {"clients": lambda: expires[0]}, lines, lambda: ahead)  # type: ignore[arg-type]
    node = Node(vitals, alarms, lines, clock, expires, ahead)
    monkeypatch.setattr(vitals_module, "monotonic", lambda: node.now)
    monkeypatch.setattr(vitals_module, "memory", lambda: Usage(0, 0))
    monkeypatch.setattr(vitals_module, "descriptors", lambda: Usage(1, 100))
    return node


def test_a_node_that_is_well_raises_nothing(node: Node) -> None:
    assert node.look() == {}


def test_what_the_clock_says(node: Node) -> None:
    node.clock.says = "it is 1970"
    assert node.look() == {"clock-wrong": "it is 1970"}
    node.clock.says = ""
    assert node.look() == {}


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        ([], ""),
        ([3600.0], ""),  # Nobody knows whose is wrong; the doctor tells of it.
        ([0.1, 3600.0, -0.1], ""),
        ([3600.0, 3601.0, 0.0], "3600 s ahead of this one"),
        ([-90.0, -91.0], "90 s behind this one"),
    ],
)
def test_a_clock_that_most_peers_disagree_with(node: Node, ahead: list[float], said: str) -> None:
    node.ahead.extend(ahead)
    assert said in node.look().get("clock-wrong", "")
    assert bool(said) == bool(node.look())


@pytest.mark.parametrize(
    ("left", "said"),
    [(8 * DAY, ""), (6 * DAY, "expires in 6 days"), (0.5 * DAY, "expires in 12 hours"), (-1.0, "has expired")],
)
def test_a_certificate(node: Node, left: float, said: str) -> None:
    node.expires[0] = left
    assert said in node.look().get("certificate-expiring", "")
    assert bool(said) == bool(node.look())


def test_descriptors_do_not_make_an_alarm_flicker(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for used in (85, 91, 85, 79, 85):
        monkeypatch.setattr(vitals_module, "descriptors", lambda used=used: Usage(used, 100))
        seen.append("descriptors-low" in node.look())
    assert seen == [False, True, True, False, False]


def test_lost_lines_of_the_log_are_told_for_a_minute(node: Node) -> None:
    node.lines.dropped = 3
    assert "3 lines" in node.look()["log-lost"]
    node.now += 59
    assert "log-lost" in node.look()
    node.now += 2
    assert node.look() == {}


def test_a_loop_that_stood_still(node: Node) -> None:
    node.vitals.held(Hold("request", 1.0, "node.http.serve._connection", ("node.x:1 y",)))
    assert node.look() == {}
    node.vitals.held(Hold("request", 2.5, "node.http.serve._connection", ("node.x:1 y",)))
    assert "held up by node.http.serve._connection (node.x:1 y)" in node.look()["loop-late"]
    node.now += 61
    assert node.look() == {}


def test_a_job_that_fails_again_and_again(node: Node) -> None:
    for _ in range(2):
        node.vitals.job_failed("collection")
        node.now += 60
    assert node.look() == {}
    node.vitals.job_failed("collection")
    assert "collection" in node.look()["job-failing"]
    node.now += 151  # It has not failed since.
    assert node.look() == {}
    node.vitals.job_failed("collection")
    assert node.look() == {}
