"""``entrepot serve`` starts what the flags say, tells where it listens, and ends without a traceback."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

from node.cli.serve import KEYS
from node.config.load import load

Shell = Any


@contextmanager
def serving(data: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    program = "from node.cli.main import main; main()"
    command = [sys.executable, "-c", program, "serve", "--data", str(data), "--listen", "127.0.0.1:0", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTREPOT_")}
    process = subprocess.Popen(  # noqa: S603 - our own command.
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def healthy(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        return client.recv(100).startswith(b"HTTP/1.1 200")


def test_it_tells_where_it_listens_and_ends_in_order(run: Shell, tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--json") as process:
        assert process.stdout is not None
        [address] = json.loads(process.stdout.readline())["addresses"]
        assert healthy(address)
        assert run("repo", "ls", "--data", str(tmp_path / "data")).exit_code == 0
        second = run("serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
        assert (second.exit_code, second.stdout) == (5, "")
        assert "another node runs" in second.stderr
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate()
    assert process.returncode == 0
    assert "Traceback" not in log
    assert "stopped" in [json.loads(line)["event"] for line in log.splitlines()]


def test_hints_are_lines_to_paste(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--hints") as process:
        assert process.stdout is not None
        lines = list(takewhile(lambda line: not line.startswith("Stop it"), process.stdout))
        address = lines[0].split()[2].rstrip(".")
        assert healthy(address)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert f"docker push {address}/IMAGE" in "".join(lines)
    assert process.returncode == 0


def test_an_address_in_use(run: Shell, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with serving(tmp_path / "data", "--listen", address) as process:
            _, errors = process.communicate()
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith(f"entrepot: Address already in use: {address}; stop what listens there")
    assert "Traceback" not in errors


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with serving(tmp_path / "file" / "data") as process:
        _, errors = process.communicate()
    assert process.returncode == 1
    last = errors.splitlines()[-1]
    assert "file" in last
    assert "listen" not in last, "it is not the address that is wrong"
    assert "Traceback" not in errors


def test_wrong_flags(run: Shell) -> None:
    result = run("serve", "--listen", "5000")
    assert result.exit_code == 2
    assert "127.0.0.1:5000" in result.stderr


def test_every_flag_is_a_key_of_the_configuration() -> None:
    values = {
        "listen.address": ("127.0.0.1:0",), "listen.peer": "127.0.0.1:0", "listen.advertise": "example.com:1",
        "listen.allow_open_network": True, "listen.allow_plain_network": True, "auth.mode": "required",
    }  # fmt: skip
    assert load(None, {}, {key: values.get(key, "x") for key in KEYS.values()}).listen.tls_key == "x"


def test_the_key_of_the_first_administrator_is_printed_once_and_not_logged(run: Shell, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, "--auth", "required", "--hints") as process:
        assert process.stdout is not None
        said = "".join(takewhile(lambda line: not line.startswith("Stop it"), process.stdout))
        secret = said.partition("AWS_SECRET_ACCESS_KEY=")[2].split()[0]
        assert len(secret) == 40
        keys = json.loads(run("key", "ls", "admin", "--data", str(data), "--json").stdout)["keys"]
        assert [one["id"] for one in keys] == [said.partition("AWS_ACCESS_KEY_ID=")[2].split()[0]]
        process.send_signal(signal.SIGTERM)
        rest, log = process.communicate()
        assert secret not in rest + log
    with serving(data, "--auth", "required", "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()).keys() == {"addresses"}


def test_where_standard_output_is_a_journal_no_key_is_made(run: Shell, tmp_path: Path) -> None:
    data, pipe = tmp_path / "data", os.pipe()
    found = os.fstat(pipe[1])
    command = [sys.executable, "-c", "from node.cli.main import main; main()", "serve", "--data", str(data)]
    environment = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
    process = subprocess.Popen(  # noqa: S603 - our own command.
        [*command, "--listen", "127.0.0.1:0", "--auth", "required", "--json"],
        stdout=pipe[1], stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    try:
        os.close(pipe[1])
        with os.fdopen(pipe[0]) as said:
            assert json.loads(said.readline())["administrator"] == {"user": "admin", "key": None}
        assert json.loads(run("key", "ls", "admin", "--data", str(data), "--json").stdout) == {"keys": []}
        made = json.loads(run("key", "create", "admin", "--data", str(data), "--json").stdout)
        assert len(made["secret"]) == 40
    finally:
        process.kill()
        process.wait()
