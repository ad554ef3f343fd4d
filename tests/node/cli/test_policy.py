"""Whoever writes policies learns what is wrong with one, and what several decide, without a node."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node.cli.main import entrepot

OURS = "111122223333"
ANA = f"arn:aws:iam::{OURS}:user/ana"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(entrepot, ["policy", *map(str, arguments)])


def write(path: Path, **statement: object) -> Path:
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": statement}))
    return path


@pytest.fixture
def pull(tmp_path: Path) -> Path:
    return write(tmp_path / "pull.json", Sid="pulls", Effect="Allow", Action="ecr:BatchGet*", Resource="*")


@pytest.fixture
def office(tmp_path: Path) -> Path:
    condition = {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
    return write(tmp_path / "office.json", Sid="office", Effect="Deny", Principal="*", Action="*", Condition=condition)


def test_a_good_policy(pull: Path) -> None:
    assert run("check", pull).output == "The policy is good: 1 statement.\n"
    assert json.loads(run("check", pull, "--json").output) == {"valid": True, "statements": ["pulls"]}


def test_what_is_wrong_is_named_with_file_and_place(tmp_path: Path, pull: Path) -> None:
    wrong = write(tmp_path / "wrong.json", Effect="Allow", Acton="ecr:*", Resource="*")
    found = run("check", wrong)
    assert (found.exit_code, "wrong.json: Statement[0].Acton" in found.output) == (2, True)
    assert run("check", "--kind", "repository", pull).exit_code == 2, "it names no principal"
    assert run("check", tmp_path / "absent.json").exit_code == 2


@pytest.mark.parametrize(("address", "code", "statement"), [("203.0.113.9", 0, "pulls"), ("198.51.100.1", 5, "office")])
def test_a_decision_names_document_and_statement(
    pull: Path, office: Path, address: str, code: int, statement: str
) -> None:
    asked = ["--principal", ANA, "--action", "ecr:BatchGetImage", "--resource", "team/app"]
    asked += ["--policy", f"identity={pull}", "--policy", f"repository={office}", "--key", f"aws:SourceIp={address}"]
    found = run("simulate", *asked, "--json")
    decision = json.loads(found.output)
    assert (found.exit_code, decision["allowed"], decision["statement"]) == (code, code == 0, statement)
    assert decision["resource"] == f"arn:aws:ecr:local:{OURS}:repository/team/app"
    assert run("simulate", *asked).output.startswith(f"decision\t{'allowed' if code == 0 else 'denied'}\nwhy\t")


def test_what_cannot_be_asked_is_told(pull: Path) -> None:
    for arguments in (
        ("--principal", "ana", "--action", "ecr:PutImage"),
        ("--principal", "*", "--action", "ecr:PutImage"),
        ("--principal", ANA, "--action", "ecr:PutImage", "--key", "aws:SourceIp"),
        ("--principal", ANA, "--action", "ecr:PutImage", "--policy", "mine=x.json"),
        ("--principal", ANA, "--action", "ecr:PutImage", "--policy", "identity=absent.json"),
    ):
        found = run("simulate", *arguments, "--policy", f"identity={pull}")
        assert found.exit_code == 2, arguments
        assert "entrepot: " in found.output
