"""``entrepot config`` says what a node would be started with, and what is wrong with it before it is started."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

Shell = Any


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "entrepot.toml"
    file.write_text('[listen]\naddress = ["0.0.0.0:5000"]\nallow_open_netwrk = true\n')
    return file


def test_a_good_one(run: Shell) -> None:
    assert run("config", "check").stdout == "The configuration is good.\n"
    assert json.loads(run("config", "check", "--json").stdout) == {"valid": True, "problems": []}


def test_a_fault_is_named_with_key_and_place(run: Shell, file: Path) -> None:
    result = run("config", "check", "--config", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"listen.allow_open_netwrk ({file}, line 3)" in result.stderr
    assert "allow_open_network" in result.stderr


def test_faults_as_json(run: Shell, file: Path) -> None:
    result = run("config", "check", "--config", str(file), "--json")
    assert result.exit_code == 2
    [problem] = json.loads(result.stdout)["problems"]
    assert problem["key"] == "listen.allow_open_netwrk"


def test_show_can_be_read_again(run: Shell, tmp_path: Path) -> None:
    shown = run("config", "show", "--data", "/var/lib/entrepot").stdout
    assert tomllib.loads(shown)["node"]["data"] == "/var/lib/entrepot"
    (tmp_path / "shown.toml").write_text(shown)
    again = run("config", "show", "--config", str(tmp_path / "shown.toml"), "--data", "/var/lib/entrepot")
    assert again.stdout == shown
    as_json = json.loads(run("config", "show", "--json", "--data", "/var/lib/entrepot").stdout)
    assert tomllib.loads(shown)["listen"].items() <= as_json["listen"].items()


def test_the_environment_is_the_data_directory(run: Shell, tmp_path: Path) -> None:
    assert json.loads(run("config", "show", "--json").stdout)["node"]["data"] == str(tmp_path)


def test_schema(run: Shell) -> None:
    assert json.loads(run("config", "schema").stdout)["title"] == "entrepot"


def test_show_refuses_what_check_refuses(run: Shell, file: Path) -> None:
    assert run("config", "show", "--config", str(file)).exit_code == 2
