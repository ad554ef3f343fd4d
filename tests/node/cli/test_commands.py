"""What each command asks of the node and what it prints: tab-separated off a terminal, JSON where asked for."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

import pytest

# The fixtures' types live in conftest, which is no module that can be imported here.
Node = Any
Shell = Any

DIGEST = "sha256:" + "a" * 64
IMAGE = {
    "repository": "team/app", "digest": DIGEST, "media_type": "application/vnd.oci.image.manifest.v1+json",
    "size": 500, "image_size": 2048, "tags": ["1", "latest"], "pushed_at": 0.0, "artifact_type": None,
    "subject": None, "children": [], "blobs": [{"digest": "sha256:" + "b" * 64, "size": 1548}],
}  # fmt: skip
RULES = {"rules": [{"destinations": [{"region": "us-east-1", "registryId": "111111111111"}]}]}
STATUS = {"destination": "111111111111/us-east-1", "repository": "team/app", "digest": DIGEST,
          "state": "done", "at": 60.0, "reason": ""}  # fmt: skip
PEER = {"node": "abcdefghijklmnop", "registry": "111111111111/us-east-1", "addresses": ["127.0.0.1:6002"],
        "state": "up", "since": 60.0}  # fmt: skip

USAGE = {"repositories": 1, "images": 2, "tags": 3, "blobs": 4, "uploads": 5,
         "bytes_meta": 6000, "bytes_chunks": 7000, "bytes_free": 8000}  # fmt: skip

Row: TypeAlias = tuple[str, str, Any, str]
"""Command, request, the node's answer, what is printed."""

TABLE: list[Row] = [
    ("repo ls", "GET repositories?limit=1000", {"repositories": ["a1", "b\n2"], "next": None}, "a1\nb\\u000a2\n"),
    ("tag ls team/app", "GET repositories/team/app/tags?limit=1000", {"tags": ["1", "2"], "next": None}, "1\n2\n"),
    (
        "image inspect team/app:1",
        "GET repositories/team/app/images/1",
        IMAGE,
        f"repository\tteam/app\ndigest\t{DIGEST}\nmedia type\tapplication/vnd.oci.image.manifest.v1+json\n"
        f"tags\t1, latest\npushed\t1970-01-01T00:00:00Z\nmanifest size\t500\nimage size\t2048\n"
        f"blob\tsha256:{'b' * 64} 1548\n",
    ),
    ("image rm team/app:1", "DELETE repositories/team/app/images/1", None, "Deleted team/app:1\n"),
    (
        f"image rm team/app@{DIGEST}",
        f"DELETE repositories/team/app/images/{DIGEST}",
        None,
        f"Deleted team/app@{DIGEST}\n",
    ),
    (
        "du",
        "GET usage",
        USAGE,
        "repositories\t1\nimages\t2\ntags\t3\nblobs\t4\nuploads\t5\nmetadata\t6000\nchunks\t7000\nfree\t8000\n",
    ),
    ("replication put -", "PUT replication", RULES, "1 rule in force.\n"),
    ("replication show", "GET replication", RULES, json.dumps(RULES, indent=2) + "\n"),
    (
        "replication status --repository team/app",
        "GET replication/status?limit=1000&repository=team%2Fapp",
        {"images": [STATUS], "next": None},
        f"111111111111/us-east-1\tteam/app\t{DIGEST}\tdone\t1970-01-01T00:01:00Z\t\n",
    ),
    (
        "pull-through put team/ --registry 111111111111/us-east-1",
        "PUT pull-through",
        {"prefix": "team/", "registry": "111111111111/us-east-1", "upstream_prefix": None},
        "team/ is pulled through 111111111111/us-east-1.\n",
    ),
    (
        "pull-through ls",
        "GET pull-through",
        {"rules": [{"prefix": "team/", "registry": "111111111111/us-east-1", "upstream_prefix": None}]},
        "team/\t111111111111/us-east-1\t\n",
    ),
    ("pull-through rm team/", "DELETE pull-through?prefix=team%2F", None, "Deleted team/\n"),
    (
        "read-only on --reason tonight",
        "PUT read-only",
        {"read_only": True, "reasons": {"operator": "tonight"}, "since": 60.0, "is_kept": True},
        "read-only\ton\noperator\ttonight\nsince\t1970-01-01T00:01:00Z\n",
    ),
    (
        "read-only off",
        "DELETE read-only",
        {"read_only": False, "reasons": {}, "since": None, "is_kept": True},
        "read-only\toff\n",
    ),
    (
        "peer ls",
        "GET peers",
        {"peers": [PEER]},
        "abcdefghijklmnop\t111111111111/us-east-1\t127.0.0.1:6002\tup\t1970-01-01T00:01:00Z\n",
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_plain(node: Node, run: Shell, row: Row) -> None:
    command, request_line, answer, output = row
    node.answers[request_line] = (200 if answer else 204, answer)
    result = run(*command.split())
    assert (result.stderr, result.exit_code, result.stdout) == ("", 0, output)
    assert [request for request, _ in node.asked] == [request_line]


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_json(node: Node, run: Shell, row: Row) -> None:
    command, request_line, answer, _ = row
    node.answers[request_line] = (200 if answer else 204, answer)
    result = run(*command.split(), "--json")
    assert (result.stderr, result.exit_code) == ("", 0)
    printed = json.loads(result.stdout)
    for name, value in (answer or {}).items():
        assert name == "next" or printed[name] == value


def test_all_pages_are_read(node: Node, run: Shell) -> None:
    node.answers["GET repositories?limit=1000"] = (200, {"repositories": ["a1"], "next": "a1"})
    node.answers["GET repositories?after=a1&limit=1000"] = (200, {"repositories": ["b2"], "next": None})
    assert run("repo", "ls").stdout == "a1\nb2\n"


def test_the_document_is_sent_as_it_is(node: Node, run: Shell, tmp_path: Path) -> None:
    node.answers["PUT replication"] = (200, {"rules": []})
    document = b'{ "rules" : [] }'
    (tmp_path / "rules.json").write_bytes(document)
    assert run("replication", "put", str(tmp_path / "rules.json")).stdout == "0 rules in force.\n"
    assert node.asked == [("PUT replication", document)]


def test_a_terminal_gets_a_table(node: Node) -> None:
    node.answers["GET repositories?limit=1000"] = (200, {"repositories": ["team/app\x1b[2J"], "next": None})
    ours, theirs = pty.openpty()
    command = "from node.cli.main import main; main()"
    done = subprocess.run(  # noqa: S603 - our own command.
        [sys.executable, "-c", command, "repo", "ls", "--data", str(node.data)],
        stdout=theirs, check=False, env=os.environ | {"TERM": "dumb"},
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert [line.strip() for line in shown.splitlines()] == ["REPOSITORY", "team/app\\u001b[2J"]
