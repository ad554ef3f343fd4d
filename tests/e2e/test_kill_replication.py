"""Replication is resumed after kill -9 of either node, without a command, until B has what A has and a rule covers.

Promises P1, P5 and P12 of docs/design/reliability.md.
"""

import http.client
import json
import os
import threading
from pathlib import Path
from random import Random

import pytest

from tests.e2e.federation import Federation, Site, arrives, found, replicate
from tests.e2e.images import Image, make_image, make_index
from tests.e2e.pushes import Client
from tests.e2e.servers import RIVAL, Server, check_store

pytestmark = pytest.mark.skipif(RIVAL, reason="docker-registry has no peers")

REPOSITORY = "kill/app"
SIZES = (100, 20_000, 1_500_000)


def test_everything_arrives(tmp_path: Path) -> None:
    replicate_under_fire(tmp_path, rounds=6)


@pytest.mark.soak
def test_everything_arrives_fifty_times(tmp_path: Path) -> None:
    replicate_under_fire(tmp_path, rounds=50)


class Pusher(threading.Thread):
    """Pushes images to A until it dies, each under a tag of its own; moves ``latest``, and deletes some of them.

    *pushed* is what was acknowledged and not deleted since: tag -> image. A delete takes the image out before it asks.
    """

    def __init__(self, server: Server, random: Random, pushed: dict[str, Image], dying: threading.Event) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self._client, self._random, self._pushed, self._dying = Client(server), random, pushed, dying

    def run(self) -> None:
        try:
            while not self._dying.is_set():
                self._random.choices([self._push, self._push_index, self._forget], [8, 2, 1])[0]()
        except (OSError, http.client.HTTPException) as error:
            if not self._dying.is_set():
                self.error = error
        except BaseException as error:  # noqa: BLE001 - carried to the main thread, which raises it
            self.error = error
        finally:
            self._client.close()

    def _push(self) -> None:
        image = make_image(self._random.getrandbits(64), layers=self._random.choices(SIZES, k=2))
        tag = image.manifest.digest[7:23]
        self._client.put_image(REPOSITORY, tag, image)
        self._pushed[tag] = image
        self._client.put_manifest(REPOSITORY, "latest", image.manifest)

    def _push_index(self) -> None:
        seed = self._random.getrandbits(64)
        images = [make_image(seed, architecture=one) for one in ("amd64", "arm64")]
        for image in images:
            self._client.put_image(REPOSITORY, image.manifest.digest, image)
        index = make_index(images)
        self._client.put_manifest(REPOSITORY, f"index-{index.digest[7:23]}", index)

    def _forget(self) -> None:
        if self._pushed:
            image = self._pushed.pop(self._random.choice(list(self._pushed)))
            self._client.delete(f"/v2/{REPOSITORY}/manifests/{image.manifest.digest}")


def replicate_under_fire(folder: Path, *, rounds: int) -> None:
    """Kill one of the nodes *rounds* times while A is pushed to; then everything acknowledged is at both."""
    seed = int(os.environ.get("E2E_SEED") or Random().getrandbits(32))
    random = Random(seed)
    pushed: dict[str, Image] = {}
    federation = found(folder)
    try:
        replicate(federation, "kill/")
        for _ in range(rounds):
            push_and_kill(federation, random.choice([federation.a, federation.b]), random, pushed)
        a, b = federation.a.start(), federation.b.start()
        there = tags_at(a)
        assert pushed.keys() <= there.keys(), f"lost at A (E2E_SEED={seed})"
        for tag, digest in there.items():
            assert arrives(b, REPOSITORY, tag, digest), f"{tag} is not at B (E2E_SEED={seed})"
        for server in (a, b):
            for image in pushed.values():
                check_whole(server, image)
    finally:
        federation.stop()
    for site in (federation.a, federation.b):
        check_store(site.data)
    assert len(pushed) > rounds, "hardly anything was pushed"


def push_and_kill(federation: Federation, victim: Site, random: Random, pushed: dict[str, Image]) -> None:
    """Push for a random while, kill *victim*, check what it left, and start it again."""
    dying = threading.Event()
    pusher = Pusher(federation.a.start(), Random(random.getrandbits(64)), pushed, dying)
    pusher.start()
    threading.Event().wait(random.uniform(0.1, 1.0))  # The moment of death.
    dying.set()
    victim.kill()
    pusher.join(60)
    if pusher.error is not None:
        raise pusher.error
    check_store(victim.data)
    victim.start()


def tags_at(server: Server) -> dict[str, str]:
    """Return every tag and what it points at."""
    client = Client(server)
    found: dict[str, str] = {}
    path: str | None = f"/v2/{REPOSITORY}/tags/list"
    while path is not None:
        answer = client.call("GET", path)
        for tag in json.loads(answer.body)["tags"]:
            head = client.call("HEAD", f"/v2/{REPOSITORY}/manifests/{tag}")
            found[tag] = head.headers["Docker-Content-Digest"]
        path = answer.headers.get("Link", "").partition("<")[2].partition(">")[0] or None
    client.close()
    return found


def check_whole(server: Server, image: Image) -> None:
    """The manifest and every blob of *image* are there, byte for byte."""
    client = Client(server)
    assert client.get_manifest(REPOSITORY, image.manifest.digest) == image.manifest.data
    for blob in image.blobs:
        assert client.get_blob(REPOSITORY, blob.digest) == blob.data
    client.close()
