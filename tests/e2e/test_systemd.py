"""The unit for systemd: taken by it, isolated as it says, and a node that keeps to what it is allowed and told."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import processes, servers
from tests.e2e.clients import need
from tests.e2e.images import make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import ROOT, Server

UNIT = ROOT / "deploy/systemd/entrepot.service"
WORST = 1.5  # Of 10, as `systemd-analyze security` counts.
IMAGE = make_image(70, layers=(3_000_000, 5000))


def start(data: Path, *wrapper: str, **variables: str) -> Server:
    port = processes.free_port()
    process = processes.start(
        [*wrapper, *servers.entrepot("serve", "--data", data, "--listen", f"127.0.0.1:{port}")],
        log=data.with_name("log"),
        ready=lambda: processes.accepts(port),
        environment={**servers.node_environment(), **variables},
    )
    return Server("127.0.0.1", port, process, data.with_name("log"), data, None)


def push_and_pull(server: Server) -> None:
    client = Client(server)
    client.put_image("team/hello", "1", IMAGE)
    for layer in IMAGE.layers:
        assert client.get_blob("team/hello", layer.digest) == layer.data
    client.close()


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    need("systemd-analyze")
    installed = "/opt/entrepot/bin/entrepot"
    text = UNIT.read_text()
    assert f"ExecStart={installed} " in text
    unit = tmp_path / "entrepot.service"
    unit.write_text(text.replace(installed, "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "entrepot" in line]
    assert (done.returncode, ours) == (0, [])


def test_the_unit_is_isolated() -> None:
    need("systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--json=short", f"--threshold={WORST * 10:g}", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, [one for one in json.loads(done.stdout) if one["set"] is False]


def test_a_node_calls_only_what_the_unit_allows(tmp_path: Path) -> None:
    need("systemd-analyze", "strace")
    allowed = syscalls("@system-service") - syscalls("@privileged")
    calls = tmp_path / "calls"
    server = start(tmp_path / "data", "strace", "-f", "-c", "-U", "name", "-o", str(calls))
    try:
        push_and_pull(server)
        os.kill(child_of(server.process.pid), signal.SIGHUP)
    finally:
        os.kill(child_of(server.process.pid), signal.SIGTERM)
        assert server.process.wait(30) == 0
    called = set(re.findall(r"^\s*([a-z_0-9]+)$", calls.read_text(), re.MULTILINE)) - {"syscall", "total"}
    assert len(called) > 30
    assert called - allowed == set()


def syscalls(group: str) -> set[str]:
    """Return the system calls of one of systemd's groups, those of the groups in it too."""
    text = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    names = {line.strip() for line in text.stdout.splitlines()[1:] if line.startswith("    ")}
    found = {name for name in names if name[0] not in "@#"}
    for name in names:
        if name.startswith("@"):
            found |= syscalls(name)
    return found


def child_of(pid: int) -> int:
    """Return the process that strace started."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_a_node_needs_no_memory_that_can_be_written_and_run(tmp_path: Path) -> None:
    # MemoryDenyWriteExecute, by the kernel's own way for it (prctl PR_SET_MDWE, Linux 6.3).
    deny = "import ctypes, os, sys; c = ctypes.CDLL(None, use_errno=True); "
    deny += (
        "e = c.prctl(65, 1, 0, 0, 0) and ctypes.get_errno(); os._exit(77) if e else os.execv(sys.argv[1], sys.argv[1:])"
    )
    if subprocess.run(["/usr/bin/python3", "-c", deny, "/bin/true"], check=False).returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE")
    server = start(tmp_path / "data", "/usr/bin/python3", "-c", deny)
    try:
        push_and_pull(server)
    finally:
        assert processes.stop(server.process) == 0


class Supervisor:
    """What systemd would hear."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.settimeout(20)

    def close(self) -> None:
        self._sock.close()

    def next(self) -> list[str]:
        """Return the lines of the next message that is not about the watchdog."""
        while True:
            lines = self._sock.recv(4096).decode().split("\n")
            if lines != ["WATCHDOG=1"]:
                return lines

    def hears_the_watchdog(self) -> bool:
        return any(self._sock.recv(4096) == b"WATCHDOG=1" for _ in range(5))


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "notify")
    yield supervisor
    supervisor.close()


def test_a_supervisor_is_told_how_the_node_is(tmp_path: Path, supervisor: Supervisor) -> None:
    server = start(tmp_path / "data", NOTIFY_SOCKET=str(supervisor.path), WATCHDOG_USEC="300000")
    try:
        ready = supervisor.next()
        assert ready == ["READY=1", f"STATUS=listening on {server.address}"]
        assert supervisor.hears_the_watchdog()
        server.process.send_signal(signal.SIGHUP)
        reloading = supervisor.next()
        assert reloading[0] == "RELOADING=1"
        assert reloading[1].startswith("MONOTONIC_USEC=")
        assert supervisor.next() == ["READY=1"]
        server.process.send_signal(signal.SIGTERM)
        assert supervisor.next() == ["STOPPING=1"]
        assert server.process.wait(30) == 0
    finally:
        processes.stop(server.process)


@pytest.mark.parametrize("path", ["/nowhere/notify", "@nobody-listens-here"])
def test_a_supervisor_that_does_not_listen_is_not_missed(tmp_path: Path, path: str) -> None:
    server = start(tmp_path / "data", NOTIFY_SOCKET=path, WATCHDOG_USEC="100000", WATCHDOG_PID="1")
    try:
        push_and_pull(server)
    finally:
        assert processes.stop(server.process) == 0
