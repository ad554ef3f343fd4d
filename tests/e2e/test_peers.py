"""Push to node A by one client, pull from node B by another: by a rule, or by pulling through."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.clients import Shell, containerd_hosts, need, podman, running_containerd, running_docker
from tests.e2e.conftest import watch
from tests.e2e.federation import A_REGION, ACCOUNT, Federation, arrives, found, replicate
from tests.e2e.images import make_image, read_layout, write_layout
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client
from tests.e2e.servers import RIVAL, Server

pytestmark = pytest.mark.skipif(RIVAL, reason="docker-registry has no peers")


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory, nothing_is_left: None) -> Iterator[Federation]:
    federation = found(tmp_path_factory.mktemp("federation"))
    try:
        replicate(federation, "e2e/", "prod/")
        yield federation
    finally:
        federation.stop()


@pytest.fixture
def nodes(request: pytest.FixtureRequest, federation: Federation) -> tuple[Server, Server]:
    a, b = federation.a.start(), federation.b.start()
    watch(request, a, b)
    return a, b


def test_an_image_goes_where_a_rule_sends_it(nodes: tuple[Server, Server], shell: Shell, repository: str) -> None:
    need("skopeo", "containerd", "ctr", root=True)
    a, b = nodes
    images = [make_image(50, layers=(10, 40_000, 3_000_000), architecture=one) for one in ("amd64", "arm64")]
    top = write_layout(shell.home / "in", "1", *images)
    name = f"{b.address}/{repository}:1"
    shell.run(
        "skopeo", "copy", "--all", "--dest-tls-verify=false", f"oci:{shell.home}/in:1",
        f"docker://{a.address}/{repository}:1",
    )  # fmt: skip
    assert arrives(b, repository, "1", top.digest)
    with running_containerd(shell) as ctr:
        reach = containerd_hosts(shell, b)
        shell.run(*ctr, "image", "pull", *reach, "--all-platforms", "--snapshotter", "native", name)
    shell.run("skopeo", "copy", "--all", "--src-tls-verify=false", f"docker://{name}", f"oci:{shell.home}/out:1")
    assert read_layout(shell.home / "out") == read_layout(shell.home / "in")


def test_the_status_says_that_it_is_there(
    federation: Federation, nodes: tuple[Server, Server], repository: str
) -> None:
    a, b = nodes
    image = make_image(51)
    client = Client(a)
    client.put_image(repository, "1", image)
    client.close()
    assert arrives(b, repository, "1", image.manifest.digest)
    status = json.loads(federation.a.run("replication", "status", "--repository", repository, "--json"))
    assert [row["digest"] for row in status["images"]] == [image.manifest.digest]


def test_what_a_destination_that_is_read_only_does_not_take_waits_and_says_why(
    federation: Federation, nodes: tuple[Server, Server], repository: str
) -> None:
    a, b = nodes
    federation.b.run("read-only", "on", "--reason", "it moves tonight")
    client, image = Client(a), make_image(53)
    client.put_image(repository, "1", image)
    client.close()

    def says_why() -> bool:
        status = json.loads(federation.a.run("replication", "status", "--repository", repository, "--json"))
        return [row["state"] for row in status["images"] if "it moves tonight" in row["reason"]] == ["IN_PROGRESS"]

    assert wait_until(says_why, patience=30, interval=0.5)
    federation.b.run("read-only", "off")
    assert arrives(b, repository, "1", image.manifest.digest)


def test_what_no_rule_covers_stays(nodes: tuple[Server, Server], repository: str) -> None:
    a, b = nodes
    client, image = Client(a), make_image(52)
    client.put_image("stage/app", "1", image)
    client.put_image(repository, "1", image)  # A later push that is covered: when it is there, the first would be.
    client.close()
    assert arrives(b, repository, "1", image.manifest.digest)
    client = Client(b)
    assert client.get_manifest("stage/app", "1") is None
    client.close()


def test_an_image_is_pulled_through_and_kept(
    federation: Federation, nodes: tuple[Server, Server], shell: Shell
) -> None:
    need("skopeo", "podman", root=True)
    a, b = nodes
    image = make_image(53, layers=(20_000, 5_000_000))
    write_layout(shell.home / "in", "1", image)
    shell.run(
        "skopeo", "copy", "--dest-tls-verify=false", f"oci:{shell.home}/in:1", f"docker://{a.address}/through/app:1"
    )
    federation.b.run("pull-through", "put", "through/", "--registry", f"{ACCOUNT}/{A_REGION}")
    name = f"{b.address}/through/app:1"
    podman(shell, "pull", "--tls-verify=false", name)
    [details] = json.loads(podman(shell, "inspect", name))
    assert details["Digest"] == image.manifest.digest
    federation.a.stop()
    shell.run("skopeo", "copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{shell.home}/out:1")
    assert read_layout(shell.home / "out") == read_layout(shell.home / "in")


def test_what_one_client_pushes_to_a_another_pulls_from_b(
    nodes: tuple[Server, Server], shell: Shell, repository: str
) -> None:
    need("skopeo", "podman", "dockerd", "docker", "containerd", "ctr", root=True)
    a, b = nodes
    image = make_image(54, layers=(30_000, 2_000_000))
    layers = json.loads(image.config.data)["rootfs"]["diff_ids"]
    write_layout(shell.home / "in", "1", image)
    podman(shell, "pull", f"oci:{shell.home}/in:1")
    [loaded] = podman(shell, "images", "--quiet").split()
    podman(
        shell,
        "push",
        "--tls-verify=false",
        "--digestfile",
        shell.home / "digest",
        loaded,
        f"{a.address}/{repository}:podman",
    )
    pushed = (shell.home / "digest").read_text()
    assert arrives(b, repository, "podman", pushed)
    with running_docker(shell) as docker, running_containerd(shell) as ctr:
        shell.run(*docker, "pull", f"{b.address}/{repository}:podman")
        [details] = json.loads(shell.run(*docker, "image", "inspect", f"{b.address}/{repository}:podman"))
        assert details["RootFS"]["Layers"] == layers
        shell.run(*docker, "tag", f"{b.address}/{repository}:podman", f"{a.address}/{repository}:docker")
        said = shell.run(*docker, "push", f"{a.address}/{repository}:docker")
        [pushed] = re.findall(r"digest: (sha256:[0-9a-f]{64})", said)
        assert arrives(b, repository, "docker", pushed)
        name = f"{b.address}/{repository}:docker"
        shell.run(*ctr, "image", "pull", *containerd_hosts(shell, b), "--snapshotter", "native", name)
        assert pushed in shell.run(*ctr, "image", "list", f"name=={name}")
    podman(shell, "rmi", "--all", "--force")
    podman(shell, "pull", "--tls-verify=false", f"{b.address}/{repository}:docker")
    [details] = json.loads(podman(shell, "inspect", f"{b.address}/{repository}:docker"))
    assert details["RootFS"]["Layers"] == layers
