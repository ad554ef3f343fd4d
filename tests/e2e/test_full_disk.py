"""A disk that is full, by pushes or by strangers to the last byte.

Pushes are refused in the protocol's words, pulls go on, deletes work, nothing that was acknowledged is lost, and pushes
go on by themselves when there is room.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.images import Blob, Image, make_image
from tests.e2e.pushes import Answer, Client, Unexpected
from tests.e2e.servers import Server, check_store, command, start_node
from tests.e2e.strangers import Stranger, left, small_disk

SIZE = 144 * 2**20
LAYER = 4_500_000  # Bytes.
REPOSITORY = "full/disk"
RESUMES = 10.0  # Seconds.


@dataclass
class Node:
    """A node on a disk of its own, and what was pushed to it."""

    disk: Path
    server: Server
    stranger: Stranger
    kept: dict[str, Image]

    def client(self) -> Client:
        return Client(self.server)

    def push(self, number: int) -> Answer | None:
        """Push an image; return the answer that refused it, or ``None``."""
        image, client = make_image(number, layers=[LAYER, 9000]), self.client()
        try:
            client.put_image(REPOSITORY, f"v{number}", image)
        except Unexpected as unexpected:
            return unexpected.answer
        except OSError:  # Refused while the body was under way.
            return client_refused(self)
        finally:
            client.close()
        self.kept[f"v{number}"] = image
        return None

    def delete(self, tag: str) -> None:
        client = self.client()
        answer = client.call("DELETE", f"/v2/{REPOSITORY}/manifests/{self.kept.pop(tag).manifest.digest}")
        client.close()
        assert answer.status == 202, answer

    def pull_all(self) -> None:
        client = self.client()
        for tag, image in self.kept.items():
            assert client.get_manifest(REPOSITORY, tag) == image.manifest.data
            for blob in image.blobs:
                assert client.get_blob(REPOSITORY, blob.digest) == blob.data
        client.close()

    def is_full(self) -> bool:
        client = self.client()
        metrics = client.call("GET", "/metrics").body.decode()
        client.close()
        return 'entrepot_alarms{alarm="disk-full"} 1' in metrics

    def free(self) -> list[str]:
        """What the node says of its room."""
        client = self.client()
        lines = client.call("GET", "/metrics").body.decode().splitlines()
        client.close()
        names = ("entrepot_store_free", "entrepot_store_pages", "entrepot_store_bytes", "entrepot_store_ballast")
        return [line for line in lines if line.startswith(names)]

    def pushes_within(self, seconds: float, number: int) -> None:
        deadline = time.monotonic() + seconds
        while (refused := self.push(number)) is not None:
            assert time.monotonic() < deadline, (refused, self.free())


def client_refused(node: Node) -> Answer:
    client = node.client()
    try:
        return client.call("POST", f"/v2/{REPOSITORY}/blobs/uploads/", Content_Length="0")
    finally:
        client.close()


@pytest.fixture(params=["ext4", pytest.param("tmpfs", marks=pytest.mark.soak)])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    with small_disk(request.param, tmp_path, SIZE) as folder:
        server = start_node(folder / "data", port=processes.free_port())
        node = Node(folder, server, Stranger(folder / "stranger"), {})
        try:
            yield node
        finally:
            processes.stop(node.server.process)
        check_store(node.disk / "data")


def refused_as_full(answer: Answer | None) -> None:
    assert answer is not None
    assert answer.status == 507, answer
    assert json.loads(answer.body)["errors"][0]["code"] == "DENIED"
    assert 0 < int(answer.headers["Retry-After"]) <= RESUMES


def test_pushes_fill_it_and_deletes_make_room(node: Node) -> None:
    number = 0
    while (answer := node.push(number)) is None:
        number += 1
        assert number < 60
    refused_as_full(answer)
    assert processes.wait_until(node.is_full, patience=RESUMES)
    node.pull_all()
    for tag in list(node.kept)[: number // 2]:
        node.delete(tag)
    freed = json.loads(command("collect", "--grace", "0", "--json", "--data", node.disk / "data"))
    assert freed["bytes"] > (number // 2) * LAYER
    for more in range(number, number + number // 4):
        node.pushes_within(RESUMES, more)
    node.pull_all()
    assert processes.wait_until(lambda: not node.is_full(), patience=RESUMES)


def test_strangers_fill_it_to_the_last_byte(node: Node) -> None:
    for number in range(6):
        assert node.push(number) is None
    client, upload = node.client(), ""
    upload = client.append(client.open_upload(REPOSITORY), half := bytes(range(256)) * 9000)
    node.stranger.fill()
    assert left(node.disk) < 4096
    refused_as_full(node.push(99))
    assert processes.wait_until(node.is_full, patience=RESUMES)
    assert client.call("GET", "/readyz").status == 503
    node.pull_all()
    for tag in ("v0", "v1", "v2", "v3"):
        node.delete(tag)
    node.stranger.fill()  # Whatever that made room for.
    command("collect", "--grace", "0", "--data", node.disk / "data")
    node.pull_all()
    node.stranger.leave()
    node.pushes_within(RESUMES, 100)
    whole = Blob("application/octet-stream", half + b"end")
    client.finish(upload, whole.digest, b"end")
    assert client.get_blob(REPOSITORY, whole.digest) == whole.data
    client.close()


def test_deletes_make_room_for_pushes_on_a_disk_that_stays_full(node: Node) -> None:
    for number in range(11):
        assert node.push(number) is None
    node.stranger.fill()
    command("repo", "rm", REPOSITORY, "--force", "--data", node.disk / "data")
    node.kept.clear()
    command("collect", "--grace", "0", "--data", node.disk / "data")
    node.stranger.fill()
    node.pushes_within(RESUMES, 50)
    node.pull_all()
    assert left(node.disk) < 2**20


def test_a_node_starts_and_serves_on_a_full_disk(node: Node) -> None:
    assert node.push(1) is None
    node.stranger.fill()
    processes.kill(node.server.process)
    node.stranger.fill()
    node.server = start_node(node.disk / "data", port=processes.free_port(), ready="/healthz")
    node.pull_all()
    node.delete("v1")
    refused_as_full(node.push(2))
    node.stranger.leave()
    node.pushes_within(RESUMES, 3)
