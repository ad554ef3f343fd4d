"""Small images, many at once: what a build farm does. One layer of 10 kB and a config, nine requests an image."""

from collections.abc import Iterator
from functools import partial
from itertools import count

from bench.contestants import Bench
from bench.rounds import Figure, take_turns
from bench.source import push_images
from tests.e2e.images import make_image
from tests.e2e.servers import Server

IMAGES = 320
ROUNDS = 5


def measure(bench: Bench) -> list[Figure]:
    """Images per second at 8 and at 64 connections."""
    figures: list[Figure] = []
    seeds = count(1)
    with bench.both() as servers:
        for connections in (8, 64):
            turns = {name: partial(_push, server, seeds, connections) for name, server in servers.items()}
            found = take_turns(turns, ROUNDS)
            method = f"{IMAGES} new images, one thread with epoll"
            figures.append(Figure(f"pushes, {connections} at once", "images/s", found, "docker-registry", 4, method))
    return figures


def _push(server: Server, seeds: Iterator[int], connections: int) -> float:
    seed = next(seeds)
    images = [make_image(seed * IMAGES + number, layers=(10_000,)) for number in range(IMAGES)]
    return IMAGES / push_images(server, f"bench/push{seed}", images, connections=connections)
