"""A read-only node, as real clients see it: pulls go on, pushes end soon and say why."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.clients import Shell, containers_flags, need, podman, running_docker
from tests.e2e.conftest import watch
from tests.e2e.images import make_image, write_layout
from tests.e2e.servers import Server, command, start_node

SOON = 20.0  # Seconds: docker tries what it may try again for the better part of a minute.
WHY = "the store moves tonight"


@pytest.fixture
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    server = start_node(tmp_path / "data", port=processes.free_port())
    watch(request, server)
    try:
        yield server
    finally:
        processes.stop(server.process)


def push(shell: Shell, node: Server, tag: str) -> tuple[int, str]:
    done = shell.attempt(
        "skopeo",
        "copy",
        *containers_flags(node, "dest-"),
        f"oci:{shell.home}/in:1",
        f"docker://{node.address}/app:{tag}",
    )
    return done.returncode, done.stderr


def test_skopeo_pulls_and_is_told_why_it_cannot_push_across_a_restart(shell: Shell, node: Server) -> None:
    need("skopeo")
    write_layout(shell.home / "in", "1", make_image(40))
    assert push(shell, node, "1")[0] == 0
    command("read-only", "on", "--reason", WHY, "--data", node.data)
    refuses(shell, node)
    processes.stop(node.process)
    # A node that takes no pushes is not ready, and lives.
    restarted = start_node(node.data, port=node.port, ready="/healthz")
    try:
        refuses(shell, restarted)
        command("read-only", "off", "--data", node.data)
        assert push(shell, restarted, "2")[0] == 0
    finally:
        processes.stop(restarted.process)


def refuses(shell: Shell, node: Server) -> None:
    code, said = push(shell, node, "2")
    assert code != 0
    assert WHY in said
    name = f"docker://{node.address}/app:1"
    assert shell.attempt("skopeo", "delete", *containers_flags(node), name).returncode != 0
    shell.run("skopeo", "copy", *containers_flags(node, "src-"), name, f"dir:{shell.home}/out")


def test_docker_and_podman_give_up_at_once_with_the_reason(shell: Shell, node: Server) -> None:
    need("dockerd", "docker", "skopeo", "podman", root=True)
    write_layout(shell.home / "in", "1", make_image(41))
    assert push(shell, node, "1")[0] == 0
    command("read-only", "on", "--reason", WHY, "--data", node.data)
    name = f"{node.address}/app"
    with running_docker(shell) as docker:
        shell.run(*docker, "pull", f"{name}:1")
        shell.run(*docker, "tag", f"{name}:1", f"{node.address}/new:2")
        began = time.monotonic()
        refused = shell.attempt(*docker, "push", f"{node.address}/new:2")
        assert refused.returncode != 0
        assert WHY in refused.stderr
        assert time.monotonic() - began < SOON
    podman(shell, "pull", *containers_flags(node), f"{name}:1")
    began = time.monotonic()
    with pytest.raises(AssertionError, match=WHY):
        podman(shell, "push", *containers_flags(node), f"{name}:1", f"docker://{node.address}/new:3")
    assert time.monotonic() - began < SOON
