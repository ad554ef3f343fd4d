"""What a backup asks of a node over its control socket: short pages, and no more than a backup needs."""

import os
from typing import Any

import msgspec
import pytest

from node.api.admin.answer import Admin
from node.api.admin.routes import admin_application
from node.http.message import Extent, Pieces, Request, Response
from node.registry.backup.layout import message
from node.registry.uploads import Source, begin_upload, finish_upload
from protocol.auth.caller import Caller
from protocol.blobs.chunkmap import CHUNK_SIZE
from protocol.oci.digest import digest_of, packed
from protocol.oci.names import RepositoryName
from tests.node.admin.test_admin import Sent, push


async def ask(admin: Admin, method: str, path: str, body: bytes = b"", **query: str) -> tuple[int, Any]:
    request = Request(
        method, f"/admin/v1/backup{path}", tuple(query.items()), {}, Sent(body), "http", "localhost", "1.1", "", "id"
    )
    response: Response = await admin_application(admin)(request)
    if isinstance(response.body, Pieces):
        return response.status, await read(response.body)
    is_msgpack = ("content-type", "application/msgpack") in response.headers
    return response.status, (msgspec.msgpack if is_msgpack else msgspec.json).decode(response.body)


async def read(pieces: Pieces) -> bytes:
    data = b""
    async for one in pieces.iterator:
        data += os.pread(one.fd, one.length, one.offset) if isinstance(one, Extent) else one
    assert pieces.release is not None
    pieces.release()
    return data


async def push_blob(admin: Admin, data: bytes) -> str:
    caller, name, digest = Caller("*", ""), RepositoryName("app"), digest_of(data)
    upload = await begin_upload(admin.registry, caller, name, "sha256")
    left = memoryview(data)

    async def receive_into(view: memoryview) -> int:
        nonlocal left
        size = min(len(view), len(left))
        view[:size], left = left[:size], left[size:]
        return size

    await finish_upload(admin.registry, caller, name, upload, digest, Source(receive_into, None, None))
    return digest


async def test_pages_end(admin: Admin) -> None:
    await push(admin, "app", "v1")
    status, started = await ask(admin, "GET", "")
    assert (status, started[2] > 0) == (200, True)
    status, (records, following, damaged) = await ask(admin, "GET", "/records", after="0", last="100")
    assert (status, len(records), following, damaged) == (200, started[2], None, [])
    assert (await ask(admin, "GET", "/record", position="1"))[1] == records[0][1]
    assert (await ask(admin, "GET", "/record", position="99")) == (200, None)
    for table in ("links", "blobs", "documents", "repository-names", "replication-taken"):
        assert (await ask(admin, "GET", f"/rows/{table}"))[0] == 200
    status, (position, tables) = await ask(admin, "POST", "/ending")
    assert (status, position) == (200, started[2])
    assert "cursors" in tables


async def test_a_blob_is_sent_from_where_it_is_asked_for_and_its_lease_given_back(admin: Admin) -> None:
    data = os.urandom(2 * CHUNK_SIZE + 5)
    digest = await push_blob(admin, data)
    for start in (0, 1, CHUNK_SIZE, CHUNK_SIZE + 7, len(data)):
        assert await ask(admin, "GET", f"/blobs/{digest}", start=str(start)) == (200, data[start:])
    assert (await ask(admin, "GET", f"/blobs/{digest}", start=str(len(data) + 1)))[0] == 400
    assert admin.registry.store.leases.counts == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "status"),
    [
        ("GET", "/rows/uploads", b"", {}, 400),  # Not in a backup.
        ("GET", "/rows/nothing", b"", {}, 400),
        ("GET", "/rows/links", b"", {"after": "xyz"}, 400),
        ("GET", "/records", b"", {"after": "-1"}, 400),
        ("GET", "/records", b"", {"after": "9" * 30}, 400),
        ("GET", "/blobs/sha256:abc", b"", {}, 400),
        ("GET", "/blobs/" + digest_of(b"nobody has it"), b"", {}, 404),
        ("POST", "/contents", b"not msgpack", {}, 400),
        ("POST", "/signature", b"entrepot-record-v1" + bytes(32), {}, 400),  # It would vouch for a record.
        ("POST", "/signature", b"entrepot-backup-v1" + bytes(31), {}, 400),
        ("POST", "/signature", b"", {}, 400),
    ],
)
async def test_what_makes_no_sense_is_refused(
    admin: Admin, method: str, path: str, body: bytes, query: dict[str, str], status: int
) -> None:
    assert (await ask(admin, method, path, body, **query))[0] == status


async def test_small_blobs_and_a_signature(admin: Admin) -> None:
    digest = await push_blob(admin, b"small")
    wanted = [packed(digest_of(b"small")), packed(digest_of(b"none"))]
    assert digest == digest_of(b"small")
    status, found = await ask(admin, "POST", "/contents", msgspec.msgpack.encode(wanted))
    assert (status, found) == (200, [[b"small", ""], [None, ""]])
    assert await ask(admin, "POST", "/signature", message(b"manifest")) == (200, bytes(64))
    assert await ask(admin, "GET", "/identity") == (200, {"node.key": b"secret"})
