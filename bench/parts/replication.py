"""An image of 1 GB from node to node by a rule, beside a plain client that pulls it: both verify, both store."""

import json
import random
import shutil
import subprocess
import time
from itertools import count

from bench.contestants import Bench
from bench.rounds import Figure, take_turns
from tests.e2e.federation import Federation, arrives, found, replicate
from tests.e2e.images import Blob, Image, make_image
from tests.e2e.pushes import Client

LAYERS, LAYER = 5, 200_000_000
SIZE = LAYERS * LAYER
ROUNDS = 3


def measure(bench: Bench) -> list[Figure]:
    """Bytes per second, from the manifest's 201 at A until B answers for the tag."""
    federation = found(bench.folder)
    seeds = count(1)
    try:
        replicate(federation, "bench/")
        client, image = Client(federation.a.start()), _image(0)
        client.put_image("plain/app", "1", image)
        client.close()
        turns = {
            "entrepot": lambda: _replicate(federation, next(seeds)),
            "skopeo": lambda: _pull(bench, federation),
            "curl": lambda: _download(bench, federation, image),
        }
        values = take_turns(turns, ROUNDS)
    finally:
        federation.stop()
    method = (
        "until B answers for the tag; skopeo copy docker://A dir:; curl each layer to a file, which verifies nothing"
    )
    return [Figure("replication of a 1 GB image", "B/s", values, "skopeo", 0.5, method)]


def _image(seed: int) -> Image:
    """Return an image of 1 GB: made from a small one, its layers replaced by bytes that are no tar."""
    small = make_image(seed, layers=(1,))
    layers = tuple(
        Blob(small.layers[0].media_type, random.Random(f"{seed} {n}").randbytes(LAYER)) for n in range(LAYERS)
    )
    return Image(small.architecture, _manifest(small, layers), small.config, layers)


def _manifest(small: Image, layers: tuple[Blob, ...]) -> Blob:
    manifest = json.loads(small.manifest.data) | {"layers": [layer.descriptor() for layer in layers]}
    return Blob(small.manifest.media_type, json.dumps(manifest).encode())


def _replicate(federation: Federation, seed: int) -> float:
    image = _image(seed)
    a, b = federation.a.start(), federation.b.start()
    client = Client(a)
    for blob in image.blobs:
        client.put_blob("bench/app", blob)
    begun = time.perf_counter()
    client.put_manifest("bench/app", str(seed), image.manifest)
    client.close()
    assert arrives(b, "bench/app", str(seed), image.manifest.digest, patience=300)
    return SIZE / (time.perf_counter() - begun)


def _pull(bench: Bench, federation: Federation) -> float:
    into = bench.folder / "pulled"
    source = f"docker://{federation.a.start().address}/plain/app:1"
    begun = time.perf_counter()
    subprocess.run(
        ["skopeo", "copy", "--src-tls-verify=false", source, f"dir:{into}"],
        check=True,
        capture_output=True,
        timeout=300,
    )
    seconds = time.perf_counter() - begun
    shutil.rmtree(into)
    return SIZE / seconds


def _download(bench: Bench, federation: Federation, image: Image) -> float:
    url, into = f"{federation.a.start().url}/v2/plain/app/blobs", bench.folder / "downloaded"
    command = ["curl", "-sS", "--fail"]
    for layer in image.layers:
        command += ["-o", str(into), f"{url}/{layer.digest}"]
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    seconds = time.perf_counter() - begun
    into.unlink()
    return SIZE / seconds
