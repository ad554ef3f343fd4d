"""What a real node shows to Prometheus: in its conventions, complete, and no larger however clients call things."""

import json
import random
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from node.telemetry.metrics import COUNTED, WATCHED
from tests.e2e import servers
from tests.e2e.clients import need
from tests.e2e.images import make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import Server

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
BATCH = 100  # Requests that are sent before their answers are read.


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Server]:
    """A node of the test's own: it reads the whole log."""
    with servers.registry(tmp_path / "data") as server:
        yield server


def test_promtool_finds_nothing_to_say(node: Server) -> None:
    need("promtool")
    push(node)
    done = subprocess.run(["promtool", "check", "metrics"], input=metrics(node), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_metric_of_the_table_is_there_and_counts(node: Server) -> None:
    push(node)
    text = metrics(node).decode()
    assert {name for name in (*COUNTED, *WATCHED) if f"# HELP {name.removesuffix('_total')}" not in text} == set()
    assert value(text, 'entrepot_connections{door="oci"}') >= 1
    assert value(text, 'entrepot_http_requests_in_flight{door="oci"}') == 1, "this one"
    assert value(text, 'entrepot_store_commit_seconds_count{environment="chunks"}') >= 1
    assert value(text, 'entrepot_store_writes_total{environment="chunks"}') >= 3
    assert "entrepot_certificate_expiry_timestamp_seconds{" not in text, "it has no peers, and clients see none"
    assert value(text, "entrepot_uploads_in_progress") == 0
    assert value(text, "entrepot_tasks") > 5


def test_the_last_backup_is_remembered(node: Server, tmp_path: Path) -> None:
    push(node)
    assert value(metrics(node).decode(), "entrepot_backup_ended_timestamp_seconds") == 0
    begun = time.time()
    servers.command("backup", tmp_path / "backup", "--data", node.data)
    assert value(metrics(node).decode(), "entrepot_backup_ended_timestamp_seconds") >= int(begun)


def test_strangers_neither_grow_the_metrics_nor_end_a_line_of_the_log(node: Server) -> None:
    _flood_changes_nothing(node, 5_000)


@pytest.mark.soak
def test_a_hundred_thousand_strangers_do_not_either(node: Server) -> None:
    _flood_changes_nothing(node, 100_000)


def push(node: Server) -> None:
    client = Client(node)
    client.put_image("team/hello", "1", make_image(50, layers=(3_000_000,)))
    client.close()


def _flood_changes_nothing(node: Server, number: int) -> None:
    flood(node, requests(7, 20))  # So that each class of answers has begun to count.
    before = names(metrics(node))
    flood(node, requests(8, number))
    assert names(metrics(node)) == before
    node.process.terminate()
    node.process.wait()
    lines = node.log.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) > number // 2  # What was refused before it was a request has none.
    assert not [line for line in lines if CONTROL.search(line.decode())]
    assert all("event" in json.loads(line) for line in lines)


def requests(seed: int, number: int) -> Iterator[bytes]:
    """Requests of strangers, each with a repository, a path and a user agent that nobody else has."""
    chance = random.Random(seed)
    for _ in range(number):
        word = "".join(chance.choices("abcdefghijklmnop", k=12))
        evil = chance.choice(["%0a", "%0d%0aevent%3dforged", "%1b[2J", "%c2%85", "%e2%80%a8", "%ff", "%00", '"}'])
        path = chance.choice(
            [f"/v2/{word}/manifests/{word}", f"/v2/{word}{evil}/tags/list", f"/{word}/{evil}", f"/v2/{word}/x?n={evil}"]
        )
        agent = word.encode() + chance.choice([b"", b" \xc2\x85", b" \xe2\x80\xa8 forged", b"\t", b" \xff\xfe", b' "}'])
        yield b"%s %s HTTP/1.1\r\nhost: localhost\r\nuser-agent: %s\r\n\r\n" % (
            chance.choice([b"GET", b"HEAD", b"DELETE"]),
            path.encode(),
            agent,
        )


def flood(node: Server, wanted: Iterator[bytes]) -> None:
    """Send *wanted*, and read that each was answered; what is refused before it is a request ends its connection."""
    while batch := list(islice(wanted, BATCH)):
        while batch:
            batch = batch[_answered(node, batch) :]


def _answered(node: Server, batch: list[bytes]) -> int:
    """Return how many of *batch* were answered on one connection."""
    with socket.create_connection((node.host, node.port), 30) as client:
        client.sendall(b"".join(batch))
        client.shutdown(socket.SHUT_WR)
        answers = b""
        while part := client.recv(1 << 20):
            answers += part
    count = len(re.findall(rb"HTTP/1\.1 [2-5]\d\d ", answers))
    assert count, "no answer at all"
    return count


def metrics(node: Server) -> bytes:
    client = node.connect()
    client.request("GET", "/metrics")
    answer = client.getresponse().read()
    client.close()
    return answer


def names(text: bytes) -> list[bytes]:
    """Each sample's name and labels, without its value."""
    return [line.rpartition(b" ")[0] for line in text.splitlines() if not line.startswith(b"#")]


def value(text: str, sample: str) -> float:
    [line] = [line for line in text.splitlines() if line.startswith(f"{sample} ")]
    return float(line.split(" ")[1])
