"""No file is named by what a stranger sends, and nobody else reads what a node writes.

S43 and S46 of the attack tests.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.faults import need, traced
from tests.e2e.images import Blob, make_image
from tests.e2e.pushes import Client
from tests.e2e.raw import exchange, request
from tests.e2e.servers import RIVAL, Server, start_node
from tests.e2e.test_hostile_requests import TRAVERSALS

pytestmark = pytest.mark.skipif(RIVAL, reason="how the rival keeps files is its own business")

_OPENED = re.compile(r'(?:open|openat|creat|unlink\w*|rename\w*|mkdir\w*)\(.*?"([^"]*)"')
# What the interpreter and the C library read for themselves, whenever they first need it.
_OWN = re.compile(
    r"/proc/self/.*|/proc/stat|/proc/\d+/stat\w*|/etc/localtime|/sys/devices/.*"
    r"|.*/(node|protocol|lib/python3[^ ]*)/.*|.*\.so[.\d]*"
)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Server]:
    need("strace")
    prefix = traced(tmp_path / "trace", ["%file"])
    server = start_node(tmp_path / "data", port=processes.free_port(), prefix=prefix)
    try:
        yield server
    finally:
        processes.stop(server.process)


def test_no_file_outside_the_data_directory_is_touched_whatever_is_asked(watched: Server, tmp_path: Path) -> None:
    image = make_image(73, layers=(3_000_000,))
    with closing(Client(watched)) as client:
        client.put_image("warm/up", "v1", image)
        client.get_blob("warm/up", image.layers[0].digest)
        already = len((tmp_path / "trace").read_text(errors="replace").splitlines())
        for target in TRAVERSALS:
            exchange(watched, request("GET", target, host=watched.address))
        for name in ("../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "etc/passwd"):
            exchange(
                watched, request("POST", f"/v2/{name}/blobs/uploads/?from={name}", host=watched.address), method="POST"
            )
        client.put_blob("warm/up", Blob("application/octet-stream", b"x" * 2_000_000))
    lines = (tmp_path / "trace").read_text(errors="replace").splitlines()[already:]
    opened = {found[1] for line in lines if (found := _OPENED.search(line))}
    assert not {path for path in opened if "passwd" in path or ".." in path}
    data = str(watched.data)
    assert not {
        path for path in opened if path.startswith("/") and not path.startswith(data) and not _OWN.fullmatch(path)
    }


def test_nobody_else_reads_what_a_node_writes_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        server = start_node(tmp_path / "data", port=processes.free_port())
    finally:
        os.umask(before)
    try:
        with closing(Client(server)) as client:
            client.put_image("modes/app", "v1", make_image(74, layers=(2_000_000,)))
    finally:
        processes.stop(server.process)
    found = [server.data, *server.data.rglob("*")]
    assert len(found) > 8
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_key_that_others_can_read_is_refused_by_name(tmp_path: Path) -> None:
    server = start_node(tmp_path / "data", port=processes.free_port())
    processes.stop(server.process)
    key = server.data / "identity/node.key"
    key.chmod(0o640)
    with pytest.raises(processes.NotReady, match=r"node\.key"):
        start_node(tmp_path / "data", port=processes.free_port())
    key.chmod(0o600)
    processes.stop(start_node(tmp_path / "data", port=processes.free_port()).process)
