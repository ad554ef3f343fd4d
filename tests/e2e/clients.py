"""Real clients, each with a home, credentials and storage of its own, so that no test sees another's or the machine's.

A client that is not installed skips its test; with ``CI`` set it fails it, for there the set-up has to install it.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.servers import Server

CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "none"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
CONTAINERD = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{folder}/c.sock"
"""


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs clients in a folder of its own."""

    home: Path
    environment: dict[str, str]

    def run(self, *command: str | Path, patience: float = 120) -> str:
        """Return what *command* printed; fail with what it said where it does not return 0."""
        done = self.attempt(*command, patience=patience)
        assert done.returncode == 0, f"{' '.join(done.args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, *command: str | Path, patience: float = 120) -> "subprocess.CompletedProcess[str]":
        """Return how *command* ended."""
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            timeout=patience,
            check=False,
        )


@contextmanager
def running_shell() -> Iterator[Shell]:
    """Yield a shell whose clients keep everything below its home and read no settings of the machine.

    The home lies in /tmp, not with the test's other files: podman takes paths of 50 characters, sockets 107. At the
    end it goes, with the mounts that docker and podman leave in it.
    """
    home = Path(tempfile.mkdtemp(prefix="e2e-", dir="/tmp"))
    try:
        yield _shell(home)
    finally:
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if Path(mount).is_relative_to(home)]):
            subprocess.run(["umount", mount], check=True)
        shutil.rmtree(home)


def _shell(home: Path) -> Shell:
    (home / "tmp").mkdir()
    (home / "run").mkdir(mode=0o700)
    (home / "docker").mkdir()
    (home / "docker/config.json").write_text("{}")
    (home / "auth.json").write_text("{}")
    (home / "containers.conf").write_text(CONTAINERS)
    (home / "registries.conf").write_text("")
    (home / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    environment = processes.environment(
        HOME=str(home),
        TMPDIR=str(home / "tmp"),
        XDG_RUNTIME_DIR=str(home / "run"),
        DOCKER_CONFIG=str(home / "docker"),
        REGISTRY_AUTH_FILE=str(home / "auth.json"),
        CONTAINERS_CONF=str(home / "containers.conf"),
        CONTAINERS_REGISTRIES_CONF=str(home / "registries.conf"),
    )
    return Shell(home, environment)


def need(*programs: str, root: bool = False) -> None:
    """Skip the test, or with ``CI`` set fail it, where one of *programs* (or being root) is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if root and os.geteuid() != 0:
        missing.append("root")
    if missing and os.environ.get("CI", "") not in ("", "0", "false"):
        pytest.fail(f"needs {', '.join(missing)}: `make test` as root installs the packages")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def containers_flags(server: Server, prefix: str = "") -> list[str]:
    """Return how skopeo, podman and buildah are told to trust *server*; *prefix* is ``src-`` or ``dest-``."""
    if server.ca is None:
        return [f"--{prefix}tls-verify=false"]
    return [f"--{prefix}cert-dir={server.ca.parent}"]


def podman(shell: Shell, *command: str | Path) -> str:
    """Run podman with storage below the shell's home."""
    return shell.run("podman", *_storage(shell), *command)


def buildah(shell: Shell, *command: str | Path) -> str:
    """Run buildah with the same storage."""
    return shell.run("buildah", *_storage(shell), *command)


def _storage(shell: Shell) -> list[str | Path]:
    return ["--root", shell.home / "storage", "--runroot", shell.home / "run/storage", "--storage-driver", "overlay"]


@contextmanager
def running_containerd(shell: Shell) -> Iterator[list[str]]:
    """Run a containerd of its own for a block; yield ``ctr``'s command line up to the subcommand."""
    folder = shell.home / "containerd"
    folder.mkdir()
    (folder / "config.toml").write_text(CONTAINERD.format(folder=folder))
    ctr = ["ctr", "--address", str(folder / "c.sock")]
    with processes.running(
        ["containerd", "--config", folder / "config.toml"],
        log=folder / "log",
        ready=lambda: shell.attempt(*ctr, "version").returncode == 0,
        environment=shell.environment,
    ):
        yield ctr


def containerd_hosts(shell: Shell, server: Server) -> list[str | Path]:
    """Return how ctr is told to reach *server* by TLS: without a hosts file it takes loopback for plain HTTP."""
    if server.ca is None:
        return ["--plain-http"]
    folder = shell.home / "hosts" / server.address
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts.toml").write_text(
        f'server = "{server.url}"\n[host."{server.url}"]\n'
        f'capabilities = ["pull", "resolve", "push"]\nca = "{server.ca}"\n'
    )
    return ["--hosts-dir", shell.home / "hosts"]


@contextmanager
def running_docker(shell: Shell) -> Iterator[list[str]]:
    """Run a dockerd of its own for a block; yield the command line of ``docker`` up to the subcommand.

    It gets no bridge and writes no firewall rule. 127.0.0.0/8 and localhost are insecure registries to it: it speaks
    TLS there without checking the certificate, and plain HTTP where TLS fails.
    """
    folder = shell.home / "dockerd"
    folder.mkdir()
    socket = f"unix://{folder}/d.sock"
    docker = ["docker", "--host", socket]
    command = [
        "dockerd",
        "--data-root",
        f"{folder}/root",
        "--exec-root",
        f"{folder}/exec",
        "--pidfile",
        f"{folder}/pid",
    ]
    command += ["--host", socket, "--storage-driver", "overlay2", "--bridge", "none", "--iptables=false"]
    command += ["--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
    with processes.running(
        command,
        log=folder / "log",
        ready=lambda: shell.attempt(*docker, "version").returncode == 0,
        environment=shell.environment,
    ):
        yield docker
