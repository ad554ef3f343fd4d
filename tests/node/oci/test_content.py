"""Manifests, blobs and lists as clients see them: status, headers, ranges, conditions, errors."""

import json
import os
import re

import pytest

from node.http.message import Pieces
from node.registry.incoming import FREE
from protocol.oci.digest import digest_of, packed
from protocol.oci.mediatype import OCI_IMAGE, OCI_INDEX
from tests.node.oci.conftest import Door, Got, read
from tests.node.registry.world import APP, OTHER, descriptor, image, push_blob, push_image

DATA = os.urandom(1_048_560 + 5_000)  # Two chunks.
DIGEST = digest_of(DATA)
BLOB = f"/v2/{APP}/blobs/{DIGEST}"


def code(got: Got) -> str:
    [error] = json.loads(got.body)["errors"]
    assert got.headers["content-type"] == "application/json"
    assert error["message"]
    return str(error["code"])


@pytest.mark.parametrize("reference", ["1.27", digest_of(image(b"{}"))])
async def test_a_manifest_is_served_as_it_came(door: Door, reference: str) -> None:
    digest = await push_image(door.registry, b"{}", tags=("1.27",))
    for method in ("GET", "HEAD"):
        got = await door(method, f"/v2/{APP}/manifests/{reference}")
        assert (got.status, got.headers["content-type"]) == (200, OCI_IMAGE)
        assert (got.headers["docker-content-digest"], got.headers["etag"]) == (digest, f'"{digest}"')
        assert got.headers["x-content-type-options"] == "nosniff"
        assert ("cache-control" in got.headers) == (reference == digest)
        assert got.body == (image(b"{}") if method == "GET" else b"")


async def test_a_manifest_that_a_client_has_is_not_sent_again(door: Door) -> None:
    digest = await push_image(door.registry, b"{}", tags=("1.27",))
    path = f"/v2/{APP}/manifests/1.27"
    await door("GET", path)
    assert (await door("GET", path, if_none_match=f'"{digest}"')).status == 304
    assert (await door("GET", path, if_none_match='"other"')).status == 200
    assert (await door("GET", path, if_match='"other"')).status == 412


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("GET", "/v2/none/manifests/1.27", 404, "NAME_UNKNOWN"),
        ("GET", f"/v2/{APP}/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{APP}/blobs/{digest_of(b'none')}", 404, "BLOB_UNKNOWN"),
        ("GET", f"/v2/none/blobs/{digest_of(b'none')}", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/none/tags/list", 404, "NAME_UNKNOWN"),
        ("DELETE", f"/v2/{APP}/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("DELETE", f"/v2/{APP}/blobs/{digest_of(b'{}')}", 405, "UNSUPPORTED"),
        ("GET", f"/v2/{APP}/blobs/uploads/{'0' * 36}", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("GET", f"/v2/{APP}/tags/list?n=x", 400, "UNSUPPORTED"),
        ("GET", f"/v2/{APP}/referrers/none", 400, "DIGEST_INVALID"),
    ],
)
async def test_what_is_not_there_has_its_code(door: Door, method: str, path: str, status: int, expected: str) -> None:
    await push_image(door.registry, b"{}", tags=("1.27",))
    got = await door(method, path)
    assert (got.status, code(got)) == (status, expected)


async def test_a_push_says_where_and_what(door: Door) -> None:
    await push_blob(door.registry, b"{}")
    subject = digest_of(b"subject")
    body = image(b"{}", subject=descriptor(subject, 7, OCI_IMAGE))
    got = await door("PUT", f"/v2/{APP}/manifests/1.27?tag=a&tag=b&tag=a", body, content_type=OCI_IMAGE)
    assert (got.status, got.headers["docker-content-digest"]) == (201, digest_of(body))
    assert got.headers["location"] == f"/v2/{APP}/manifests/{digest_of(body)}"
    assert got.headers["oci-subject"] == subject
    assert [value for name, value in got.fields if name == "oci-tag"] == ["1.27", "a", "b"]
    assert json.loads((await door("GET", f"/v2/{APP}/tags/list")).body) == {"name": APP, "tags": ["1.27", "a", "b"]}
    again = await door("PUT", f"/v2/{APP}/manifests/{digest_of(body)}", body)
    assert (again.status, [name for name, _ in again.fields if name == "oci-tag"]) == (201, [])


@pytest.mark.parametrize(
    ("body", "content_type", "status", "expected"),
    [
        (b"{", OCI_IMAGE, 400, "MANIFEST_INVALID"),
        (image(b"{}"), OCI_INDEX, 400, "MANIFEST_INVALID"),
        (image(b"none"), OCI_IMAGE, 400, "MANIFEST_BLOB_UNKNOWN"),
        (image(b"{}", annotations={"a": "x" * 100_000}), OCI_IMAGE, 413, "SIZE_INVALID"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_push_that_is_refused_has_its_code(
    door: Door, body: bytes, content_type: str, status: int, expected: str, chunked: bool
) -> None:
    await push_blob(door.registry, b"{}")
    got = await door("PUT", f"/v2/{APP}/manifests/1.27", body, content_type=content_type, chunked=chunked)
    assert (got.status, code(got)) == (status, expected)


async def test_too_many_tags_in_one_push_are_refused(door: Door) -> None:
    await push_blob(door.registry, b"{}")
    tags = "&".join(f"tag=t{n}" for n in range(129))
    assert (await door("PUT", f"/v2/{APP}/manifests/{digest_of(image(b'{}'))}?{tags}", image(b"{}"))).status == 413


async def test_a_deleted_manifest_is_gone(door: Door) -> None:
    digest = await push_image(door.registry, b"{}", tags=("1.27",))
    assert (await door("DELETE", f"/v2/{APP}/manifests/1.27")).status == 202
    assert (await door("GET", f"/v2/{APP}/manifests/{digest}")).status == 200
    assert (await door("DELETE", f"/v2/{APP}/manifests/{digest}")).status == 202
    assert (await door("GET", f"/v2/{APP}/manifests/{digest}")).status == 404


async def test_a_blob_is_a_download(door: Door) -> None:
    await push_blob(door.registry, DATA)
    got = await door("GET", BLOB)
    assert (got.status, got.body, got.headers["accept-ranges"]) == (200, DATA, "bytes")
    assert (got.headers["content-type"], got.headers["content-disposition"]) == (
        "application/octet-stream",
        "attachment",
    )
    head = await door("HEAD", BLOB)
    assert (head.status, head.headers["content-length"]) == (200, str(len(DATA)))
    assert (await door("GET", BLOB, if_none_match=f'"{DIGEST}"')).status == 304


@pytest.mark.parametrize("data", [DATA, DATA[:100]])
@pytest.mark.parametrize("wanted", ["0-0", "5-", "-7", "0-99", "50-1000000000", "10-20"])
async def test_a_range_is_exactly_that_range(door: Door, data: bytes, wanted: str) -> None:
    await push_blob(door.registry, data)
    first, _, last = wanted.partition("-")
    start = int(first) if first else len(data) - int(last)
    end = min(int(last), len(data) - 1) if last and first else len(data) - 1
    got = await door("GET", f"/v2/{APP}/blobs/{digest_of(data)}", range=f"bytes={wanted}")
    assert (got.status, got.body) == (206, data[start : end + 1])
    assert got.headers["content-range"] == f"bytes {start}-{end}/{len(data)}"


async def test_several_ranges_come_as_parts(door: Door) -> None:
    await push_blob(door.registry, DATA)
    got = await door("GET", BLOB, range="bytes=1048550-1048570,0-4")
    assert got.status == 206
    boundary = got.headers["content-type"].partition("boundary=")[2].encode()
    parts = got.body.split(b"--" + boundary)
    found = {}
    for part in parts[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        place = re.search(rb"content-range: bytes (\d+)-(\d+)/", head)
        assert place is not None
        found[int(place[1]), int(place[2])] = body.removesuffix(b"\r\n")
    assert found == {(0, 4): DATA[:5], (1048550, 1048570): DATA[1048550:1048571]}
    assert parts[-1] == b"--\r\n"


async def test_a_range_without_a_byte_of_it_is_416(door: Door) -> None:
    await push_blob(door.registry, DATA)
    got = await door("GET", BLOB, range=f"bytes={len(DATA)}-")
    assert (got.status, got.headers["content-range"]) == (416, f"bytes */{len(DATA)}")


async def test_a_range_of_another_version_is_the_whole(door: Door) -> None:
    await push_blob(door.registry, DATA)
    assert (await door("GET", BLOB, range="bytes=0-4", if_range='"other"')).status == 200
    assert (await door("GET", BLOB, range="bytes=0-4", if_range=f'"{DIGEST}"')).status == 206


async def test_what_is_damaged_is_a_500_without_details_and_an_alarm(door: Door) -> None:
    digest = await push_image(door.registry, b"{}", tags=("1.27",))
    contents = door.registry.store.meta.blobs.contents
    await door.registry.store.writer.write(lambda txn: txn.put(packed(digest), b"nonsense", db=contents.db))
    got = await door("GET", f"/v2/{APP}/manifests/1.27")
    assert (got.status, code(got), len(door.damaged)) == (500, "UNKNOWN", 1)


@pytest.mark.parametrize("limit", [1, 3, 10, 11])
async def test_following_links_lists_all_once(door: Door, limit: int) -> None:
    names = [f"t{n:02}" for n in range(10)]
    await push_image(door.registry, b"{}", tags=tuple(names))
    found, target = [], f"/v2/{APP}/tags/list?n={limit}"
    while target:
        got = await door("GET", target)
        page = json.loads(got.body)["tags"]
        assert 0 < len(page) <= limit
        found += page
        target = got.headers.get("link", "").removesuffix('>; rel="next"').removeprefix("<")
    assert found == names


async def test_a_page_of_none_is_empty_and_has_no_link(door: Door) -> None:
    await push_image(door.registry, b"{}", tags=("1.27",))
    for path, key in ((f"/v2/{APP}/tags/list", "tags"), ("/v2/_catalog", "repositories")):
        got = await door("GET", f"{path}?n=0")
        assert (got.status, json.loads(got.body)[key], "link" in got.headers) == (200, [], False)


async def test_the_catalog_goes_on_after_the_last(door: Door) -> None:
    for name in (APP, OTHER):
        await push_blob(door.registry, b"{}", name)
    first = await door("GET", "/v2/_catalog?n=1")
    assert json.loads(first.body) == {"repositories": [OTHER]}
    second = await door("GET", first.headers["link"].removesuffix('>; rel="next"').removeprefix("<"))
    assert json.loads(second.body) == {"repositories": [APP]}
    assert "link" not in second.headers


async def test_referrers_keep_their_filter_from_page_to_page(door: Door) -> None:
    subject = digest_of(b"subject")
    await push_blob(door.registry, b"{}")
    for n in range(6):
        more = {"artifactType": f"application/{'ab'[n % 2]}+x", "annotations": {"n": str(n)}}
        body = image(b"{}", subject=descriptor(subject, 7, OCI_IMAGE), **more)
        await door("PUT", f"/v2/{APP}/manifests/t{n}", body, content_type=OCI_IMAGE)
    found, target = [], f"/v2/{APP}/referrers/{subject}?n=2&artifactType=application/a%2Bx"
    while target:
        got = await door("GET", target)
        assert (got.headers["content-type"], got.headers["oci-filters-applied"]) == (OCI_INDEX, "artifactType")
        found += [one["annotations"]["n"] for one in json.loads(got.body)["manifests"]]
        target = got.headers.get("link", "").removesuffix('>; rel="next"').removeprefix("<")
    assert sorted(found) == ["0", "2", "4"]
    nothing = await door("GET", f"/v2/none/referrers/{subject}")
    assert (nothing.status, json.loads(nothing.body)["manifests"]) == (200, [])


async def test_a_large_manifest_is_sent_in_pieces_and_let_go_of(door: Door) -> None:
    await push_blob(door.registry, b"{}")
    manifest = image(b"{}", annotations={"a": "x" * 90_000})
    path = f"/v2/{APP}/manifests/{digest_of(manifest)}"
    assert (await door("PUT", path, manifest, content_type=OCI_IMAGE)).status == 201
    response = await door.application(door.request("GET", path))
    assert isinstance(response.body, Pieces)  # A reader that is slow holds no copy of it.
    assert (await read("GET", response)).body == manifest
    assert (await door("HEAD", path)).headers["content-type"] == OCI_IMAGE
    assert (await door("GET", path, if_none_match="*")).status == 304


async def test_large_manifests_share_a_budget_while_they_come_in(door: Door) -> None:
    await push_blob(door.registry, b"{}")
    small, large = image(b"{}"), image(b"{}", annotations={"a": "x" * 90_000})
    before = door.registry.incoming.left
    with door.registry.incoming.share() as others:
        others.grow(before + FREE)
        got = await door("PUT", f"/v2/{APP}/manifests/1", large, content_type=OCI_IMAGE)
        assert (got.status, code(got), got.headers["retry-after"]) == (503, "TOOMANYREQUESTS", "1")
        assert (await door("PUT", f"/v2/{APP}/manifests/2", small, content_type=OCI_IMAGE)).status == 201
    assert (await door("PUT", f"/v2/{APP}/manifests/1", large, content_type=OCI_IMAGE)).status == 201
    assert door.registry.incoming.left == before
