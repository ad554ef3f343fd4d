"""``entrepot events``: lines as they come, page by page, and JSON of one object a line."""

from typing import Any

import pytest

# The fixtures' types live in conftest, which is no module that can be imported here.
Node = Any
Shell = Any

DIGEST = "sha256:" + "a" * 64
EVENT = {"position": 7, "at": 60.5, "kind": "push", "action": "PUSH", "repository": "team/app", "tag": "1\n",
         "digest": DIGEST}  # fmt: skip


def test_tail_prints_the_last_ones(node: Node, run: Shell) -> None:
    node.answers["GET events?last=10&wait=0"] = (200, {"events": [EVENT], "after": 7, "last": 7})
    result = run("events", "tail")
    assert result.stdout == f"7\t1970-01-01T00:01:00Z\tpush\tPUSH\tteam/app\t1\\u000a\t{DIGEST}\n"


def test_tail_goes_on_to_the_end_of_the_journal(node: Node, run: Shell) -> None:
    node.answers["GET events?from=5&wait=0"] = (200, {"events": [EVENT], "after": 7, "last": 9})
    node.answers["GET events?after=7&wait=0"] = (200, {"events": [], "after": 8, "last": 9})
    node.answers["GET events?after=8&wait=0"] = (200, {"events": [EVENT], "after": 9, "last": 9})
    assert len(run("events", "tail", "--from", "5", "--json").stdout.splitlines()) == 2


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_documents_are_printed_one_a_line(node: Node, run: Shell, more: tuple[str, ...]) -> None:
    asked = "GET events?from=90m&format=ecr&wait=0&repository=a&repository=b%2F%2A"
    node.answers[asked] = (200, {"events": [{"a": 1}, {"b": 2}], "after": 9, "last": 9})
    options = ["--from", "90m", "--repository", "a", "--repository", "b/*", "--format", "ecr"]
    result = run("events", "tail", *options, *more)
    assert result.stdout == '{"a":1}\n{"b":2}\n'


def test_following_ends_with_the_node(node: Node, run: Shell) -> None:
    node.answers["GET events?last=10&wait=20"] = (200, {"events": [EVENT], "after": 7, "last": 7})
    node.refuse("GET events?after=7&wait=20", 410, "the journal begins with position 90")
    result = run("events", "tail", "--follow", "--json")
    assert (result.exit_code, len(result.stdout.splitlines())) == (5, 1)
    assert "begins with position 90" in result.stderr


def test_following_a_node_that_stops_says_where_to_go_on(node: Node, run: Shell) -> None:
    node.answers["GET events?last=10&wait=20"] = (200, {"events": [EVENT], "after": 7, "last": 7})
    node.hang_up("GET events?after=7&wait=20")
    result = run("events", "tail", "--follow", "--json")
    assert (result.exit_code, len(result.stdout.splitlines())) == (3, 1)
    assert "--from 8" in result.stderr
