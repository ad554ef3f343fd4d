"""``entrepot webhook``: what each command asks of the node and prints; secrets go in by files."""

import json
from pathlib import Path
from typing import Any

# The fixtures' types live in conftest, which is no module that can be imported here.
Node = Any
Shell = Any

SHOWN = {
    "name": "ci", "state": "failing", "created": 0.0, "secrets_since": [60.0], "position": 7, "lag_records": 3,
    "lag_seconds": 65.2, "behind": [["team/app", 4, 2, 60.0, 0]], "delivered": 5, "failed": 2, "last_delivered": 60.0,
    "failing_since": 120.0, "reason": "status 503", "aside": 1,
    "webhook": {
        "url": "https://ci.example/hook", "format": "ecr", "events": ["push", "delete"], "repositories": ["team/*"],
        "allow_addresses": [],
    },
}  # fmt: skip
ASIDE = {"position": 5, "index": 1, "at": 0.0, "tries": 12, "reason": "status 400", "repository": "team/app",
         "action": "PUSH", "tag": "1", "digest": "sha256:aa"}  # fmt: skip


def test_put_sends_the_document(node: Node, run: Shell, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("whsec_abc\n")
    (tmp_path / "ca.pem").write_text("PEM")
    node.answers["PUT webhooks/ci"] = (201, {"name": "ci", "secret": None})
    options = ["--url", "https://ci.example/", "--secret-file", str(tmp_path / "secret"), "--events", "push,delete"]
    options += ["--repositories", "a,b/*", "--repositories", "c", "--allow-address", "10.0.0.1", "--from", "90m"]
    result = run("webhook", "put", "ci", *options, "--ca-file", str(tmp_path / "ca.pem"), "--attempts", "3")
    assert (result.stdout, result.stderr, result.exit_code) == ("ci is told of events.\n", "", 0)
    assert json.loads(node.asked[-1][1]) == {
        "webhook": {
            "url": "https://ci.example/",
            "format": "ecr",
            "events": ["push", "delete"],
            "repositories": ["a", "b/*", "c"],
            "allow_http": False,
            "allow_addresses": ["10.0.0.1"],
            "authority": "PEM",
            "attempts": 3,
        },
        "secret": "whsec_abc\n",
        "from": "90m",
    }


def test_a_secret_that_was_made_is_the_output(node: Node, run: Shell) -> None:
    node.answers["PUT webhooks/ci"] = (201, {"name": "ci", "secret": "whsec_new"})
    result = run("webhook", "put", "ci", "--url", "https://ci.example/")
    assert (result.stdout, "shown this once" in result.stderr) == ("whsec_new\n", True)
    asked = json.loads(node.asked[-1][1])["webhook"]
    assert asked["events"] == ["push", "delete", "replication", "pull-through", "storage"]
    node.answers["POST webhooks/ci/rotate"] = (201, {"name": "ci", "secret": "whsec_newer"})
    assert run("webhook", "rotate", "ci", "--keep-hours", "2").stdout == "whsec_newer\n"
    assert json.loads(node.asked[-1][1]) == {"secret": None, "keep_hours": 2.0}


def test_ls_and_show(node: Node, run: Shell) -> None:
    node.answers["GET webhooks"] = (200, {"webhooks": [SHOWN]})
    assert run("webhook", "ls").stdout == "ci\tfailing\thttps://ci.example/hook\tpush,delete\t3\t1\tstatus 503\n"
    node.answers["GET webhooks/ci"] = (200, {"webhook": SHOWN, "aside": [ASIDE]})
    lines = run("webhook", "show", "ci").stdout.splitlines()
    assert "lag\t3 records, 65 s" in lines
    assert "behind\tteam/app from position 5" in lines
    assert "failing since\t1970-01-01T00:02:00Z" in lines
    assert lines[-1] == "set aside\tposition 5: PUSH team/app 1 sha256:aa: status 400, 12 tries"
    assert json.loads(run("webhook", "show", "ci", "--json").stdout) == {"webhook": SHOWN, "aside": [ASIDE]}


def test_what_is_said_of_the_others(node: Node, run: Shell) -> None:
    for request in ("DELETE webhooks/ci", "POST webhooks/ci/pause", "POST webhooks/ci/resume"):
        node.answers[request] = (204, None)
    assert [run("webhook", one, "ci").stdout for one in ("rm", "pause", "resume")] == [
        "Deleted ci\n", "ci is paused.\n", "ci goes on.\n",
    ]  # fmt: skip
    node.answers["POST webhooks/ci/clear"] = (200, {"cleared": 3})
    assert run("webhook", "clear", "ci").stdout == "Forgot 3 events.\n"
    node.answers["POST webhooks/ci/replay"] = (200, {"after": 6})
    assert "from position 7 on" in run("events", "replay", "ci", "--from", "7").stdout
    assert json.loads(node.asked[-1][1]) == {"from": "7"}
    assert run("webhook", "rm", "none").exit_code == 4


def test_a_test_that_is_not_taken_fails(node: Node, run: Shell) -> None:
    node.answers["POST webhooks/ci/test"] = (200, {"taken": True, "status": 204, "reason": "", "text": ""})
    assert run("webhook", "test", "ci").stdout == "ci took it: status 204.\n"
    refused = {"taken": False, "status": 403, "reason": "status 403", "text": "who\x1b[31m are you?"}
    node.answers["POST webhooks/ci/test"] = (200, refused)
    result = run("webhook", "test", "ci")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "did not take it: status 403" in result.stderr
    assert "\x1b" not in result.stderr
