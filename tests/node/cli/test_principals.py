"""Commands about principals: what they ask the node, and what they print."""

import msgspec
import pytest

from tests.node.cli.conftest import Node, Shell

USER = {
    "name": "ci", "id": "AIDA", "arn": "arn:aws:iam::1:user/ci", "created": 0.0, "disabled": False,
    "has_password": True,
    "groups": ["dev"], "attached": ["arn:aws:iam::aws:policy/AdministratorAccess"], "inline": [], "keys": ["AKIA1"],
    "tags": {"team": "web"},
}  # fmt: skip
MADE = {"id": "AKIA1", "secret": "s3cret", "user": "ci", "created": 0.0, "expires": None}


def test_users_are_listed_for_cut_and_sort(node: Node, run: Shell) -> None:
    node.answers["GET users?limit=1000"] = (200, {"users": [USER], "next": None})
    assert run("user", "ls").stdout == "ci\tenabled\t1970-01-01T00:00:00Z\tdev\t1\t1\n"
    assert run("user", "list").stdout == run("user", "ls").stdout
    assert msgspec.json.decode(run("user", "ls", "--json").stdout) == {"users": [USER]}


def test_a_user_is_shown_a_line_for_each_thing(node: Node, run: Shell) -> None:
    node.answers["GET users/ci"] = (200, USER)
    lines = run("user", "show", "ci").stdout.splitlines()
    assert {"name\tci", "disabled\tno", "has password\tyes", "group\tdev", "key\tAKIA1", "tag\tteam=web"} <= {*lines}


def test_a_user_is_created_with_tags_and_groups(node: Node, run: Shell) -> None:
    node.answers["POST users"] = (201, USER)
    node.answers["PUT groups/dev/members/ci"] = node.answers["GET groups/dev"] = (200, {})
    result = run("user", "create", "ci", "--tag", "team=web", "--tag", "x=a=b", "--group", "dev")
    assert result.exit_code == 0
    assert msgspec.json.decode(node.asked[1][1]) == {"name": "ci", "tags": {"team": "web", "x": "a=b"}}
    assert [request for request, _ in node.asked] == ["GET groups/dev", "POST users", "PUT groups/dev/members/ci"]
    assert run("user", "create", "ci", "--group", "none").exit_code == 4
    assert node.asked[-1][0] == "GET groups/none", "and nobody was created"
    assert run("user", "create", "ci", "--tag", "team").exit_code == 2


def test_a_secret_goes_to_standard_output_alone_and_once(node: Node, run: Shell) -> None:
    node.answers["POST users/ci/keys"] = (201, MADE)
    result = run("key", "create", "ci")
    assert result.stdout.count("s3cret") == 1
    assert "s3cret" not in result.stderr
    assert "this once" in result.stderr
    assert run("key", "create", "ci", "--shell").stdout == (
        "export AWS_ACCESS_KEY_ID=AKIA1\nexport AWS_SECRET_ACCESS_KEY=s3cret\n"
    )
    assert msgspec.json.decode(run("key", "create", "ci", "--json").stdout) == MADE


def test_a_password_comes_from_a_file_or_a_terminal_and_never_from_the_command_line(node: Node, run: Shell) -> None:
    node.answers["PUT users/ci/password"] = (200, USER)
    assert run("user", "password", "ci", "--file", "-", stdin="correct horse\r\n").exit_code == 0
    assert msgspec.json.decode(node.asked[-1][1]) == {"password": "correct horse"}
    assert run("user", "password", "ci", stdin="x").exit_code == 2
    assert run("user", "password", "ci", "--file", "-", stdin=b"\xff").exit_code == 2


def test_a_policy_is_put_whether_it_is_there_or_not(node: Node, run: Shell) -> None:
    node.refuse("POST policies", 409, "there is a policy p")
    node.answers["PUT policies/p"] = (200, {"attached_to": ["user ci"]})
    assert run("policy", "put", "p", "-", stdin="{}").exit_code == 0
    node.answers["POST policies"] = (201, {"attached_to": []})
    assert run("policy", "put", "p", "-", stdin="{}").exit_code == 0
    assert [request for request, _ in node.asked] == ["POST policies", "PUT policies/p", "POST policies"]


def test_a_policy_that_is_none_is_refused_with_the_reason_and_not_for_being_new(node: Node, run: Shell) -> None:
    node.refuse("POST policies", 400, "Statement[0].Effect: Allow or Deny")
    result = run("policy", "put", "p", "-", stdin="{}")
    assert (result.exit_code, result.stderr) == (5, "entrepot: Statement[0].Effect: Allow or Deny\n")


@pytest.mark.parametrize("options", [[], ["--user", "a", "--group", "b"]])
def test_a_policy_is_attached_to_one(run: Shell, options: list[str]) -> None:
    assert run("policy", "attach", "p", *options).exit_code == 2


def test_what_the_node_refuses_ends_with_its_code(node: Node, run: Shell) -> None:
    node.refuse("POST users", 409, "there is a user ci")
    result = run("user", "create", "ci")
    assert (result.exit_code, result.stderr) == (5, "entrepot: there is a user ci\n")
    assert run("user", "show", "nobody").exit_code == 4
