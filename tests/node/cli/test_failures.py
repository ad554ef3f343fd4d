"""A command that fails says why and what to do on standard error, and its exit code says it to scripts."""

from pathlib import Path
from typing import Any

import pytest

Node = Any
Shell = Any

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("status", "code", "why"),
    [
        (404, 4, "not found"),
        (400, 5, "refused"),
        (403, 5, "refused"),
        (405, 5, "refused"),
        (409, 5, "refused"),
        (500, 1, "a bug of the node"),
        (503, 1, "busy"),
        (507, 1, "full"),
    ],
)
def test_the_exit_code_follows_the_status(node: Node, run: Shell, status: int, code: int, why: str) -> None:
    node.refuse("DELETE repositories/team/app/images/1", status, "the reason\x1b[2J")
    result = run("image", "rm", "team/app:1")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", "entrepot: the reason\\u001b[2J\n")


@pytest.mark.parametrize(
    "command",
    ["repo ls", "tag ls team/app", "image inspect team/app:1", "image rm team/app:1", "du", "peer ls",
     "replication show", "replication status", "pull-through ls", "pull-through rm team/"],
)  # fmt: skip
def test_no_node(run: Shell, tmp_path: Path, command: str) -> None:
    result = run(*command.split())
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"entrepot serve --data {tmp_path}" in result.stderr


def test_a_node_that_was_killed_is_not_running(run: Shell, node: Node, tmp_path: Path) -> None:
    (tmp_path / "control.sock").rename(tmp_path / "kept")
    (tmp_path / "control.sock").touch()  # Nobody listens on it.
    assert run("repo", "ls").exit_code == 3
    (tmp_path / "kept").rename(tmp_path / "control.sock")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["image", "rm", "team/app"], "team/app:TAG"),
        (["image", "rm", "Team/App:1"], "repository name"),
        (["image", "rm", "127.0.0.1:5000/team/app:1"], "leave it out"),
        (["tag", "ls", "localhost:5000/team/app"], "leave it out"),
        (["image", "rm", "team/app:-"], "tag"),
        (["image", "rm", "team/app@sha256:1"], "digest"),
        (["tag", "ls", "../x"], "repository name"),
        (["pull-through", "put", "team/"], "--registry"),
        (["nonsense"], "nonsense"),
        (["repo", "ls", "--colour"], "--colour"),
    ],
)
def test_usage(run: Shell, arguments: list[str], word: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert word in result.stderr


def test_an_answer_that_is_not_ours(node: Node, run: Shell) -> None:
    node.answers["GET usage"] = (500, b"<html>")
    result = run("du")
    assert (result.exit_code, result.stderr) == (1, "entrepot: the node answered 500; its log says why\n")


@pytest.mark.parametrize("command", ["replication put /dev/zero", "webhook put w --url https://h/ --ca-file /dev/zero"])
def test_a_file_that_never_ends_is_not_read_to_its_end(run: Shell, command: str) -> None:
    result = run(*command.split())
    assert (result.exit_code, "/dev/zero has more than" in result.stderr) == (2, True)


@pytest.mark.parametrize("command", ["top --once --interval nan", "collect --grace nan", "invite --hours nan"])
def test_what_is_no_number_is_wrong_usage(run: Shell, command: str) -> None:
    assert run(*command.split()).exit_code == 2
