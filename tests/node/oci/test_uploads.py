"""Pushing blobs by every way of the specification, and what clients are told of how far they came."""

import json
import os
from pathlib import Path

import pytest

from protocol.oci.digest import digest_of
from tests.node.oci.conftest import Door, door_of
from tests.node.registry.world import APP, OTHER, World, opened, push_blob

DATA = os.urandom(1_048_560 + 5_000)  # Two chunks.
DIGEST = digest_of(DATA)
UPLOADS = f"/v2/{APP}/blobs/uploads/"


async def is_there(door: Door, digest: str = DIGEST, data: bytes = DATA) -> bool:
    got = await door("GET", f"/v2/{APP}/blobs/{digest}")
    assert got.status != 200 or got.body == data
    return got.status == 200


async def begin(door: Door) -> str:
    got = await door("POST", UPLOADS)
    assert (got.status, got.headers["range"], got.headers["oci-chunk-min-length"]) == (202, "0-0", "1")
    assert got.headers["location"] == UPLOADS + got.headers["docker-upload-uuid"]
    return got.headers["location"]


@pytest.mark.parametrize("data", [b"", b"{}", DATA])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "blake3"])
async def test_in_one_post(door: Door, data: bytes, algorithm: str) -> None:
    digest = digest_of(data, algorithm)
    got = await door("POST", f"{UPLOADS}?digest={digest}", data)
    assert (got.status, got.headers["location"]) == (201, f"/v2/{APP}/blobs/{digest}")
    assert got.headers["docker-content-digest"] == digest
    assert await is_there(door, digest, data)


@pytest.mark.parametrize("data", [b"", b"{}", DATA])
async def test_by_post_and_put(door: Door, data: bytes) -> None:
    got = await door("PUT", f"{await begin(door)}?digest={digest_of(data)}", data)
    assert (got.status, got.headers["location"]) == (201, f"/v2/{APP}/blobs/{digest_of(data)}")
    assert await is_there(door, digest_of(data), data)


async def test_by_a_stream_and_an_empty_put(door: Door) -> None:
    where = await begin(door)
    got = await door("PATCH", where, DATA, chunked=True)
    assert (got.status, got.headers["range"], got.headers["location"]) == (202, f"0-{len(DATA) - 1}", where)
    assert (await door("PUT", f"{where}?digest={DIGEST}")).status == 201
    assert await is_there(door)


@pytest.mark.parametrize("size", [1000, 1_048_560, 1_050_000])
async def test_in_chunks_with_a_status_between(door: Door, size: int) -> None:
    where = await begin(door)
    for start in range(0, len(DATA), size):
        part = DATA[start : start + size] if size > 1000 else DATA[start:]
        end = start + len(part) - 1
        got = await door("PATCH", where, part, content_range=f"{start}-{end}", content_length=str(len(part)))
        assert (got.status, got.headers["range"]) == (202, f"0-{end}")
        status = await door("GET", where)
        assert (status.status, status.headers["range"]) == (204, f"0-{end}")
        if end == len(DATA) - 1:
            break
    assert (await door("PUT", f"{where}?digest={DIGEST}")).status == 201
    assert await is_there(door)


@pytest.mark.parametrize("content_range", ["0-2", "2-4", "4-6"])
async def test_a_chunk_out_of_order_is_told_where_to_go_on(door: Door, content_range: str) -> None:
    where = await begin(door)
    await door("PATCH", where, b"abc", content_range="0-2")
    for method, target in (("PATCH", where), ("PUT", f"{where}?digest={digest_of(b'abcdef')}")):
        got = await door(method, target, b"def", content_range=content_range)
        assert (got.status, got.headers["range"], got.headers["location"]) == (416, "0-2", where)
        assert json.loads(got.body)["errors"][0]["code"] == "BLOB_UPLOAD_INVALID"
    assert (await door("PUT", f"{where}?digest={digest_of(b'abcdef')}", b"def", content_range="3-5")).status == 201


@pytest.mark.parametrize(
    ("content_range", "chunked"),
    [
        ("0-5", False),
        ("0-1", False),
        ("0-1", True),
        ("0-5", True),
        ("2-0", True),
        ("x", True),
    ],
)
async def test_a_content_range_that_is_not_the_bodys_is_refused(door: Door, content_range: str, chunked: bool) -> None:
    where = await begin(door)
    assert (await door("PATCH", where, b"abc", content_range=content_range, chunked=chunked)).status == 400


async def test_a_wrong_digest_is_refused_and_ends_the_upload(door: Door) -> None:
    where = await begin(door)
    got = await door("PUT", f"{where}?digest={digest_of(b'other')}", DATA)
    assert (got.status, json.loads(got.body)["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    assert (await door("GET", where)).status == 404
    assert not await is_there(door)


@pytest.mark.parametrize("query", ["", "?digest=", "?digest=x", "?digest=md5:00", f"?digest={DIGEST}&digest={DIGEST}"])
async def test_a_put_needs_one_digest(door: Door, query: str) -> None:
    where = await begin(door)
    assert (await door("PUT", where + query, DATA)).status == 400


async def test_a_cancelled_upload_is_gone(door: Door) -> None:
    where = await begin(door)
    assert (await door("DELETE", where)).status == 204
    for method in ("DELETE", "GET", "PATCH"):
        assert (await door(method, where)).status == 404


@pytest.mark.parametrize("query", [f"&from={OTHER}", ""])
async def test_a_mount_creates_the_blob_here(door: Door, query: str) -> None:
    await push_blob(door.registry, DATA, OTHER)
    got = await door("POST", f"{UPLOADS}?mount={DIGEST}{query}")
    assert (got.status, got.headers["location"]) == (201, f"/v2/{APP}/blobs/{DIGEST}")
    assert await is_there(door)


@pytest.mark.parametrize(
    "query",
    [
        f"?mount={DIGEST}",
        f"?mount={DIGEST}&from=none/such",
        f"?mount={DIGEST}&digest={DIGEST}",
        f"?mount={DIGEST}&digest=nonsense:00",
        f"?mount={DIGEST}&digest-algorithm=blake3",
    ],
)
async def test_a_mount_of_what_is_not_there_begins_an_upload(door: Door, query: str) -> None:
    got = await door("POST", UPLOADS + query)
    assert got.status == 202
    assert (await door("PUT", f"{got.headers['location']}?digest={DIGEST}", DATA)).status == 201


@pytest.mark.parametrize("query", ["?mount=x", "?digest=nonsense:00", "?digest-algorithm=md5", "?mount=&digest=x"])
async def test_nonsense_in_a_post_is_refused(door: Door, query: str) -> None:
    assert (await door("POST", UPLOADS + query)).status == 400
    assert not door.registry.sessions


async def test_a_blob_is_deleted(door: Door) -> None:
    await push_blob(door.registry, DATA)
    assert (await door("DELETE", f"/v2/{APP}/blobs/{DIGEST}")).status == 202
    assert not await is_there(door)
    assert (await door("DELETE", f"/v2/{APP}/blobs/{DIGEST}")).status == 404


async def test_a_full_store_refuses_pushes_and_serves_pulls_and_deletes(tmp_path: Path) -> None:
    world = World()
    async with opened(tmp_path / "small", world, map_size=2**21) as registry:
        door, small = door_of(registry, world), DATA[:20_000]
        await push_blob(registry, small)
        where = await begin(door)
        for method, target in (("PATCH", where), ("POST", f"{UPLOADS}?digest={DIGEST}")):
            got = await door(method, target, DATA * 2)
            assert (got.status, "retry-after" in got.headers) == (507, True)
        assert await is_there(door, digest_of(small), small)
        assert (await door("DELETE", f"/v2/{APP}/blobs/{digest_of(small)}")).status == 202
