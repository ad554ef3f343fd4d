"""The metrics keep Prometheus's conventions (those that ``promtool check metrics`` holds) and a constant size."""

import re
from functools import partial
from operator import itemgetter

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from node.telemetry.durations import COMMITS, Durations
from node.telemetry.loop import INTERVAL, measure_loop_lag
from node.telemetry.metrics import COUNTED, HISTOGRAMS, MAX_CHILDREN, WATCHED, Metrics, Watched, described
from protocol.errors import Damaged

DOORS = ("oci", "admin")


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics(version="1.2.3", doors=DOORS)
    for name, (_, label) in WATCHED.items():
        one = _value_of(name)
        value: float | Durations | dict[str, float | Durations] = {"one": one, "two": one} if label else one
        metrics.watch(name, partial(itemgetter(0), (value,)))
    return metrics


def _value_of(name: Watched) -> float | Durations:
    return Durations(COMMITS) if name in HISTOGRAMS else 1.0


def value(metrics: Metrics, sample: str) -> float:
    [line] = [line for line in metrics.render().decode().splitlines() if line.startswith(f"{sample} ")]
    return float(line.split(" ")[1])


def test_names_keep_the_conventions(metrics: Metrics) -> None:
    families = list(text_string_to_metric_families(metrics.render().decode()))
    shown = {f"{family.name}_total" if family.type == "counter" else family.name: family for family in families}
    assert {name for name in shown if not name.startswith("process_")} == {*WATCHED, *COUNTED}
    for name in (*WATCHED, *COUNTED):
        kind, text, labels = described(name)
        assert (shown[name].type, shown[name].documentation) == (kind, text)
        for sample in shown[name].samples:
            assert {*sample.labels} - {"le"} == {*labels.split(", ")} - {""}, name
    for family in families:
        assert re.fullmatch(r"(entrepot|process)_[a-z][a-z0-9_]*", family.name), "a prefix, snake case"
        assert family.documentation, "help text"
        assert family.documentation.endswith("."), "a sentence"
        assert not re.search(r"_(ms|milliseconds|minutes|kb|kib|mb|kilobytes|percent)(_|$)", family.name), "base units"
        assert not re.search(r"_(counter|gauge|histogram|summary)(_|$)", family.name), "no type in the name"
        if family.type != "counter":
            assert not family.name.endswith("_total"), "only counters are totals"
        if family.type != "histogram":
            assert not re.search(r"_(count|sum|bucket)$", family.name), "reserved for histograms"
        for sample in family.samples:
            assert all(re.fullmatch(r"[a-z][a-z_]*", label) for label in sample.labels)


def test_a_request_is_counted_at_its_door(metrics: Metrics) -> None:
    metrics.observe_request("oci", "GET", 200, sent=10, received=0, seconds=0.003)
    metrics.observe_request("oci", "GET", 206, sent=5, received=0, seconds=100)
    assert value(metrics, 'entrepot_http_requests_total{door="oci",method="GET",status="2xx"}') == 2
    assert value(metrics, 'entrepot_http_sent_bytes_total{door="oci"}') == 15
    assert value(metrics, 'entrepot_http_request_seconds_bucket{door="oci",le="0.0025"}') == 0
    assert value(metrics, 'entrepot_http_request_seconds_bucket{door="oci",le="0.005"}') == 1
    assert value(metrics, 'entrepot_http_request_seconds_bucket{door="oci",le="60.0"}') == 1
    assert value(metrics, 'entrepot_http_request_seconds_count{door="oci"}') == 2


def test_the_size_does_not_depend_on_what_clients_choose(metrics: Metrics) -> None:
    def lines() -> list[str]:
        return [line.rpartition(" ")[0] for line in metrics.render().decode().splitlines() if line[0] != "#"]

    before = lines()
    for number in range(1000):
        metrics.observe_request(f"door{number}", f"METHOD{number}", number, sent=0, received=0, seconds=number)
    assert lines() == before


def test_sets_are_bounded(metrics: Metrics) -> None:
    metrics.watch("entrepot_replication_lag_seconds", lambda: {f"1/{number}": 1.0 for number in range(9999)})
    for number in range(9999):
        metrics.count_limit_hit(f"limit {number}")
    assert metrics.render().count(b"entrepot_replication_lag_seconds{") == MAX_CHILDREN
    assert metrics.render().count(b"entrepot_limit_hits_total{") == MAX_CHILDREN


def test_limit_hits_are_counted_by_limit(metrics: Metrics) -> None:
    for _ in range(3):
        metrics.count_limit_hit("head")
    assert value(metrics, 'entrepot_limit_hits_total{limit="head"}') == 3


def test_a_number_that_cannot_be_read_leaves_the_others(metrics: Metrics) -> None:
    def damaged() -> float:
        raise Damaged("a page of it")

    metrics.watch("entrepot_read_only", damaged)
    assert "entrepot_read_only" not in metrics.values()
    assert b"entrepot_read_only" not in metrics.render()
    assert value(metrics, "entrepot_tasks") == metrics.values()["entrepot_tasks"] == 1


def test_the_version_is_shown(metrics: Metrics) -> None:
    assert value(metrics, 'entrepot_build_info{version="1.2.3"}') == 1


async def test_loop_lag_is_measured_until_cancelled(metrics: Metrics, autojump_clock: MockClock) -> None:
    with trio.move_on_after(INTERVAL * 4.5):
        await measure_loop_lag(metrics.observe_loop_lag)
    assert value(metrics, "entrepot_loop_lag_seconds_count") == 4
