"""Webhooks of a real node: signed, in order, never where a rule does not say, and nothing lost when the node is killed.

Promises P12 and P13 of docs/design/reliability.md, and its S27.
"""

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from node.cli.control import Control
from node.cli.failures import Refused
from tests.e2e import processes
from tests.e2e.certificates import Certificates
from tests.e2e.conftest import watch
from tests.e2e.receivers import SECRET, Answer, Delivery, Receiver, receiving
from tests.e2e.servers import RIVAL, Server, check_store, command, run, start_node

pytestmark = pytest.mark.skipif(RIVAL, reason="docker-registry has webhooks of its own")

LOOPBACK = {"allow_http": True, "allow_addresses": ["127.0.0.1", "::1"]}
INDEX = "application/vnd.oci.image.index.v1+json"
PATIENCE = 30.0  # Seconds.


@pytest.fixture
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    server = start_node(tmp_path / "data", port=processes.free_port())
    watch(request, server)
    try:
        yield server
    finally:
        processes.stop(server.process)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver
        assert receiver.forged == []


def put(node: Server, name: str, url: str, **more: object) -> None:
    """Put a webhook as the command does, without the time that a command takes to start."""
    asked = {"webhook": {"url": url, **more}, "secret": SECRET, "from": "1"}
    Control(node.data).call("PUT", f"webhooks/{name}", body=json.dumps(asked).encode())


def push(connection: http.client.HTTPConnection, repository: str, tag: str) -> None:
    """Push an index of nothing, which no other push has."""
    manifest = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"of": f"{repository}:{tag}"}}
    path = f"/v2/{repository}/manifests/{tag}"
    connection.request("PUT", path, json.dumps(manifest).encode(), {"content-type": INDEX})
    response = connection.getresponse()
    assert response.status == 201, response.read()
    response.read()


def push_all(node: Server, repository: str, *tags: str) -> None:
    connection = node.connect()
    for tag in tags:
        push(connection, repository, tag)
    connection.close()


def shown(node: Server, name: str) -> dict[str, object]:
    found: dict[str, object] = Control(node.data).get(f"webhooks/{name}")["webhook"]
    return found


def tried(node: Server, name: str) -> dict[str, object]:
    found: dict[str, object] = Control(node.data).call("POST", f"webhooks/{name}/test")
    return found


def test_pushes_and_deletes_are_told_signed_and_in_order(node: Server, receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    secret = ("--secret-file", tmp_path / "secret")
    url, allowed = f"http://127.0.0.1:{receiver.port}/hook", ("--allow-http", "--allow-address", "127.0.0.1")
    command("webhook", "put", "ci", "--url", url, *secret, *allowed, "--data", node.data)
    command("webhook", "test", "ci", "--data", node.data)
    push_all(node, "one", "a", "b", "c")
    command("image", "rm", "one:b", "--data", node.data)
    assert processes.wait_until(lambda: len(receiver.deliveries) == 4, patience=PATIENCE)
    assert [(one.event["detail"]["action-type"], one.tag) for one in receiver.deliveries] == [
        ("PUSH", "a"), ("PUSH", "b"), ("PUSH", "c"), ("DELETE", "b"),
    ]  # fmt: skip
    ids = [one.event["id"] for one in receiver.deliveries]
    assert ids == [one.headers["webhook-id"] for one in receiver.deliveries]
    tail = command("events", "tail", "--from", "1", "--format", "ecr", "--data", node.data).splitlines()
    assert [json.loads(line)["id"] for line in tail][1:] == ids  # The first one is the repository.

    assert processes.wait_until(lambda: shown(node, "ci")["lag_records"] == 0, patience=PATIENCE)
    command("events", "replay", "ci", "--from", "1", "--data", node.data)
    assert processes.wait_until(lambda: len(receiver.deliveries) == 8, patience=PATIENCE)
    again = receiver.deliveries[4:]
    assert [one.headers["webhook-id"] for one in again] == ids
    assert all(one.headers["entrepot-replay"] == "true" for one in again)


def test_one_over_tls_as_a_cloud_event(node: Server, certificates: Certificates) -> None:
    with receiving(certificates=certificates) as receiver:
        url, addresses = f"https://localhost:{receiver.port}/", ["127.0.0.1", "::1"]
        push_all(node, "one", "a")
        authority = certificates.ca.read_text()
        put(node, "cloud", url, format="cloudevents", events=["push"], authority=authority, allow_addresses=addresses)
        put(node, "distrusting", url, allow_addresses=addresses)
        assert processes.wait_until(lambda: shown(node, "cloud")["delivered"] == 1, patience=PATIENCE)
        assert processes.wait_until(lambda: "no TLS" in str(shown(node, "distrusting")["reason"]), patience=PATIENCE)
        (delivery,) = receiver.deliveries
        assert (delivery.headers["content-type"], receiver.forged) == ("application/cloudevents+json", [])
        assert (delivery.event["type"], delivery.event["subject"]) == ("entrepot.image.pushed", "one:a")


def test_what_a_receiver_does_to_one_repository_does_not_touch_the_others(node: Server, receiver: Receiver) -> None:
    stalling = threading.Event()

    def decide(delivery: Delivery) -> Answer:
        if delivery.repository == "stalls":
            stalling.wait(60)
        if delivery.repository == "fails":
            return 500, {"retry-after": "1"}
        if delivery.repository == "moved":
            return 307, {"location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
        if delivery.repository == "metadata":
            return 302, {"location": "http://169.254.169.254/latest/meta-data/"}
        return (422, {}) if delivery.tag == "poison" else (204, {})

    receiver.decide = decide
    url = f"http://127.0.0.1:{receiver.port}/hook"
    put(node, "ci", url, **LOOPBACK, attempts=2, timeout=2)
    for repository in ("stalls", "fails", "moved", "metadata"):
        push_all(node, repository, "a", "b")
    push_all(node, "good", "a", "poison", "c")
    push_all(node, "better", *map(str, range(100)))
    began = time.monotonic()
    assert processes.wait_until(lambda: len(receiver.tags()["better"]) == 100, patience=PATIENCE)
    assert time.monotonic() - began < 10  # Far less than those that fail and stall take.
    assert receiver.tags()["better"] == [str(number) for number in range(100)]
    assert processes.wait_until(lambda: receiver.tags()["good"] == ["a", "c"], patience=PATIENCE)
    assert processes.wait_until(lambda: shown(node, "ci")["aside"] == 5, patience=PATIENCE)  # poison, moved, metadata
    assert receiver.other == []  # A redirect that is followed makes GETs of POSTs.
    said = command("webhook", "show", "ci", "--data", node.data)
    assert "status 422" in said
    assert "status 307: redirects are not followed" in said

    receiver.decide = lambda _: (204, {})
    stalling.set()
    assert processes.wait_until(
        lambda: all({"a", "b"} <= set(receiver.tags()[name]) for name in ("stalls", "fails")), patience=PATIENCE
    )
    command("events", "replay", "ci", "--from", "1", "--data", node.data)
    assert processes.wait_until(lambda: shown(node, "ci")["aside"] == 0, patience=PATIENCE)
    assert "poison" in receiver.tags()["good"]


def test_a_node_does_not_dial_what_the_rule_does_not_name(node: Server, receiver: Receiver) -> None:
    port = receiver.port
    for host in ("127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]"):  # noqa: S104 - nothing is bound.
        with pytest.raises(Refused, match="is this machine itself"):
            put(node, "odd", f"http://{host}:{port}/", allow_http=True)
    for host in ("2130706433", "0x7f.1", "0177.0.0.1"):
        with pytest.raises(Refused, match="IPv4 address in its usual form"):
            put(node, "odd", f"http://{host}:{port}/", allow_http=True)
    with pytest.raises(Refused, match="metadata"):
        put(node, "odd", "http://169.254.169.254/", allow_http=True, allow_addresses=["169.254.0.0/16"])
    put(node, "named", f"http://localhost:{port}/", allow_http=True)
    assert "the rule has to allow that" in str(tried(node, "named")["reason"])
    push_all(node, "one", "a")
    assert processes.wait_until(lambda: shown(node, "named")["failed"] != 0, patience=PATIENCE)
    assert (receiver.deliveries, receiver.refused, receiver.other) == ([], 0, [])


def test_secrets_are_shown_nowhere(node: Server, receiver: Receiver) -> None:
    key = SECRET.removeprefix("whsec_")
    receiver.decide = lambda _: (500, {})
    put(node, "ci", f"http://127.0.0.1:{receiver.port}/path?token=squeamish", **LOOPBACK)
    made = run("webhook", "put", "made", "--url", "https://receiver.invalid/?token=squeamish", "--data", node.data)
    push_all(node, "one", "a")
    assert processes.wait_until(lambda: shown(node, "ci")["failed"] != 0, patience=PATIENCE)
    connection = node.connect()
    connection.request("GET", "/metrics")
    said = connection.getresponse().read().decode()
    connection.close()
    assert 'entrepot_webhook_failures_total{webhook="ci"}' in said
    for arguments in (("ls",), ("show", "ci", "--json"), ("test", "ci")):
        done = run("webhook", *arguments, "--data", node.data)
        said += done.stdout + done.stderr
    said += command("events", "tail", "--json", "--data", node.data) + processes.tail(node.log)
    for secret in (key, made.stdout.strip().removeprefix("whsec_"), "squeamish"):
        assert secret
        assert secret not in said


def test_a_killed_node_tells_all_that_it_acknowledged(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    survive(tmp_path, request, rounds=3)


@pytest.mark.soak
def test_a_node_that_is_killed_fifty_times_tells_all(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    survive(tmp_path, request, rounds=50)


def survive(tmp_path: Path, request: pytest.FixtureRequest, *, rounds: int) -> None:
    """Kill the node under pushes, while a receiver fails at random; then all has to come, in order."""
    seed = int(os.environ.get("E2E_SEED") or Random().getrandbits(32))
    random, port, data = Random(seed), processes.free_port(), tmp_path / "data"
    pushed: dict[str, list[str]] = {f"r{number}": [] for number in range(4)}
    tried: dict[str, int] = dict.fromkeys(pushed, 0)

    def write(server: Server, repository: str) -> None:
        connection = server.connect()
        try:
            while True:
                tag = str(tried[repository])
                tried[repository] += 1
                push(connection, repository, tag)
                pushed[repository].append(tag)
        except (OSError, http.client.HTTPException):
            pass  # The node is dead.
        finally:
            connection.close()

    with receiving() as receiver:
        failures = Random(seed + 1)
        receiver.decide = lambda _: (503, {}) if failures.random() < 0.02 else (204, {})
        server = start_node(data, port=port)
        watch(request, server)
        try:
            put(server, "ci", f"http://127.0.0.1:{receiver.port}/", **LOOPBACK)
            for _ in range(rounds):
                writers = [threading.Thread(target=write, args=[server, repository]) for repository in pushed]
                for one in writers:
                    one.start()
                threading.Event().wait(random.uniform(0.3, 1.2))  # The moment of death is the one thing that is time.
                processes.kill(server.process)
                for one in writers:
                    one.join(30)
                check_store(data)
                server = start_node(data, port=port)
            receiver.decide = lambda _: (204, {})
            told = processes.wait_until(
                lambda: all(set(tags) <= set(receiver.tags()[name]) for name, tags in pushed.items()), patience=60
            )
            missing = {name: set(tags) - set(receiver.tags()[name]) for name, tags in pushed.items()}
            assert told, f"E2E_SEED={seed}: {missing}"
        finally:
            processes.stop(server.process)
    assert receiver.forged == []
    for name, tags in receiver.tags().items():
        first_times = [int(tag) for tag in dict.fromkeys(tags)]
        assert first_times == sorted(first_times), f"E2E_SEED={seed}: {name} is out of order"
        assert set(first_times) <= set(range(tried[name]))
    assert sum(map(len, pushed.values())) > 20 * rounds, "the clients hardly got to do anything"
