"""A node that is told to reload: a certificate replaced under load, a file that is wrong, what needs a restart."""

import json
import signal
import ssl
import subprocess
import threading
from pathlib import Path

from tests.e2e import processes
from tests.e2e.certificates import make_certificates
from tests.e2e.clients import need
from tests.e2e.processes import wait_until
from tests.e2e.servers import Server, entrepot, node_environment, start_node

PATIENCE = 20.0


def reload(data: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        entrepot("reload", "--data", data, "--json"),
        capture_output=True, text=True, env=node_environment(), timeout=60, check=False,
    )  # fmt: skip


def shown(server: Server) -> str:
    return ssl.get_server_certificate((server.host, server.port))


def events(server: Server) -> list[str]:
    return [json.loads(line)["event"] for line in server.log.read_text().splitlines() if line.startswith("{")]


def test_a_certificate_is_replaced_under_load(tmp_path: Path) -> None:
    need("curl")
    first, second = make_certificates(tmp_path / "first"), make_certificates(tmp_path / "second")
    both = tmp_path / "both.crt"
    both.write_bytes(first.ca.read_bytes() + second.ca.read_bytes())
    server = start_node(tmp_path / "data", port=processes.free_port(), certificates=first)
    failed: list[str] = []
    done = threading.Event()

    def pull() -> None:
        """New connections all the time, each of which has to find a certificate that fits its key."""
        while not done.is_set():
            got = subprocess.run(
                ["curl", "-sS", "--cacert", both, "--max-time", "10", f"{server.url}/v2/"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if got.returncode:
                failed.append(got.stderr)

    pullers = [threading.Thread(target=pull) for _ in range(3)]
    try:
        for one in pullers:
            one.start()
        first.certificate.write_bytes(second.certificate.read_bytes())  # Its key is still that of the first.
        old = shown(server)
        refused = reload(server.data)
        assert (refused.returncode, "the key is not that of the certificate" in refused.stderr) == (2, True)
        assert shown(server) == old
        first.key.write_bytes(second.key.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: shown(server) != old, patience=PATIENCE)
        assert shown(server) == second.certificate.read_text()
        metrics = subprocess.run(
            ["curl", "-sS", "--cacert", both, f"{server.url}/metrics"], capture_output=True, text=True, check=True
        ).stdout
        assert 'entrepot_certificate_expiry_timestamp_seconds{certificate="clients"} 1.' in metrics
        assert json.loads(reload(server.data).stdout)["certificate"] is False
    finally:
        done.set()
        for one in pullers:
            one.join()
        processes.stop(server.process)
    assert failed == []


def test_a_wrong_file_changes_nothing_and_a_right_one_what_it_can(tmp_path: Path) -> None:
    server = start_node(tmp_path / "data", port=processes.free_port(), configuration="[log]\naccess = true\n")
    file = server.data.with_name("data.toml")
    try:
        file.write_text("[log]\naccess = maybe\n")
        refused = reload(server.data)
        assert refused.returncode == 2
        assert f"{file}, line 2" in refused.stderr
        server.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: events(server).count("reload refused") == 2, patience=PATIENCE)

        file.write_text('[log]\naccess = false\n[registry]\nread_only = true\n[listen]\npeer = "127.0.0.1:0"\n')
        done = reload(server.data)
        assert json.loads(done.stdout) == {
            "applied": ["registry.read_only", "log.access"], "restart": ["listen.peer"], "certificate": False
        }  # fmt: skip
        before = events(server).count("access")
        client = server.connect()
        client.request("POST", "/v2/app/blobs/uploads/")
        assert client.getresponse().status == 405
        client.close()
        assert events(server).count("access") == before
    finally:
        processes.stop(server.process)
    assert server.process.poll() == 0
