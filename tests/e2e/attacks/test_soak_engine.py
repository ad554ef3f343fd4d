"""What connections may cost, held to its bounds: C3, C4, C5, S48 and S49 in full size. Minutes; ``make soak``."""

import os
import random
import resource
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bench.memory import MEBI
from bench.parts import engine
from tests.e2e import processes, servers
from tests.e2e.attacks.honest import measuring
from tests.e2e.attacks.hostile import close, connect
from tests.e2e.images import Blob, make_image
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client, expect
from tests.e2e.servers import RIVAL, Server

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(RIVAL, reason="what the rival takes is its own business"),
]

IMAGE = make_image(82, layers=(3000,))
PATH = "/v2/e2e/held/manifests/v1"
CGROUPS = Path("/sys/fs/cgroup/memory")
UPLOAD = 200 * MEBI  # Bytes of each upload; E2E_UPLOAD_BYTES=1073741824 needs 64 GB of disk.
BLOB = Blob("", random.Random(3).randbytes(200_000_000))


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Server]:
    with servers.registry(tmp_path / "data") as server:
        with closing(Client(server)) as client:
            client.put_image("e2e/held", "v1", IMAGE)
            client.put_blob("e2e/held", BLOB)
        yield server


def test_a_thousand_idle_connections_cost_40_kib_each(held: Server) -> None:
    with measuring(held, PATH) as honest:
        assert engine.idle_connections(held, 1000) <= 40 * engine.KIBI
    assert not honest.failed


def test_a_thousand_slow_readers_stay_within_200_mb(held: Server) -> None:
    own, queue = engine.read_slowly(held, f"/v2/e2e/held/blobs/{BLOB.digest}", 1000)
    assert own <= 200 * MEBI
    assert queue <= 400 * engine.KIBI


def test_twenty_thousand_streams_without_a_window_for_a_minute(held: Server) -> None:
    with measuring(held, PATH) as honest:
        assert engine.stall(held, f"/v2/e2e/held/blobs/{BLOB.digest}", seconds=60) <= 200 * MEBI
    assert not honest.failed


@contextmanager
def memory_limit(server: Server, limit: int) -> Iterator[Path]:
    """Hold the node to *limit* bytes, its page cache counted; the group is removed when it has ended."""
    group = CGROUPS / f"entrepot-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit))
        (group / "cgroup.procs").write_text(str(server.process.pid))
        yield group
    finally:
        processes.stop(server.process)
        wait_until(lambda: not (group / "cgroup.procs").read_text(), patience=10)
        group.rmdir()


@pytest.mark.skipif(os.geteuid() != 0 or not (CGROUPS / "tasks").exists(), reason="needs root and cgroups v1")
def test_sixty_four_large_uploads_at_once_under_300_mb(tmp_path: Path) -> None:
    size = int(os.environ.get("E2E_UPLOAD_BYTES", UPLOAD))
    file = tmp_path / "blob"
    blob = Blob("", random.Random(4).randbytes(size))
    file.write_bytes(blob.data)
    digest = blob.digest
    del blob
    with servers.registry(tmp_path / "data") as server, memory_limit(server, 300 * MEBI):
        with engine.uploading(server, file, digest) as running:
            codes = [one.communicate()[0] for one in running]
        assert codes == [b"201"] * len(running)
        assert server.process.poll() is None


def test_a_node_with_256_descriptors_and_a_thousand_clients_goes_on(held: Server) -> None:
    """C3: the ones that are there are served, and when clients leave new ones are."""
    resource.prlimit(held.process.pid, resource.RLIMIT_NOFILE, (256, 256))
    clients: list[socket.socket] = []
    with closing(Client(held)) as old:
        assert old.get_manifest("e2e/held", "v1") == IMAGE.manifest.data
        try:
            clients.extend(connect(held) for _ in range(1000))
            for _ in range(20):
                assert old.get_manifest("e2e/held", "v1") == IMAGE.manifest.data
            old.put_blob("e2e/held", Blob("", b"x" * 3_000_000))
        finally:
            close(clients)

        def is_served() -> bool:
            with closing(Client(held)) as new:
                return new.get_manifest("e2e/held", "v1") == IMAGE.manifest.data

        assert wait_until(is_served, patience=30)
        expect(old.call("GET", "/readyz"), 200)
