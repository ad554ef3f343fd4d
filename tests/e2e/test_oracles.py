"""Nothing tells what exists: S13 of the attack tests, as far as an open node has secrets.

A blob that another repository has and one that nobody has are answered alike, in words and in time: else anybody who
knows a digest learns who runs it.
"""

import statistics
import time
from contextlib import closing

import pytest

from tests.e2e.images import Blob
from tests.e2e.pushes import Client, expect
from tests.e2e.servers import RIVAL, Server

pytestmark = pytest.mark.skipif(RIVAL, reason="what the rival tells is its own business")

NOBODY = "sha256:" + "5" * 64
SAMPLES = 400


def test_a_blob_of_another_repository_is_like_one_that_nobody_has(plain_server: Server, repository: str) -> None:
    with closing(Client(plain_server)) as client:
        theirs = Blob("application/octet-stream", b"theirs " * 100_000)
        client.put_blob(f"{repository}/theirs", theirs)
        client.put_blob(f"{repository}/ours", Blob("application/octet-stream", b"ours"))
        for path in (f"/v2/{repository}/ours/blobs", f"/v2/{repository}/nothing/blobs"):
            known, unknown = (client.call("GET", f"{path}/{digest}") for digest in (theirs.digest, NOBODY))
            assert (known.status, known.body.replace(theirs.digest.encode(), b"")) == (
                unknown.status,
                unknown.body.replace(NOBODY.encode(), b""),
            )
            assert known.status == 404
            medians = medians_of(client, f"{path}/{theirs.digest}", f"{path}/{NOBODY}")
            assert max(medians) < 1.25 * min(medians), medians


def test_a_mount_that_is_not_possible_is_an_upload_whatever_the_reason(plain_server: Server, repository: str) -> None:
    """S02, as far as an open node goes: unknown repository, unknown digest, a digest that is elsewhere."""
    with closing(Client(plain_server)) as client:
        theirs = Blob("application/octet-stream", b"mine " * 1000)
        client.put_blob(f"{repository}/theirs", theirs)
        start = f"/v2/{repository}/ours/blobs/uploads/"
        for query in (f"mount={NOBODY}", f"mount={NOBODY}&from={repository}/theirs", f"mount={theirs.digest}&from=x/y"):
            answer = expect(client.call("POST", f"{start}?{query}", Content_Length="0"), 202)
            assert answer.body == b""


def medians_of(client: Client, *paths: str) -> list[float]:
    """Return the median time of a HEAD of each path, in seconds, asked in turns."""
    taken: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(SAMPLES):
        for path, times in taken.items():
            began = time.perf_counter()
            client.call("HEAD", path)
            times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in taken.values()]
