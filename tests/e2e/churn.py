"""Evict and refill a node, capacity after capacity, and tell how its files compare with what is live in them."""

from collections import deque
from dataclasses import dataclass, field
from random import Random

from tests.e2e.images import Image, make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import Server, command

SIZES = (2_000, 9_000, 15_000, 40_000, 300_000, 900_000, 1_600_000, 3_300_000)  # Bytes of layers, in turns at random.
IN_FLIGHT = (
    32 * 2**20
)  # Bytes of ``chunks``: pages that two transactions free, of 16 chunks each, are not used before the third.
SMALL_IN_FLIGHT = 2 * 2**20  # Bytes of ``meta``, likewise.


@dataclass
class Filled:
    """A node that holds as much as it may, the oldest image first."""

    server: Server
    client: Client
    images: deque[tuple[str, Image]] = field(default_factory=deque)
    size: int = 0
    pushed: int = 0

    def push(self, random: Random) -> None:
        image = make_image(random.getrandbits(64), layers=random.choices(SIZES, k=3))
        tag = f"v{self.pushed}"
        self.client.put_image("churn", tag, image)
        self.images.append((tag, image))
        self.size += size_of(image)
        self.pushed += 1

    def evict(self) -> None:
        _, image = self.images.popleft()
        self.client.delete(f"/v2/churn/manifests/{image.manifest.digest}")
        self.size -= size_of(image)


def size_of(image: Image) -> int:
    return sum(len(blob.data) for blob in image.blobs)


def metrics(filled: Filled) -> dict[str, float]:
    lines = filled.client.call("GET", "/metrics").body.decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def churn(filled: Filled, *, capacity: int, rounds: int, seed: int) -> dict[str, float]:
    """Fill *capacity*, then evict and refill it *rounds* times; return file / live of each environment at the end."""
    random = Random(seed)
    while filled.size < capacity:
        filled.push(random)
    refilled = 0
    while refilled < rounds * capacity:
        evicted = 0
        while evicted < capacity // 8:
            evicted += size_of(filled.images[0][1])
            filled.evict()
        command("collect", "--grace", "0", "--data", filled.server.data)
        while filled.size < capacity:
            before = filled.size
            filled.push(random)
            refilled += filled.size - before
    for tag, image in filled.images:
        assert filled.client.get_manifest("churn", tag) == image.manifest.data
    found = metrics(filled)
    ratios = {}
    for name, in_flight in (("chunks", IN_FLIGHT), ("meta", SMALL_IN_FLIGHT)):
        size = found[f'entrepot_store_bytes{{environment="{name}"}}']
        live = size - found[f'entrepot_store_pages_free_bytes{{environment="{name}"}}']
        ratios[name] = (size - in_flight) / live
    stored = sum(len(blob.data) for _, image in filled.images for blob in image.blobs if len(blob.data) > 16_320)
    ratios["bytes"] = (found['entrepot_store_bytes{environment="chunks"}'] - IN_FLIGHT) / stored
    return ratios
