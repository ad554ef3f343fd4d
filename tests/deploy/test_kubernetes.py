"""The manifest is one region that fits together; so is what the Helm chart makes, and its values are those it reads."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.kubernetes import check_region, objects, of_kind
from tests.e2e.clients import need

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
CHART = FOLDER / "chart"
TRACING = '[tracing]\nendpoint = "http://collector:4318"'


def test_the_manifest_is_one_region(tmp_path: Path) -> None:
    found = objects((FOLDER / "entrepot.yaml").read_text())
    kinds = sorted(one["kind"] for one in found)
    assert kinds == [
        "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "Service", "ServiceAccount", "StatefulSet",
    ]  # fmt: skip
    check_region(found, tmp_path)


def test_templates_read_values_that_there_are_and_all_of_them() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    templates = "".join(one.read_text() for one in (CHART / "templates").iterdir())
    read = set(re.findall(r"\.Values\.([A-Za-z.]+)", templates))
    for path in read:
        place: Any = values
        for name in path.split("."):
            assert name in place, path
            place = place[name]
    whole = {path.partition(".")[0] for path in read}
    assert whole == {*values}
    for name, inner in values.items():
        if isinstance(inner, dict) and name not in read:
            assert {path.partition(".")[2] for path in read if path.startswith(f"{name}.")} >= {*inner}, name


def test_the_schema_knows_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert {*schema["properties"]} == {*values, "global"}
    for name, inner in values.items():
        part = schema["properties"][name]
        if "$ref" in part:
            part = schema["definitions"][part["$ref"].rpartition("/")[2]]
        if "properties" in part:
            assert {*part["properties"]} == {*inner}, name


def test_chart_and_manifest_have_one_version_of_the_image() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f"entrepot:{chart['appVersion']}\n" in (FOLDER / "entrepot.yaml").read_text()


@pytest.mark.go
def test_helm_finds_nothing_wrong() -> None:
    need("helm")
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART).stdout


@pytest.mark.go
@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--set", "tls.secretName=entrepot-tls"],
        ["--set-string", "initialize.account=111111111111", "--set", "initialize.region=eu-west-1"],
        ["--set", "initialize.tokenSecret=invitation", "--set", "peerService.type=LoadBalancer"],
        ["--set", "config.grace=120", "--set-string", f"config.extra={TRACING}"],
        [
            "--set",
            "open=true,networkPolicy.enabled=false,openWithoutNetworkPolicy=true,podDisruptionBudget.enabled=false",
        ],
        ["--set", "serviceAccount.create=false,persistence.storageClassName=fast,image.digest=sha256:" + "0" * 64],
    ],
    ids=["as it is", "tls", "first", "joins", "grace", "open", "others"],
)
def test_what_the_chart_makes_is_one_region(tmp_path: Path, flags: list[str]) -> None:
    need("helm")
    done = helm("template", "eu", CHART, *flags)
    found = objects(done.stdout)
    check_region(found, tmp_path)
    for one in found:
        assert len(one["metadata"]["name"]) <= 63
    [pod] = [one["spec"]["template"] for one in of_kind("StatefulSet", found)]
    assert ("initContainers" in pod["spec"]) == any("initialize" in flag for flag in flags)


@pytest.mark.go
@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--set", "open=true,networkPolicy.enabled=false"], "openWithoutNetworkPolicy"),
        (["--set-string", "initialize.account=111111111111"], "initialize.region"),
        (["--set-string", "initialize.account=11"], "account"),
        (["--set", "image.repositry=x"], "repositry"),
        (["--set", "networkPolicy.clients=null"], "clients"),
    ],
)
def test_values_that_make_no_sense_are_refused(flags: list[str], problem: str) -> None:
    need("helm")
    done = helm("template", "eu", CHART, *flags, fails=True)
    assert problem in done.stderr


def helm(*arguments: str | Path, fails: bool = False) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done
