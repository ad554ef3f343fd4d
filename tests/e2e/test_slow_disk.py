"""A disk that takes seconds: pulls and health go on, pushes wait and are told the truth, and nothing is read wrong.

Faults B13, B16 and C8 of docs/design/reliability.md.
"""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.e2e import processes
from tests.e2e.faults import clock, need, set_clock, traced
from tests.e2e.footprint import metrics
from tests.e2e.images import Blob, make_image
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client
from tests.e2e.servers import RIVAL, Server, check_store, command, start_node

pytestmark = pytest.mark.skipif(RIVAL, reason="what is measured is how entrepot's loop and threads share work")

REPOSITORY = "slow/app"
ANSWERS = 0.5  # Seconds in which everything that needs no disk is answered, on a machine that may have other work.


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    need("strace")
    server = start_node(tmp_path / "data", port=processes.free_port())
    try:
        yield server
    finally:
        processes.stop(server.process)


@contextmanager
def delayed(server: Server, *syscalls: str, seconds: float, when: str = "1+") -> Iterator[None]:
    """Delay these calls on the files of the store, in each thread of a node that runs those that *when* says."""
    files = [server.data / name / "data.mdb" for name in ("meta", "chunks")]
    trace = server.data.with_name("trace")
    inject = [f"inject={one}:delay_enter={int(seconds * 1e6)}:when={when}" for one in syscalls]
    command = [part for part in traced(trace, syscalls, paths=files, expressions=inject) if part not in {"-D", "-f"}]
    tracer = subprocess.Popen(
        [command[0], "-f", "-p", str(server.process.pid), *command[1:]],
        env=processes.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        status = Path(f"/proc/{server.process.pid}/status")
        assert wait_until(lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text(), patience=10)
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def answers_meanwhile(server: Server, path: str, busy: list[threading.Thread]) -> list[float]:
    """Ask for *path* and for the health until the threads have ended; return how long each answer took."""
    client, took = Client(server), []
    while any(thread.is_alive() for thread in busy):
        for one in (path, "/healthz"):
            began = time.monotonic()
            assert client.call("GET", one).status == 200
            took.append(time.monotonic() - began)
        time.sleep(0.02)
    client.close()
    return sorted(took)


def test_while_syncs_take_a_second_pulls_go_on_and_pushes_share_commits(server: Server) -> None:
    first = make_image(1, layers=(100,))
    client = Client(server)
    client.put_image(REPOSITORY, "first", first)
    client.close()
    images = [make_image(number, layers=(100, 40_000)) for number in range(10, 22)]

    def push(number: int) -> None:
        own = Client(server)
        own.put_image(REPOSITORY, f"v{number}", images[number])
        own.close()

    threads = [threading.Thread(target=push, args=(number,)) for number in range(len(images))]
    began = time.monotonic()
    with delayed(server, "fdatasync", seconds=1):
        for thread in threads:
            thread.start()
        took = answers_meanwhile(server, f"/v2/{REPOSITORY}/manifests/first", threads)
    elapsed = time.monotonic() - began
    assert took[int(len(took) * 0.99)] <= ANSWERS, f"p99 {took[int(len(took) * 0.99)]}"
    assert elapsed < 4 * len(images), f"{elapsed} s: each push waited for the others"  # Alone each takes 5 s and more.
    client = Client(server)
    for number, image in enumerate(images):
        assert client.get_manifest(REPOSITORY, f"v{number}") == image.manifest.data
    client.close()


def test_while_every_thread_waits_for_the_disk_the_loop_answers(server: Server, tmp_path: Path) -> None:
    """Cold chunks are read in threads; when all of those hang, what needs none is answered all the same.

    The pages that say where chunks lie are few, and nearly always in memory: they are read on the loop. So only the
    first reads of each thread hang, and the loop has those behind it.
    """
    image = make_image(2, layers=(100,))
    blobs = [Blob("", Random(number).randbytes(30_000)) for number in range(60)]
    client = Client(server)
    client.put_image(REPOSITORY, "first", image)
    for blob in blobs:
        client.put_blob(REPOSITORY, blob)
    client.close()
    processes.stop(server.process)
    again = start_node(server.data, port=server.port)  # It has compared no chunk yet.

    def pull(blob: Blob) -> None:
        own = Client(again)
        assert own.get_blob(REPOSITORY, blob.digest) == blob.data
        own.close()

    threads = [threading.Thread(target=pull, args=(blob,)) for blob in blobs]
    try:
        with delayed(again, "preadv", "pread64", seconds=1, when="1..3"):
            pull(blobs[0])
            for thread in threads:
                thread.start()
            took = answers_meanwhile(again, f"/v2/{REPOSITORY}/manifests/first", threads)
        assert took[int(len(took) * 0.99)] <= ANSWERS, f"p99 {took[int(len(took) * 0.99)]}"
    finally:
        processes.stop(again.process)
    check_store(again.data)


def test_a_stalled_reader_of_a_blob_that_is_collected_gets_its_bytes(tmp_path: Path) -> None:
    """The kernel sends from pages of the file: they may not become another blob's under a slow client.

    The blob is deleted, collected a day later, and the store written over twice, while the client stalls.
    """
    need("faketime")
    time_file = tmp_path / "clock"
    set_clock(time_file, 0)
    server = start_node(tmp_path / "data", port=processes.free_port(), variables=clock(str(time_file)))
    try:
        stall_through_collection(server, time_file)
    finally:
        processes.stop(server.process)
    check_store(server.data, deep=True)


def stall_through_collection(server: Server, time_file: Path) -> None:
    size = 8 * 2**20
    blob, client = Blob("", Random(1).randbytes(size)), Client(server)
    client.put_blob(REPOSITORY, blob)
    with socket.create_connection((server.host, server.port), 30) as sock:
        path = f"/v2/{REPOSITORY}/blobs/{blob.digest}"
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {server.address}\r\nConnection: close\r\n\r\n".encode())
        assert b"200 OK" in sock.recv(2000, socket.MSG_PEEK)  # It has begun, and stalls now.
        client.delete(path)
        for day in range(1, 4):  # What is deleted today is collected tomorrow: chunks are freed, and used again.
            other = Blob("", Random(10 + day).randbytes(size))
            client.put_blob(f"other/{day}", other)
            client.delete(f"/v2/other/{day}/blobs/{other.digest}")
            collected = metrics(server)["entrepot_collected_blobs_total"]
            set_clock(time_file, day * 26 * 3600)
            command("repo", "rm", f"other/{day}", "--data", server.data)  # Has the node look now, not in a minute.
            assert wait_until(lambda: metrics(server)["entrepot_collected_blobs_total"] > collected, patience=20)  # noqa: B023 - called at once
        received = b"".join(iter(lambda: sock.recv(2**16), b""))
    client.close()
    body = received.partition(b"\r\n\r\n")[2]
    assert body == blob.data[: len(body)], "bytes of something else"
    assert len(body) == size
