"""Bodies and counts at the edge of what is taken: S10, S34 and S36 of the attack tests."""

import json
import time

import pytest

from tests.e2e.images import MANIFEST, Blob, make_image
from tests.e2e.pushes import Client, expect
from tests.e2e.raw import exchange, request
from tests.e2e.servers import RIVAL, Server

pytestmark = pytest.mark.skipif(RIVAL, reason="what the rival takes is its own business")

IMAGE = make_image(72, layers=(3000,))
LIMIT = 4 * 2**20  # Bytes of a manifest.


@pytest.fixture
def filled(client: Client, repository: str) -> str:
    for blob in IMAGE.blobs:
        client.put_blob(repository, blob)
    return repository


def padded(size: int) -> bytes:
    body = IMAGE.manifest.data[:-1] + b"," + b'"x":"' + b"x" * size
    return body[: size - 2] + b'"}'


@pytest.mark.parametrize(("size", "status"), [(LIMIT - 1, 201), (LIMIT, 201), (LIMIT + 1, 413)])
def test_a_manifest_is_taken_up_to_the_limit_and_not_beyond(
    client: Client, filled: str, size: int, status: int
) -> None:
    body = padded(size)
    assert len(body) == size
    answer = client.call("PUT", f"/v2/{filled}/manifests/edge", body, Content_Type=MANIFEST)
    expect(answer, status)


def test_a_manifest_in_chunks_that_never_end_is_cut_at_the_limit(plain_server: Server, filled: str) -> None:
    head = f"PUT /v2/{filled}/manifests/edge HTTP/1.1\r\nHost: {plain_server.address}\r\nContent-Type: {MANIFEST}\r\n"
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    sent = head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (LIMIT // 65536 + 2)
    [answer] = exchange(plain_server, sent, method="PUT", end=False)
    assert answer.status == 413


@pytest.mark.parametrize("fields", [(("Content-Length", "0"),), (("Transfer-Encoding", "chunked"),), ()])
def test_an_empty_body_is_one_and_not_the_next_request(
    plain_server: Server, client: Client, filled: str, fields: tuple[tuple[str, str], ...]
) -> None:
    """S10: what is authorized is what is parsed, once; a body of nothing is refused as what it is."""
    sent = request(
        "PUT", f"/v2/{filled}/manifests/edge", ("Content-Type", MANIFEST), *fields, host=plain_server.address
    )
    end = b"0\r\n\r\n" if fields and fields[0][1] == "chunked" else b""
    [answer] = exchange(plain_server, sent + end, method="PUT")
    assert answer.status == 400
    assert json.loads(answer.body)["errors"][0]["code"] == "MANIFEST_INVALID"
    assert client.get_manifest(filled, "edge") is None


@pytest.mark.parametrize("number", ["2147483648", "9223372036854775808", "1" + "0" * 400])
def test_a_page_is_never_larger_than_a_page(plain_server: Server, client: Client, filled: str, number: str) -> None:
    """S34 (CVE-2023-2253)."""
    client.put_manifest(filled, "v1", IMAGE.manifest)
    for path in (f"/v2/{filled}/tags/list", "/v2/_catalog", f"/v2/{filled}/referrers/{IMAGE.manifest.digest}"):
        began = time.monotonic()
        expect(client.call("GET", f"{path}?n={number}"), 200)
        assert time.monotonic() - began < 2


def test_more_parameters_than_anybody_needs_are_refused(client: Client, filled: str) -> None:
    query = "&".join(f"p{number}=1" for number in range(65))
    expect(client.call("GET", f"/v2/{filled}/tags/list?{query}"), 400)
    expect(client.call("GET", f"/v2/{filled}/tags/list?last={'a' * 8200}"), 414)


def test_ten_thousand_ranges_cost_no_more_than_the_blob(client: Client, filled: str) -> None:
    """S36 (CVE-2011-3192)."""
    blob = Blob("application/octet-stream", bytes(range(256)) * 400)
    client.put_blob(filled, blob)
    path = f"/v2/{filled}/blobs/{blob.digest}"
    overlapping = ",".join(f"{start}-{start + 50_000}" for start in range(1500))
    answer = expect(client.call("GET", path, Range=f"bytes={overlapping}"), 200, 206, 416)
    assert len(answer.body) <= len(blob.data) + 100_000
    apart = ",".join(f"{start}-{start}" for start in range(0, 2000, 2))
    answer = expect(client.call("GET", path, Range=f"bytes={apart}"), 200, 416)
    assert len(answer.body) <= len(blob.data)
    endless = ",".join("0-" for _ in range(4000))
    answer = expect(client.call("GET", path, Range=f"bytes={endless}"), 200, 206)
    assert answer.body == blob.data
