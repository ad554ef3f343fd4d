"""A node in circumstances: a clock without a battery, a log that nobody takes, signals, a pause."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.clients import Shell, containers_flags, need
from tests.e2e.images import make_image, write_layout
from tests.e2e.processes import free_port, wait_until
from tests.e2e.servers import Server, answers, check_store, command, entrepot, node_environment, start_node

PATIENCE = 20.0
[FAKETIME] = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")] or [Path("none")]


@contextmanager
def running(data: Path, **options: object) -> Iterator[Server]:
    server = start_node(data, port=free_port(), **options)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        processes.stop(server.process)


def get(server: Server, path: str, method: str = "GET") -> tuple[int, bytes]:
    client = server.connect()
    try:
        client.request(method, path)
        response = client.getresponse()
        return response.status, response.read()
    finally:
        client.close()


def alarms(server: Server) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(server.data / "control.sock"))
        sock.sendall(b"GET /admin/v1/alarms HTTP/1.0\r\nhost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    return {one["name"]: one["what"] for one in json.loads(answer.partition(b"\r\n\r\n")[2])["alarms"]}


@pytest.mark.parametrize("date", ["1970-01-02 00:00:00", "2106-02-07 00:00:00"])
def test_a_node_whose_clock_is_insane_answers_pulls(tmp_path: Path, shell: Shell, date: str) -> None:
    need("skopeo", "faketime")
    write_layout(shell.home / "in", "1", make_image(50))
    command("init", "--account", "111111111111", "--region", "eu-west-1", "--data", tmp_path / "data")
    peers = ("--peer-listen", "127.0.0.1:0")
    with running(tmp_path / "data", options=peers) as server:
        copy = "skopeo", "copy", *containers_flags(server, "dest-")
        shell.run(*copy, f"oci:{shell.home}/in:1", f"docker://{server.address}/app:1")
    # Not by the program faketime: what ends that does not end what it started.
    fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"@{date}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with running(tmp_path / "data", options=peers, ready="/readyz?for=pulls", variables=fake) as server:
        name = f"docker://{server.address}/app:1"
        digest = json.loads(shell.run("skopeo", "inspect", *containers_flags(server), name))["Digest"]
        copy = "skopeo", "copy", *containers_flags(server, "src-")
        shell.run(*copy, f"docker://{server.address}/app@{digest}", f"dir:{shell.home}/out")
        status, said = get(server, "/readyz")
        assert (status, b"read-only: clock" in said) == (503, True)
        assert get(server, "/v2/app/blobs/uploads/", "POST")[0] == 405
        assert date[:4] in alarms(server)["clock-wrong"]
        refused = subprocess.run(
            entrepot("invite", "--data", server.data),
            capture_output=True,
            text=True,
            env=node_environment(),
            check=False,
        )
        assert refused.returncode == 5
        assert "clock" in refused.stderr
    check_store(tmp_path / "data")
    with running(tmp_path / "data", options=peers):
        pass  # It takes pushes again: that is what it waited for.


@pytest.mark.parametrize("closed", ["/dev/full", "closed", "pipe"])
def test_a_log_that_nobody_takes_keeps_nobody_waiting(tmp_path: Path, closed: str) -> None:
    data, port = tmp_path / "data", free_port()
    arguments = entrepot("serve", "--data", data, "--listen", f"127.0.0.1:{port}", "--json")
    if closed == "closed":
        process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *arguments], env=node_environment())
    elif closed == "pipe":
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.Popen(arguments, env=node_environment(), stdout=writing, stderr=writing)
        os.close(writing)
    else:
        with open("/dev/full", "wb") as full:  # noqa: PTH123
            process = subprocess.Popen(arguments, env=node_environment(), stdout=full, stderr=full)
    try:
        assert wait_until(lambda: answers("127.0.0.1", port, None, "/readyz"), patience=PATIENCE)
        server = Server("127.0.0.1", port, process, tmp_path / "none", data, None)
        for _ in range(20):
            assert get(server, "/v2/app/manifests/none")[0] == 404
        assert get(server, "/v2/app/blobs/uploads/", "POST")[0] == 202
    finally:
        code = processes.stop(process)
    assert code == 0
    check_store(data)


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", configuration="[limits]\ngrace = 600\n") as server,
        socket.create_connection((server.host, server.port)) as upload,
    ):
        upload.sendall(b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nhost: localhost\r\n\r\n")
        location = upload.recv(4096).decode().split("location: ")[1].split("\r\n")[0]
        upload.sendall(f"PATCH {location} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n".encode())
        server.process.terminate()
        assert wait_until(lambda: not processes.accepts(server.port), patience=PATIENCE)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0.5)  # It waits for the upload.
        began = time.monotonic()
        server.process.terminate()
        assert server.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 10
    log = server.log.read_text()
    assert "stopping at once" in log
    assert "Traceback" not in log


def test_a_node_that_was_stopped_for_a_while_goes_on(tmp_path: Path) -> None:
    """SIGSTOP: an upload that was under way ends, a tag that moved is answered as it is, nothing is logged as a bug."""
    with running(tmp_path / "data") as server:
        with socket.create_connection((server.host, server.port)) as upload:
            upload.sendall(b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nhost: localhost\r\n\r\n")
            location = upload.recv(4096).decode().split("location: ")[1].split("\r\n")[0]
            upload.sendall(f"PATCH {location} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6\r\n\r\nabc".encode())
            server.process.send_signal(signal.SIGSTOP)
            time.sleep(5)
            server.process.send_signal(signal.SIGCONT)
            upload.sendall(b"def")
            assert b" 202 " in upload.recv(4096).partition(b"\r\n")[0]
        assert get(server, "/readyz")[0] == 200
        # It is told that the process did not run, and nobody is blamed.
        assert wait_until(lambda: '"kind":"process"' in server.log.read_text(), patience=PATIENCE)
    assert "Traceback" not in server.log.read_text()


def test_top_shows_what_is_under_way(tmp_path: Path) -> None:
    size = 8 * 2**20
    with running(tmp_path / "data") as server:
        upload = socket.create_connection((server.host, server.port))
        download = socket.create_connection((server.host, server.port))
        with upload, download:
            pushed = push(server, bytes(size))
            upload.sendall(b"POST /v2/slow/push/blobs/uploads/ HTTP/1.1\r\nhost: localhost\r\n\r\n")
            location = upload.recv(4096).decode().split("location: ")[1].split("\r\n")[0]
            head = f"PATCH {location} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\n\r\n"
            upload.sendall(head.encode() + bytes(size // 2))
            download.sendall(f"GET /v2/slow/pull/blobs/{pushed} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            download.recv(1000)  # And no more: it stays under way.
            found: dict[str, dict[str, object]] = {}

            def seen() -> bool:
                shown = json.loads(command("top", "--json", "--interval", "0.1", "--data", server.data))
                found.update({one["transfer"]["way"]: one["transfer"] for one in shown["moving"]})
                return len(found) == 2 and int(str(found["upload"]["moved"])) > size // 4

            assert wait_until(seen, patience=PATIENCE)
            assert (found["upload"]["repository"], found["upload"]["size"]) == ("slow/push", size)
            assert (found["download"]["digest"], found["download"]["client"]) == (pushed, "127.0.0.1")
            assert location.rpartition("/")[2] not in str(found)

        def over() -> bool:
            return not json.loads(command("top", "--json", "--interval", "0.1", "--data", server.data))["moving"]

        assert wait_until(over, patience=PATIENCE), "what has ended is shown no more"


def push(server: Server, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    client = server.connect()
    client.request("POST", f"/v2/slow/pull/blobs/uploads/?digest={digest}", data)
    assert client.getresponse().status == 201
    client.close()
    return digest


def doctor(data: Path, *options: str) -> tuple[int, dict[str, str]]:
    done = subprocess.run(
        entrepot("doctor", "--data", data, "--json", *options),
        capture_output=True, text=True, env=node_environment(), timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, {one["name"]: one["verdict"] for one in json.loads(done.stdout)["checks"]}


def test_the_doctor_sees_what_is_wrong_with_a_node_that_runs_hangs_or_is_stopped(tmp_path: Path) -> None:
    open_network = '[listen]\nallow_open_network = true\naddress = ["0.0.0.0:0"]\n'
    with running(tmp_path / "data", configuration="[log]\naccess = true\n") as server:
        code, found = doctor(server.data)
        assert (found["state"], found["answer"], found["addresses"]) == ("ok", "ok", "ok")
        assert code == int("fail" in found.values())  # The machine that runs the test may have a full disk.
        command("read-only", "on", "--data", server.data)
        assert doctor(server.data)[1]["read-only"] == "warn"
        command("read-only", "off", "--data", server.data)
        (tmp_path / "data.toml").write_text("nonsense")
        subprocess.run(
            entrepot("reload", "--data", server.data), env=node_environment(), capture_output=True, check=False
        )
        code, found = doctor(server.data)
        assert (code, found["reload-refused"]) == (1, "fail")
        server.process.send_signal(signal.SIGSTOP)
        code, found = doctor(server.data)
        server.process.send_signal(signal.SIGCONT)
        assert (code, found["state"], found["open"]) == (1, "fail", "fail")
        assert "room" in found  # What can be looked at without it was.
    code, found = doctor(tmp_path / "data")
    assert found["open"] == "ok"
    (tmp_path / "other.toml").write_text(open_network)
    code, found = doctor(tmp_path / "data", "--config", str(tmp_path / "other.toml"))
    assert (code, found["addresses"]) == (1, "fail")
