"""What the disk of one node got wrong is found by a scrub and healed from another node; without one, it is told."""

import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from struct import Struct

import lmdb
import pytest

from tests.e2e import processes
from tests.e2e.federation import Federation, arrives, found, replicate
from tests.e2e.images import Image, make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import RIVAL, Server, check_store, command, entrepot, node_environment, start_node

pytestmark = pytest.mark.skipif(RIVAL, reason="docker-registry scrubs nothing")

_HEAD = Struct("<Q 2x H")  # Of a page of LMDB's: its number, and what it is.
CONFIGURATION = "[scrub]\nrate = 1073741824\n"


@pytest.fixture
def federation(tmp_path: Path, nothing_is_left: None) -> Iterator[Federation]:
    federation = found(tmp_path)
    try:
        replicate(federation, "e2e/")
        yield federation
    finally:
        federation.stop()


def scrub(data: Path, *options: str) -> tuple[int, dict[str, object]]:
    """Run ``entrepot scrub``; return its exit code and what it printed."""
    done = subprocess.run(
        entrepot("scrub", "--data", data, "--json", *options),
        capture_output=True,
        text=True,
        env=node_environment(),
        timeout=120,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def values(data: Path, table: str) -> list[bytes]:
    """Return the values of a table of a node that is stopped, as they are stored."""
    with (
        lmdb.open(str(data / "meta"), readonly=True, lock=False, max_dbs=64, lib_version=0) as env,
        env.begin() as txn,
        txn.cursor(env.open_db(table.encode(), txn)) as cursor,
    ):
        return [bytes(value) for _, value in cursor]


def hurt(file: Path, content: bytes, *, at: int, bits: bytes) -> None:
    """Change bits of *content*, wherever it lies in the file."""
    data, where = file.read_bytes(), []
    start = data.find(content)
    while start >= 0:
        where.append(start)
        start = data.find(content, start + 1)
    assert where
    with file.open("r+b") as out:
        for start in where:
            out.seek(start + at)
            out.write(bytes(one ^ bit for one, bit in zip(content[at:], bits, strict=False)))


def assert_whole(server: Server, repository: str, image: Image) -> None:
    client = Client(server)
    try:
        got = client.call("GET", f"/v2/{repository}/manifests/1")
        assert (got.status, got.body) == (200, image.manifest.data)
        for blob in image.blobs:
            got = client.call("GET", f"/v2/{repository}/blobs/{blob.digest}")
            assert (got.status, got.body) == (200, blob.data)
    finally:
        client.close()


def test_a_flipped_bit_in_a_chunk_and_in_records_is_healed_from_another_node(federation: Federation) -> None:
    a, b = federation.a.start(), federation.b.start()
    image = make_image(60, layers=(10, 40_000, 3_000_000))
    client = Client(a)
    client.put_image("e2e/scrub", "1", image)
    client.close()
    assert arrives(b, "e2e/scrub", "1", image.manifest.digest)
    federation.b.stop()
    data = federation.b.data
    large = max((blob.data for blob in image.blobs), key=len)
    hurt(data / "chunks/data.mdb", large[1_100_000:1_101_000], at=500, bits=b"\x04")
    for table in ("images", "tags", "links", "blobs", "heads", "contents"):
        for value in values(data, table):
            hurt(data / "meta/data.mdb", value, at=len(value) // 2, bits=b"\x10\x01\x20")
    b = federation.b.start()
    assert processes.wait_until(lambda: "\tup" in federation.b.run("peer", "ls"), patience=30)
    code, status = scrub(data, "--wait", "--rate", "1G")
    assert (code, status["damaged"], status["damage"]) == (0, 0, [])
    assert int(str(status["repaired"])) >= 8
    assert_whole(b, "e2e/scrub", image)
    federation.b.stop()
    check_store(data, deep=True)


def test_what_nobody_has_is_told_and_mended_by_a_push(tmp_path: Path, nothing_is_left: None) -> None:
    data, port = tmp_path / "alone", processes.free_port()
    server = start_node(data, port=port, configuration=CONFIGURATION)
    try:
        image = make_image(61, layers=(2_000_000,))
        with closing(Client(server)) as client:
            client.put_image("e2e/alone", "1", image)
        large = max((blob.data for blob in image.blobs), key=len)
        hurt(data / "chunks/data.mdb", large[1_100_000:1_101_000], at=500, bits=b"\x04")
        code, status = scrub(data, "--wait")
        assert (code, status["damaged"]) == (1, 1)
        processes.kill(server.process)  # What is known to be damaged outlives it.
        server = start_node(data, port=port, configuration=CONFIGURATION)
        code, status = scrub(data, "--status")
        assert (code, status["damaged"]) == (1, 1)
        bad = next(blob.digest for blob in image.blobs if blob.data == large)
        with closing(Client(server)) as client:
            assert client.call("GET", f"/v2/e2e/alone/blobs/{bad}").status >= 500
            assert b'entrepot_alarms{alarm="damaged-content"} 1.0' in client.call("GET", "/metrics").body
            client.put_image("e2e/alone", "1", image)
            assert processes.wait_until(lambda: scrub(data, "--status")[0] == 0, patience=30)
            assert b'entrepot_alarms{alarm="damaged-content"}' not in client.call("GET", "/metrics").body
        assert_whole(server, "e2e/alone", image)
    finally:
        processes.stop(server.process)
    check_store(data, deep=True)


def test_what_nobody_else_has_comes_from_a_backup(tmp_path: Path, nothing_is_left: None) -> None:
    data, port = tmp_path / "alone", processes.free_port()
    image = make_image(62, layers=(2_000_000,))
    server = start_node(data, port=port, configuration=CONFIGURATION)
    try:
        with closing(Client(server)) as client:
            client.put_image("e2e/alone", "1", image)
            client.put_image("e2e/alone", "2", make_image(63))
        command("backup", tmp_path / "backup", "--data", data)
    finally:
        processes.stop(server.process)
    large = max((blob.data for blob in image.blobs), key=len)
    hurt(data / "chunks/data.mdb", large[1_100_000:1_101_000], at=500, bits=b"\x04")
    for table in ("contents", "journal"):
        for value in values(data, table):
            hurt(data / "meta/data.mdb", value, at=len(value) // 2, bits=b"\x10\x01\x20")
    server = start_node(data, port=port, configuration=CONFIGURATION)
    try:
        code, status = scrub(data, "--wait")
        assert (code, status["damaged"]) != (0, 0)
        code, status = scrub(data, "--wait", "--from", str(tmp_path / "backup"))
        assert (code, status["damage"]) == (0, [])
        assert_whole(server, "e2e/alone", image)
    finally:
        processes.stop(server.process)
    check_store(data, deep=True)


def test_a_file_that_is_cut_under_a_running_node_does_not_end_it(tmp_path: Path, nothing_is_left: None) -> None:
    """As a sector that cannot be read: what is read through the map of it would be SIGBUS.

    Chunks are cut off, and no page of the tree that leads to them: those LMDB reads through the map when it writes.
    """
    data, port = tmp_path / "cut", processes.free_port()
    server = start_node(data, port=port, configuration=CONFIGURATION)
    try:
        file = data / "chunks/data.mdb"
        images: list[Image] = []
        while len(images) < 3 or file.stat().st_size - _end_of_tree(file) < 5_000_000:
            images.append(make_image(70 + len(images), layers=(3_000_000,)))
            with closing(Client(server)) as client:
                client.put_image("e2e/cut", str(len(images) - 1), images[-1])
        os.truncate(file, file.stat().st_size - 5_000_000)
        refused = 0
        for image in images:
            for blob in image.layers:
                with closing(Client(server)) as client:
                    try:
                        got = client.call("GET", f"/v2/e2e/cut/blobs/{blob.digest}")
                        assert got.status >= 500 or got.body == blob.data
                        refused += got.status >= 500
                    except (http.client.HTTPException, OSError):
                        refused += 1  # Broken off: no 200 that looks whole.
        code, status = scrub(data, "--wait")
        assert code == 1
        assert int(str(status["damaged"])) >= refused >= 1  # Free pages may have been cut off too: nobody misses those.
        with closing(Client(server)) as client:
            for number, image in enumerate(images):
                client.put_image("e2e/cut", str(number), image)
        assert processes.wait_until(lambda: scrub(data, "--status")[0] == 0, patience=30)
        assert server.process.poll() is None
    finally:
        processes.stop(server.process)
    check_store(data, deep=True)


def _end_of_tree(file: Path) -> int:
    """Return where the last page of a tree ends: it begins with its own number and says that it is one."""
    pages = file.read_bytes()
    heads = ((at, *_HEAD.unpack_from(pages, at * 4096)) for at in range(len(pages) // 4096))
    return 4096 * max(int(at) + 1 for at, number, flags in heads if number == at and flags & 3)


TABLES = (
    "repositories", "repository-names", "images", "images-deleted", "referrers", "parents", "tags", "tags-deleted",
    "tag-history", "tags-of-image", "blobs", "contents", "maps", "numbers", "links", "holders", "due", "uploads",
    "journal", "records", "heads", "cursors", "sums", "documents", "replication-status", "replication-open",
)  # fmt: skip


@pytest.mark.parametrize("bits", [b"\x08", b"\x10\x01\x20\x7f"], ids=["one bit", "four bytes"])
def test_a_node_starts_and_works_whatever_row_is_damaged(tmp_path: Path, nothing_is_left: None, bits: bytes) -> None:
    """A row of every table at once: the last one that was written. What nothing leads back to is told, and no more."""
    data, port = tmp_path / "hurt", processes.free_port()
    command("init", "--data", data, "--account", "111111111111", "--region", "eu-west-1")
    server = start_node(data, port=port, configuration=CONFIGURATION)
    image, index = make_image(80, layers=(2_000_000, 900)), make_image(81)
    try:
        rules = tmp_path / "rules.json"
        destinations = [{"region": "us-east-1", "registryId": "111111111111"}]
        rules.write_text(json.dumps({"rules": [{"destinations": destinations}]}))
        command("replication", "put", rules, "--data", data)
        with closing(Client(server)) as client:
            for tag, one in (("1", image), ("2", index), ("1", index), ("1", image)):
                client.put_image("e2e/hurt", tag, one)
            client.put_image("e2e/hurt", "gone", make_image(82))
            client.call("DELETE", "/v2/e2e/hurt/manifests/gone")
            client.call("DELETE", f"/v2/e2e/hurt/manifests/{make_image(82).manifest.digest}")
    finally:
        processes.stop(server.process)
    spared = {"journal", "contents", "documents", "uploads"} if len(bits) > 1 else set()
    for table in TABLES:
        for value in values(data, table)[-1:] if table not in spared else []:
            hurt(data / "meta/data.mdb", value, at=len(value) // 2, bits=bits)
    server = start_node(data, port=port, configuration=CONFIGURATION)
    try:
        code, status = scrub(data, "--wait")
        assert (code, status["damage"]) == (0, [])
        with closing(Client(server)) as client:
            client.put_image("e2e/hurt", "new", make_image(83))
            assert client.call("GET", "/metrics").status == 200
        assert_whole(server, "e2e/hurt", image)
        assert "Traceback" not in server.log.read_text()
    finally:
        processes.stop(server.process)
    check_store(data, deep=True)
