"""Alert rules and the dashboard use metrics that there are, every alert is tested and says what to do."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from node.telemetry.alarms import REMEDIES
from node.telemetry.metrics import COUNTED, WATCHED, described
from tests.e2e.clients import need

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus/entrepot.rules.yml"
RULE_TESTS = DEPLOY / "prometheus/entrepot.test.yml"
DASHBOARD = DEPLOY / "grafana/entrepot.json"
OF_PROMETHEUS = {"up", "instance", "job"}
OF_THE_PROCESS = {
    "process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds",
    "process_max_fds",
}  # fmt: skip
OWN_RULE = re.compile(r'entrepot_alarms\{alarm="([a-z-]+)"\}')
OTHERS = re.compile(r'entrepot_alarms\{alarm!~"([a-z|-]+)"\}')


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    return found


def samples() -> set[str]:
    """Every name of a sample that a node shows."""
    names = set(OF_THE_PROCESS)
    for name in (*COUNTED, *WATCHED):
        histogram = described(name)[0] == "histogram"
        names |= {f"{name}{end}" for end in ("_bucket", "_count", "_sum")} if histogram else {name}
    return names


def labels() -> set[str]:
    of_metrics = {label for name in (*COUNTED, *WATCHED) for label in described(name)[2].split(", ")}
    return of_metrics | {"le", "instance", "job"}


def unknown(expression: str) -> set[str]:
    """Names in *expression* that are neither a sample of a node nor a label of one."""
    text = re.sub(r'"[^"]*"', "", expression)
    named = set(re.findall(r"\b(?:entrepot|process)_[a-z_]+|\bup\b", text)) - samples() - {"up"}
    matched = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)(?!=)", text)) - labels()
    grouped = {one.strip() for found in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", text) for one in found.split(",")}
    return named | matched | (grouped - labels())


def expressions() -> Iterator[tuple[str, str]]:
    """(panel, expression) of the dashboard."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def test_the_check_of_names_finds_what_is_wrong() -> None:
    assert unknown('entrepot_nonsense{door="oci"}') == {"entrepot_nonsense"}
    assert unknown('sum by (colour) (entrepot_tasks{taste="x"})') == {"colour", "taste"}
    assert unknown("entrepot_store_commit_seconds") == {"entrepot_store_commit_seconds"}, "a histogram has parts"


def test_rules_use_what_there_is() -> None:
    assert {rule["alert"]: found for rule in rules() if (found := unknown(rule["expr"]))} == {}


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    for rule in rules():
        assert {*rule["annotations"]} == {"summary", "description", "runbook"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        for text in rule["annotations"].values():
            assert set(re.findall(r"\$labels\.([a-z_]+)", text)) <= labels(), rule["alert"]


def test_every_alarm_of_a_node_has_one_rule() -> None:
    text = RULES.read_text()
    own, [left_out] = OWN_RULE.findall(text), OTHERS.findall(text)
    assert sorted(own) == sorted(left_out.split("|"))
    assert {*own} <= {*REMEDIES}


def test_every_alert_is_tested_while_it_fires_and_before() -> None:
    tests = yaml.safe_load(RULE_TESTS.read_text())["tests"]
    fired = {one["name"] for one in tests}
    assert fired == {"", *(rule["alert"] for rule in rules())}
    for one in tests:
        samples_expected = [bool(case["exp_samples"]) for case in one["promql_expr_test"]]
        assert samples_expected == ([False, True] if one["name"] else [False, False]), one["name"]


def test_promtool_takes_the_rules_and_their_tests_pass() -> None:
    need("promtool")
    promtool("check", "rules", RULES)
    promtool("test", "rules", RULE_TESTS)


def test_the_dashboard_uses_what_there_is() -> None:
    assert {title: found for title, expression in expressions() if (found := unknown(expression))} == {}


def test_the_expressions_of_the_dashboard_can_be_parsed(tmp_path: Path) -> None:
    need("promtool")
    parts = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m").replace("$instance", ".*")}
        for number, (_, expression) in enumerate(expressions())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": parts}]}))
    promtool("check", "rules", file)


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    """By hand what its schema says of the parts that are used: Grafana's own is not to be had as a package."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["schemaVersion"] >= 39
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", dashboard["uid"])
    assert {one["name"] for one in dashboard["templating"]["list"]} == {"datasource", "instance"}
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another one"
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["type"] in {"timeseries", "stat"}
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references) > 0
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
