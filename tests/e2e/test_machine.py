"""What a machine does to a node: it stops it for seconds, sets its clock, and has nowhere to put its log.

Faults C2, C9, D3 and D4 of docs/design/reliability.md, and A12 and A15.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.e2e import processes
from tests.e2e.faults import clock, need, set_clock
from tests.e2e.footprint import at_rest, footprint
from tests.e2e.images import Blob, digest, make_image
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client, Unexpected, expect
from tests.e2e.servers import RIVAL, Server, check_store, start_node

pytestmark = pytest.mark.skipif(RIVAL, reason="promises of entrepot")

REPOSITORY = "machine/app"
DAY = 86_400


@contextmanager
def node(data: Path, **variables: str) -> Iterator[Server]:
    """Run a node for the length of the block; it ends well, and its store is as it has to be."""
    server = start_node(data, port=processes.free_port(), variables=variables)
    try:
        yield server
    finally:
        code = processes.stop(server.process)
    assert code == 0, processes.tail(server.log)
    check_store(data)


def test_a_machine_that_is_paused_in_a_transfer_goes_on(tmp_path: Path) -> None:
    """SIGSTOP and SIGCONT, as a virtual machine that moves: connections stand, nothing is lost, no answer is old."""
    blob = Blob("", Random(1).randbytes(24 * 2**20))
    image = make_image(1, layers=(100,))
    with node(tmp_path / "data") as server:
        pid, client = server.process.pid, Client(server)
        client.put_image(REPOSITORY, "v1", image)
        results: list[bytes | None] = []

        def push_and_pull() -> None:
            own = Client(server)
            own.put_blob(REPOSITORY, blob, parts=(8 * 2**20, 8 * 2**20))
            results.append(own.get_blob(REPOSITORY, blob.digest))
            own.close()

        thread = threading.Thread(target=push_and_pull)
        thread.start()
        for _ in range(4):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.5)  # What a pause is.
            os.kill(pid, signal.SIGCONT)
            assert client.get_manifest(REPOSITORY, "v1") == image.manifest.data
        thread.join(60)
        client.close()
        assert results == [blob.data]


def test_a_clock_that_is_set_back_and_forth_under_way_changes_no_order(tmp_path: Path) -> None:
    """A later push wins whatever the clock says, also after a start; nothing is collected early, nothing hangs."""
    need("faketime")
    time_file, data = tmp_path / "clock", tmp_path / "data"
    set_clock(time_file, 0)
    images = [make_image(number, layers=(100, 40_000)) for number in range(6)]
    lone = Blob("", b"nothing names this" * 3000)
    with node(data, **clock(str(time_file))) as server:
        client = Client(server)
        client.put_blob(REPOSITORY, lone)
        upload = client.open_upload(REPOSITORY)
        upload = client.append(upload, b"begun before")
        for number, days in enumerate((0, -1, 0, -400, -1)):
            set_clock(time_file, days * DAY)
            client.put_image(REPOSITORY, "latest", images[number])
            assert client.get_manifest(REPOSITORY, "latest") == images[number].manifest.data
        assert client.get_blob(REPOSITORY, lone.digest) == lone.data
        client.finish(upload, digest(b"begun before, ended after"), b", ended after")
        client.close()
    with node(data, **clock(str(time_file))) as server:  # A day back, still.
        client = Client(server)
        assert client.get_manifest(REPOSITORY, "latest") == images[4].manifest.data
        client.put_image(REPOSITORY, "latest", images[5])
        assert client.get_manifest(REPOSITORY, "latest") == images[5].manifest.data
        assert client.get_blob(REPOSITORY, lone.digest) == lone.data
        client.close()


@pytest.mark.parametrize("when", ["@1970-01-01 00:01:00", "@2106-02-07 06:28:10"])
def test_a_machine_without_a_clock_serves_and_takes_nothing_that_it_cannot_date(when: str, tmp_path: Path) -> None:
    """No battery: the node starts in 1970, or behind the end of 32 bits. Pulls go on, pushes are told why not."""
    need("faketime")
    data, before, then = tmp_path / "data", make_image(1, layers=(100,)), make_image(2, layers=(100,))
    with node(data) as server:
        client = Client(server)
        client.put_image(REPOSITORY, "latest", before)
        client.close()
    server = start_node(data, port=processes.free_port(), variables=clock(when), ready="/healthz")
    try:
        client = Client(server)
        assert client.get_manifest(REPOSITORY, "latest") == before.manifest.data
        assert client.get_blob(REPOSITORY, before.layers[0].digest) == before.layers[0].data
        with pytest.raises(Unexpected) as refused:
            client.put_image(REPOSITORY, "latest", then)
        assert refused.value.answer.status == 405
        assert b"clock" in refused.value.answer.body
        client.close()
    finally:
        processes.stop(server.process)
    with node(data) as server:  # The clock is right again.
        client = Client(server)
        assert client.get_manifest(REPOSITORY, "latest") == before.manifest.data
        client.put_image(REPOSITORY, "latest", then)
        assert client.get_manifest(REPOSITORY, "latest") == then.manifest.data
        client.close()


def test_a_log_that_cannot_be_written_holds_nothing_up(tmp_path: Path) -> None:
    data, image = tmp_path / "data", make_image(1, layers=(100, 40_000))
    prefix = ["/bin/sh", "-c", 'exec "$@" >/dev/full 2>/dev/full', "sh"]
    server = start_node(data, port=processes.free_port(), prefix=prefix)
    try:
        client = Client(server)
        for number in range(20):
            client.put_image(REPOSITORY, f"v{number}", image)
            assert client.get_manifest(REPOSITORY, f"v{number}") == image.manifest.data
        client.close()
    finally:
        code = processes.stop(server.process)
    assert code == 0
    check_store(data)


def test_of_two_who_upload_the_same_blob_one_may_die(tmp_path: Path) -> None:
    blob = Blob("", Random(2).randbytes(3 * 2**20))
    with node(tmp_path / "data") as server:
        before = at_rest(server, patience=10)
        one, other = Client(server), Client(server)
        paths = [client.open_upload(REPOSITORY) for client in (one, other)]
        paths[0] = one.append(paths[0], blob.data[: 2**20])
        with socket.create_connection((server.host, server.port), 10) as dying:
            head = f"PATCH {paths[1]} HTTP/1.1\r\nHost: {server.address}\r\nContent-Length: {len(blob.data)}\r\n\r\n"
            dying.sendall(head.encode() + blob.data[: 2**21])
        one.finish(paths[0], blob.digest, blob.data[2**20 :])
        assert other.get_blob(REPOSITORY, blob.digest) == blob.data
        expect(other.call("DELETE", paths[1]), 204)
        one.close()
        other.close()
        assert wait_until(lambda: footprint(server).descriptors <= before.descriptors + 1, patience=10)
        assert at_rest(server, patience=10).is_at_rest
    assert "orphan" not in check_store(tmp_path / "data", deep=True)
