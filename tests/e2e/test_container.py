"""The image of ``deploy/container``: built without a network but pip's, run with as little as it can be given.

Its base is made of this machine's Python (``bases``). It runs on the host's network and on a file system that is
read-only but for its data, without a capability, as a user that is nobody here.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import processes
from tests.e2e.bases import python_with_pip, write_base
from tests.e2e.clients import Shell, buildah, containers_flags, need, podman, running_shell
from tests.e2e.images import make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import ROOT, Server

pytestmark = pytest.mark.timeout(600)

NAME = "localhost/entrepot:test"
USER = 10001
IMAGE = make_image(80, layers=(3_000_000, 5000))


@dataclass(frozen=True, slots=True)
class Built:
    """The storage of podman that has the image."""

    shell: Shell

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(podman(self.shell, "image", "inspect", NAME))[0]
        return found

    @contextmanager
    def running(self, data: Path, *command: str, port: int) -> Iterator[str]:
        """Run a node in a container for the length of a block; yield the container's name."""
        podman(
            self.shell, "run", "--detach", "--name", "node", "--network", "host", "--read-only",
            "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges",
            "--volume", f"{data}:/var/lib/entrepot",
            NAME, *command,
        )  # fmt: skip
        try:
            assert processes.wait_until(lambda: processes.accepts(port), patience=60)
            yield "node"
        finally:
            podman(self.shell, "stop", "--time", "30", "node")
            log = podman(self.shell, "logs", "node")
            state = json.loads(podman(self.shell, "container", "inspect", "node"))[0]["State"]
            podman(self.shell, "rm", "node")
        assert state["ExitCode"] == 0, f"TERM reaches the node, and it stops by itself\n{log}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    need("podman", "buildah", "runc", "busybox", "ldd", root=True)
    folder = tmp_path_factory.mktemp("container")
    wheels = folder / "wheels"
    download = [str(python_with_pip()), "-m", "pip", "download", "--quiet", "--require-hashes", "--dest", str(wheels)]
    for lock in ("build", "runtime"):
        subprocess.run([*download, "--requirement", ROOT / f"deploy/setup/{lock}.lock"], check=True)
    write_base(folder / "base.tar")
    with running_shell() as shell:
        container = buildah(shell, "from", "scratch").strip()
        buildah(shell, "add", "--quiet", container, folder / "base.tar", "/")
        buildah(shell, "commit", "--quiet", container, "localhost/base")
        buildah(shell, "rm", container)
        buildah(
            shell, "bud", "--quiet", "--isolation", "chroot", "--format", "docker", "--tag", NAME,
            "--file", ROOT / "deploy/container/Containerfile", "--volume", f"{wheels}:/wheels:ro",
            "--build-arg", "BASE=localhost/base", "--build-arg", "PIP_NO_INDEX=1",
            "--build-arg", "PIP_FIND_LINKS=/wheels", ROOT,
        )  # fmt: skip
        yield Built(shell)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder for the volume, which belongs to the image's user."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    os.chown(folder, USER, USER)
    return folder


def test_the_image_says_how_it_is_run(built: Built) -> None:
    found = built.inspect()
    config = found["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["/opt/entrepot/bin/entrepot"]
    assert config["Cmd"] == ["serve"], "loopback, unless it is told otherwise"
    assert config["StopSignal"] in {"SIGTERM", "15"}
    assert {*config["Volumes"]} == {"/var/lib/entrepot"}
    assert config["Labels"]["org.opencontainers.image.title"] == "entrepot"
    assert found["Healthcheck"]["Test"][0] == "CMD", "no shell"


def test_nothing_in_it_can_be_changed_by_its_user(built: Built) -> None:
    command = 'find / -xdev ! -type l \\( -user 10001 -o -perm -002 \\) ! -path "/proc/*" ! -path "/dev/*"'
    found = podman(
        built.shell, "run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", NAME, "-c", command
    ).split()
    of_podman = ("/sys", "/etc/hosts", "/run")
    assert {one for one in found if not one.startswith(of_podman)} <= {"/tmp", "/var/lib/entrepot"}  # noqa: S108 - of it


def test_a_node_serves_and_keeps_what_it_was_given(built: Built, data: Path) -> None:
    port = processes.free_port()
    server = Server("127.0.0.1", port, None, data, data, None)  # type: ignore[arg-type]  # Podman has its process.
    command = ("serve", "--listen", server.address)
    with built.running(data, *command, port=port) as name:
        client = Client(server)
        client.put_image("team/hello", "1", IMAGE)
        client.close()
        assert "team/hello" in podman(built.shell, "exec", name, "entrepot", "repo", "ls")
        podman(built.shell, "exec", name, "/opt/entrepot/bin/python", "/opt/entrepot/healthcheck.py")
        # The node is given the image that it runs from, and gives it back.
        itself = f"{server.address}/entrepot:1"
        podman(built.shell, "tag", NAME, itself)
        podman(built.shell, "push", *containers_flags(server), itself)
        podman(built.shell, "untag", NAME, itself)
        podman(built.shell, "pull", "--quiet", *containers_flags(server), itself)
    with built.running(data, *command, port=port):
        client = Client(server)
        assert client.get_manifest("team/hello", "1") == IMAGE.manifest.data
        client.close()
    healthcheck = subprocess.run(
        [sys.executable, ROOT / "deploy/container/healthcheck.py"],
        env={"ENTREPOT_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (healthcheck.returncode, "Traceback" in healthcheck.stderr) == (1, False), "nobody is there any more"


def test_a_network_is_not_listened_to_by_accident(built: Built, data: Path) -> None:
    done = built.shell.attempt(
        "podman", "--root", built.shell.home / "storage", "--runroot", built.shell.home / "run/storage",
        "run", "--rm", "--network", "none", "--volume", f"{data}:/var/lib/entrepot", NAME,
        "serve", "--listen", "0.0.0.0:5000",
    )  # fmt: skip
    assert done.returncode == 2
    assert "--allow-open-network" in done.stderr


def test_the_demo_of_three_regions_takes_its_steps_in_the_image(built: Built) -> None:
    """As ``compose.yaml`` has it, but on the host's network: on a named volume that nobody prepared."""
    shell, folder = built.shell, "/var/lib/entrepot"
    port, peers = processes.free_port(), processes.free_port()
    common = ["--network", "host", "--read-only", "--cap-drop", "all", "--volume", f"demo:{folder}"]

    def step(name: str) -> None:
        podman(
            shell, "run", "--rm", *common, "--env", f"REGIONS=eu={folder}/eu us={folder}/us",
            "--volume", f"{ROOT}/deploy/compose/regions.py:/demo/regions.py:ro",
            "--entrypoint", "/opt/entrepot/bin/python", NAME, "/demo/regions.py", name,
        )  # fmt: skip

    step("found")
    podman(
        shell, "run", "--detach", "--name", "eu", *common, "--env", f"ENTREPOT_DATA={folder}/eu", NAME, "serve",
        "--listen", f"127.0.0.1:{port}", "--peer-listen", f"127.0.0.1:{peers}",
    )  # fmt: skip
    try:
        assert processes.wait_until(lambda: processes.accepts(port), patience=60)
        podman(shell, "exec", "eu", "/opt/entrepot/bin/python", "/opt/entrepot/healthcheck.py")
        step("join")
        assert "node.pem" in podman(shell, "exec", "eu", "ls", f"{folder}/us/identity")
    finally:
        podman(shell, "rm", "--force", "--time", "30", "eu")
        podman(shell, "volume", "rm", "demo")
