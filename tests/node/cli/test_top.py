"""``entrepot top``: rates are differences of two looks, and what strangers chose cannot speak to the terminal."""

from math import inf
from typing import Any

import msgspec
import pytest

from node.api.admin.activity import Activity, ProcessUse
from node.cli.picture import picture, quantile
from node.registry.condition import Condition, Reason
from node.registry.transfers import Transfer
from node.telemetry.alarms import Alarm
from node.telemetry.metrics import DoorCounts
from node.telemetry.usage import Usage

Node = Any
Shell = Any

NOTHING = DoorCounts({}, [("0.01", 0), ("0.1", 0), ("+Inf", 0)], 0, 0, 0)


def look(at: float, *, clients: DoorCounts = NOTHING, transfers: tuple[Transfer, ...] = (), **more: object) -> Activity:
    numbers = {
        "entrepot_store_writes_waiting": {"meta": 3.0},
        "entrepot_loop_lag_seconds": [("0.01", at * 10), ("+Inf", at * 10)],
        "entrepot_connections": {"oci": 7.0},
        "entrepot_journal_position": 12.0,
    }
    fields: dict[str, Any] = {
        "at": at, "up": at, "version": "1", "node": "n", "registry": "111111111111/eu", "alarms": [], "restart": (),
        "condition": Condition(pushes=True, pulls=True), "doors": {"oci": clients, "peers": NOTHING},
        "transfers": list(transfers), "process": ProcessUse(at / 2, 2**20, Usage(0, 0), Usage(20, 100)),
        "numbers": numbers,
    }  # fmt: skip
    return Activity(**{**fields, **more})


@pytest.mark.parametrize(
    ("buckets", "share", "value"),
    [
        ([], 0.5, None),
        ([("1", 0), ("+Inf", 0)], 0.5, None),
        ([("1", 10), ("+Inf", 10)], 0.5, 0.5),  # Evenly from 0 to 1.
        ([("1", 90), ("2", 100), ("+Inf", 100)], 0.95, 1.5),
        ([("1", 1), ("+Inf", 100)], 0.99, inf),
        ([("1", 0), ("2", 4), ("+Inf", 4)], 0.5, 1.5),
    ],
)
def test_a_quantile_of_buckets(buckets: list[tuple[str, float]], share: float, value: float | None) -> None:
    assert quantile(buckets, share) == value


def test_rates_are_of_the_time_between_the_looks() -> None:
    first = DoorCounts({"GET": {"2xx": 100}}, [("0.01", 100), ("0.1", 100), ("+Inf", 100)], 1000, 0, 0)
    second = DoorCounts(
        {"GET": {"2xx": 120, "4xx": 4}, "PUT": {"2xx": 2}}, [("0.01", 113), ("0.1", 126), ("+Inf", 126)], 5000, 600, 0
    )
    shown = picture(look(10, clients=first), look(12, clients=second))
    assert shown.requests == {"GET": {"2xx": 10.0, "4xx": 2.0}, "PUT": {"2xx": 1.0}}
    assert (shown.sent, shown.received, shown.cpu) == (2000.0, 300.0, 0.5)
    assert shown.median == 0.01  # Of the 26 requests between, not of all.
    assert shown.connections == {"oci": 7.0}
    assert shown.queues == [("store writes waiting (meta)", 3.0)]


def test_a_transfer_has_the_rate_of_the_interval_or_of_its_life() -> None:
    before = Transfer("r1", "download", "app", "sha256:a", "10.0.0.1", 100, 1000, 50.0)
    later = msgspec.structs.replace(before, moved=300, seconds=52.0)
    new = Transfer("u2", "upload", "app", "", "10.0.0.2", 400, None, 4.0)
    shown = picture(look(10, transfers=(before,)), look(12, transfers=(later, new)))
    assert [(one.rate, one.done) for one in shown.moving] == [(100.0, 0.3), (100.0, None)]


def test_one_picture_as_text(node: Node, run: Shell) -> None:
    stranger = Transfer("r1", "download", "app\x1b[2J", "sha256:" + "a" * 64, "10.0.0.1", 2**20, 2**21, 3.0)
    alarm = Alarm("disk-full", 0.0, "no room\n", "add some")
    closed = Condition(pushes=False, pulls=True, reasons=(Reason("read-only", "operator: tonight"),))
    shown = look(5, transfers=(stranger,), alarms=[alarm], condition=closed, restart=("listen.peer",))
    node.answers["GET activity"] = (200, shown)
    result = run("top", "--once", "--interval", "0.1")
    assert (result.exit_code, result.stderr) == (0, "")
    for text in (
        "pulls go on, pushes are refused", "read-only: operator: tonight", "ALARM disk-full: no room\\u000a",
        "add some", "a restart would change: listen.peer", "app\\u001b[2J", "1.0 MiB", "50 %", "20 of 100 descriptors",
    ):  # fmt: skip
        assert text in result.stdout
    assert "\x1b" not in result.stdout
    assert run("top", "--json", "--interval", "0.1").stdout.startswith("{")
