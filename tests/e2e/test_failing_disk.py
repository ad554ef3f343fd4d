"""A disk that fails: writes are refused and reads go on, and both go on by themselves when it works again.

``strace`` makes a call fail on a real node. Row B5 of the fault list, rule L2; ``test_anomalies`` has the last page of
a commit that fails, after which the node opens its store anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.faults import need, traced, was_injected
from tests.e2e.images import make_image
from tests.e2e.pushes import Answer, Client, Unexpected
from tests.e2e.servers import Server, check_store, start_node

HEALS = 15.0  # Seconds.


@contextmanager
def failing(data: Path, injection: str, *syscalls: str, files: tuple[Path, ...]) -> Iterator[Server]:
    need("strace")
    prefix = traced(data.with_name("trace"), syscalls, paths=files, expressions=[injection])
    server = start_node(data, port=processes.free_port(), prefix=prefix)
    try:
        yield server
    finally:
        processes.stop(server.process)


def alarms(server: Server) -> str:
    client = Client(server)
    try:
        return "\n".join(
            line for line in client.call("GET", "/metrics").body.decode().splitlines() if "alarms{" in line
        )
    except OSError:
        return ""
    finally:
        client.close()


@pytest.mark.parametrize("fault", ["EIO", pytest.param("ENOSPC", marks=pytest.mark.soak)])
@pytest.mark.parametrize("environment", ["meta", "chunks"])
def test_a_sync_that_fails_some_times_is_got_over(tmp_path: Path, environment: str, fault: str) -> None:
    data = tmp_path / "data"
    processes.stop(start_node(data, port=processes.free_port()).process)
    files = (data / environment / "data.mdb",)
    with failing(data, f"inject=fdatasync:error={fault}:when=4..6", "fdatasync", files=files) as server:
        acknowledged, refused = push_until_it_went_wrong_and_right(server)
        assert refused
        client = Client(server)
        for tag, data_of in acknowledged.items():
            assert client.get_manifest("failing", tag) == data_of
        client.close()
        assert processes.wait_until(lambda: "disk" not in alarms(server), patience=HEALS)
    assert was_injected(tmp_path / "trace")
    check_store(data)


def push_until_it_went_wrong_and_right(server: Server) -> tuple[dict[str, bytes], int]:
    """Push until some pushes were refused and the last was not; return what was acknowledged, and how many were not."""
    acknowledged: dict[str, bytes] = {}
    answered: list[Answer] = []
    number = 0

    def push() -> bool:
        nonlocal number
        number += 1
        client, image = Client(server), make_image(number, layers=[70_000])
        try:
            client.put_image("failing", f"v{number}", image)
        except Unexpected as unexpected:
            answered.append(unexpected.answer)
            return False
        finally:
            client.close()
        acknowledged[f"v{number}"] = image.manifest.data
        return bool(answered)

    assert processes.wait_until(push, patience=2 * HEALS)
    assert all(one.status in {503, 507} and int(one.headers["Retry-After"]) <= HEALS for one in answered)
    return acknowledged, len(answered)
