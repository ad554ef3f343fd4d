"""The servers under test, as processes on loopback ports: entrepot nodes, and Debian's docker-registry.

A test sees a ``Server`` and does not know which it is. ``E2E_REGISTRY=docker-registry`` puts the rival where entrepot
would be: what fails there too is the harness's fault.
"""

import http.client
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import processes
from tests.e2e.certificates import Certificates
from tests.e2e.forks import Forks
from tests.e2e.processes import Process

ROOT = Path(__file__).resolve().parents[2]
NO_VARIABLES: Mapping[str, str] = {}
PATIENCE = 90.0  # Seconds that a client waits for an answer: on a disk that others write to as well, a sync takes tens.
RIVAL = os.environ.get("E2E_REGISTRY") == "docker-registry"


@dataclass(frozen=True, slots=True)
class Server:
    """A registry that answers."""

    host: str
    port: int
    process: Process
    log: Path
    data: Path
    ca: Path | None  # The authority of its certificate; ``None``: it speaks plain HTTP.

    @property
    def address(self) -> str:
        """``host:port``, as it stands in an image's name."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The beginning of every URL, without a slash at its end."""
        return f"{'https' if self.ca else 'http'}://{self.address}"

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection of the standard library's client; it dials at the first request."""
        return connection(self.host, self.port, self.ca)


def connection(host: str, port: int, ca: Path | None) -> http.client.HTTPConnection:
    """Return a connection that checks the certificate against *ca*, or a plain one."""
    if ca is None:
        return http.client.HTTPConnection(host, port, timeout=PATIENCE)
    return http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=ssl.create_default_context(cafile=str(ca)))


def entrepot(*arguments: str | Path) -> list[str]:
    """Return the command line of ``entrepot`` as it is installed beside the Python that runs the tests."""
    installed = Path(sys.executable).with_name("entrepot")
    command = (
        [str(installed)] if installed.exists() else [sys.executable, "-c", "from node.cli.main import main; main()"]
    )
    return [*command, *map(str, arguments)]


def node_environment() -> dict[str, str]:
    """Return the environment of a node: nothing of the machine's settings, the tree of this test importable."""
    return processes.environment(PYTHONPATH=str(ROOT))


def run(*arguments: str | Path, patience: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run one ``entrepot`` command to its end."""
    return subprocess.run(
        entrepot(*arguments), capture_output=True, text=True, env=node_environment(), timeout=patience, check=False
    )


def command(*arguments: str | Path, patience: float = 60) -> str:
    """Run one ``entrepot`` command; return what it printed, or fail with what it said."""
    done = run(*arguments, patience=patience)
    assert done.returncode == 0, f"entrepot {' '.join(map(str, arguments))}: {done.returncode}\n{done.stderr}"
    return done.stdout


def check_store(data: Path, *, deep: bool = False, forks: Forks | None = None) -> frozenset[str]:
    """Fail where ``entrepot check`` finds that something is wrong in the store of a node that was stopped or killed.

    With *forks* they start it.

    Returns:
        The kinds of what it notes besides, which is no fault: ``orphan``, ``dangling``.
    """
    done = (forks.run if forks else run)("check", "--data", data, "--json", *(["--deep"] if deep else []), patience=300)
    assert done.returncode == 0, f"entrepot check of {data.name}: {done.returncode}\n{done.stdout}{done.stderr}"
    return frozenset(one["kind"] for one in json.loads(done.stdout)["findings"])


def start_node(
    data: Path,
    *,
    port: int,
    certificates: Certificates | None = None,
    options: Sequence[str | Path] = (),
    configuration: str = "",
    prefix: Sequence[str | Path] = (),
    variables: Mapping[str, str] = NO_VARIABLES,
    ready: str = "/readyz",
) -> Server:
    """Start ``entrepot serve`` on *data*; return when it says that it is ready. The caller stops its process.

    Args:
        data: the data directory, made where it is missing; its log lies beside it.
        port: on 127.0.0.1.
        certificates: serve TLS, under the name localhost.
        options: more of the command line.
        configuration: the text of a TOML file.
        prefix: what stands before the command: a tracer that becomes its child (see ``faults``).
        variables: more of the environment.
        ready: the path that is answered 200 when it has started.
    """
    arguments: list[str | Path] = ["serve", "--data", data, "--listen", f"127.0.0.1:{port}", *options]
    if certificates:
        arguments += ["--tls-cert", certificates.certificate, "--tls-key", certificates.key]
    if configuration:
        file = data.with_name(f"{data.name}.toml")
        file.write_text(configuration)
        arguments += ["--config", file]
    ca = certificates.ca if certificates else None
    host, log = "localhost" if ca else "127.0.0.1", data.with_name(f"{data.name}.log")
    process = processes.start(
        [*prefix, *entrepot(*arguments)],
        log=log,
        ready=lambda: answers(host, port, ca, ready),
        environment={**node_environment(), **variables},
    )
    return Server(host, port, process, log, data, ca)


def fork_node(
    forks: Forks,
    data: Path,
    *,
    port: int,
    options: Sequence[str | Path] = (),
    prefix: Sequence[str | Path] = (),
    ready: str = "/readyz",
) -> Server:
    """Start a node as ``start_node`` does, in the environment of *forks*."""
    log = data.with_name(f"{data.name}.log")
    arguments = ["serve", "--data", data, "--listen", f"127.0.0.1:{port}", *options]
    process = forks.start(arguments, log=log, tracer=prefix)
    processes.await_ready(process, f"a node at {data}", log=log, ready=lambda: answers("127.0.0.1", port, None, ready))
    return Server("127.0.0.1", port, process, log, data, None)


def start_docker_registry(data: Path, *, port: int, certificates: Certificates | None = None) -> Server:
    """Start Debian's docker-registry on *data*, deletes enabled; the caller stops its process."""
    address: dict[str, object] = {"addr": f"127.0.0.1:{port}", "secret": "uploads survive a restart"}
    if certificates:
        address["tls"] = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    configuration = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "http": address,
    }
    file = data.with_name(f"{data.name}.yml")
    file.write_text(json.dumps(configuration))  # JSON is YAML.
    ca = certificates.ca if certificates else None
    host, log = "localhost" if ca else "127.0.0.1", data.with_name(f"{data.name}.log")
    process = processes.start(
        ["docker-registry", "serve", file],
        log=log,
        ready=lambda: answers(host, port, ca, "/v2/"),
        environment=processes.environment(),
    )
    return Server(host, port, process, log, data, ca)


@contextmanager
def registry(data: Path, *, certificates: Certificates | None = None) -> Iterator[Server]:
    """Run the registry under test for the length of a block, on a free port."""
    port = processes.free_port()
    start = start_docker_registry if RIVAL else start_node
    server = start(data, port=port, certificates=certificates)
    try:
        yield server
    finally:
        processes.stop(server.process)


def answers(host: str, port: int, ca: Path | None, path: str) -> bool:
    """Whether a GET of *path* is answered 200."""
    client = connection(host, port, ca)
    try:
        client.request("GET", path)
        return client.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()
