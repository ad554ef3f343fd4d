"""skopeo pushes and pulls: what comes back is byte for byte what went in, over plain HTTP and TLS."""

import json
from pathlib import Path

import pytest

from tests.e2e.clients import Shell, containers_flags, need
from tests.e2e.images import make_image, read_layout, write_layout
from tests.e2e.servers import Server

ARCHITECTURES = ("amd64", "arm64")
MEBI = 2**20


@pytest.fixture(autouse=True)
def skopeo() -> None:
    need("skopeo")


def push(shell: Shell, server: Server, layout: Path, name: str) -> None:
    shell.run(
        "skopeo", "copy", "--all", "--preserve-digests", *containers_flags(server, "dest-"),
        f"oci:{layout}:1", f"docker://{server.address}/{name}",
    )  # fmt: skip


def pull(shell: Shell, server: Server, name: str, into: str) -> None:
    shell.run(
        "skopeo", "copy", "--all", "--preserve-digests", *containers_flags(server, "src-"),
        f"docker://{server.address}/{name}", into,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("architectures", "layers"),
    [
        (("amd64",), (1, 5000)),
        (("amd64",), (3 * MEBI + 1, 2 * MEBI, 1_048_560)),  # Around the length of a stored chunk.
        (ARCHITECTURES, (1000, 20_000)),
    ],
    ids=["small", "large", "two-platforms"],
)
def test_a_layout_comes_back_as_it_was(
    server: Server, shell: Shell, repository: str, architectures: tuple[str, ...], layers: tuple[int, ...]
) -> None:
    images = [make_image(1, layers=layers, architecture=one) for one in architectures]
    write_layout(shell.home / "in", "1", *images)
    push(shell, server, shell.home / "in", f"{repository}:1")
    pull(shell, server, f"{repository}:1", f"oci:{shell.home}/out:1")
    assert read_layout(shell.home / "out") == read_layout(shell.home / "in")


def test_a_directory_comes_back_as_it_was(server: Server, shell: Shell, repository: str) -> None:
    image = make_image(2)
    write_layout(shell.home / "in", "1", image)
    push(shell, server, shell.home / "in", f"{repository}:1")
    pull(shell, server, f"{repository}:1", f"dir:{shell.home}/out")
    assert (shell.home / "out/manifest.json").read_bytes() == image.manifest.data
    for blob in image.blobs:
        assert (shell.home / "out" / blob.digest.removeprefix("sha256:")).read_bytes() == blob.data


def test_docker_schema_2_is_taken(server: Server, shell: Shell, repository: str) -> None:
    write_layout(shell.home / "in", "1", make_image(3))
    name = f"docker://{server.address}/{repository}:2"
    shell.run("skopeo", "copy", "--format", "v2s2", *containers_flags(server, "dest-"), f"oci:{shell.home}/in:1", name)
    manifest = json.loads(shell.run("skopeo", "inspect", "--raw", *containers_flags(server), name))
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"


def test_tags_are_listed_inspected_and_deleted(server: Server, shell: Shell, repository: str) -> None:
    image = make_image(4)
    write_layout(shell.home / "in", "1", image)
    for tag in ("b", "a"):
        push(shell, server, shell.home / "in", f"{repository}:{tag}")
    name = f"docker://{server.address}/{repository}"
    flags = containers_flags(server)
    assert sorted(json.loads(shell.run("skopeo", "list-tags", *flags, name))["Tags"]) == ["a", "b"]
    assert json.loads(shell.run("skopeo", "inspect", *flags, f"{name}:a"))["Digest"] == image.manifest.digest
    shell.run("skopeo", "delete", *flags, f"{name}:a")
    gone = shell.attempt("skopeo", "inspect", "--raw", *flags, f"{name}:a")
    assert gone.returncode != 0
    assert "manifest unknown" in gone.stderr


def test_a_repository_is_synchronized(plain_server: Server, shell: Shell, repository: str) -> None:
    write_layout(shell.home / "in", "1", *(make_image(5, architecture=one) for one in ARCHITECTURES))
    push(shell, plain_server, shell.home / "in", f"{repository}:1")
    shell.run(
        "skopeo", "sync", "--all", *containers_flags(plain_server, "src-"), *containers_flags(plain_server, "dest-"),
        "--src", "docker", "--dest", "docker", f"{plain_server.address}/{repository}", f"{plain_server.address}/copy",
    )  # fmt: skip
    copy = f"copy/{repository.rpartition('/')[2]}:1"
    pull(shell, plain_server, copy, f"oci:{shell.home}/out:1")
    assert read_layout(shell.home / "out") == read_layout(shell.home / "in")
