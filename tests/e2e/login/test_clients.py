"""docker, podman, buildah, skopeo, containerd and curl log in, push and pull with the rights that they have."""

import base64
import json
import re
import subprocess

import boto3
import pytest

from tests.e2e.clients import (
    Shell,
    buildah,
    containerd_hosts,
    containers_flags,
    need,
    podman,
    running_containerd,
    running_docker,
)
from tests.e2e.ecr.aws import running_aws
from tests.e2e.images import make_image, write_layout
from tests.e2e.login.conftest import Node
from tests.e2e.login.principals import PASSWORD
from tests.e2e.servers import Server

EXPIRED = "Your authorization token has expired. Reauthenticate and try again."


def authorization(node: Node) -> str:
    """Return what ``aws ecr get-login-password`` prints for ana."""
    [data] = node.client("ecr", node.ana).get_authorization_token()["authorizationData"]
    return base64.b64decode(data["authorizationToken"]).decode().partition(":")[2]


def fill(node: Node, shell: Shell, name: str, seed: int = 70) -> None:
    """Push an image as ana, by skopeo."""
    write_layout(shell.home / "in", "1", make_image(seed, layers=(5000, 1_000_000)))
    creds = ["--dest-creds", f"{node.ana.id}:{node.ana.secret}"]
    flags = containers_flags(node.server, "dest-")
    shell.run("skopeo", "copy", *flags, *creds, f"oci:{shell.home}/in:1", f"docker://{node.registry}/{name}:1")


@pytest.fixture
def name(repository: str) -> str:
    return repository.replace("e2e/", "team/", 1)


def test_docker_logs_in_pushes_and_pulls(either: Node, shell: Shell, name: str) -> None:
    need("dockerd", "docker", "skopeo", root=True)
    fill(either, shell, name)
    image, registry = f"{either.registry}/{name}", either.registry
    with running_docker(shell) as docker:
        assert shell.attempt(*docker, "pull", f"{image}:1").returncode == 1
        said = shell.attempt(*docker, "login", "-u", "ana", "-p", "wrong", registry)
        assert said.returncode == 1
        assert "unauthorized" in said.stderr
        said = shell.attempt(*docker, "login", "-u", "AWS", "-p", "wrong", registry)
        assert (said.returncode, EXPIRED in said.stderr) == (1, True), said.stderr
        for user, password in (("AWS", authorization(either)), ("ana", PASSWORD)):
            assert "Login Succeeded" in shell.run(*docker, "login", "-u", user, "-p", password, registry)
            shell.run(*docker, "pull", f"{image}:1")
            shell.run(*docker, "tag", f"{image}:1", f"{image}:2")
            shell.run(*docker, "push", f"{image}:2")
            shell.run(*docker, "rmi", f"{image}:1", f"{image}:2")
            shell.run(*docker, "logout", registry)
        shell.run(*docker, "login", "-u", "bob", "-p", PASSWORD, registry)
        shell.run(*docker, "pull", f"{image}:1")
        shell.run(*docker, "tag", f"{image}:1", f"{image}:3")
        said = shell.attempt(*docker, "push", f"{image}:3")
        assert said.returncode == 1
        assert re.search("denied|unauthorized", said.stderr), said.stderr
        shell.run(*docker, "login", "-u", "eve", "-p", PASSWORD, registry)
        said = shell.attempt(*docker, "pull", f"{image}:2")
        assert re.search("denied|unauthorized", said.stderr), said.stderr


def test_podman_and_buildah_log_in_push_and_pull(either: Node, shell: Shell, name: str) -> None:
    need("podman", "buildah", "skopeo", root=True)
    fill(either, shell, name)
    flags, image = containers_flags(either.server), f"{either.registry}/{name}"
    with pytest.raises(AssertionError, match=r"unauthorized|authentication required"):
        podman(shell, "pull", *flags, f"{image}:1")
    with pytest.raises(AssertionError, match=r"unauthorized|invalid username/password"):
        podman(shell, "login", *flags, "-u", "ana", "-p", "wrong", either.registry)
    assert "Login Succeeded" in podman(
        shell, "login", *flags, "-u", "AWS", "-p", authorization(either), either.registry
    )
    podman(shell, "pull", *flags, f"{image}:1")
    podman(shell, "push", *flags, f"{image}:1", f"{image}:2")
    podman(shell, "logout", either.registry)
    login = ("-u", either.ana.id, "-p", either.ana.secret, either.registry)
    assert "Login Succeeded" in buildah(shell, "login", *flags, *login)
    buildah(shell, "push", *flags, f"{image}:1", f"docker://{image}:3")
    buildah(shell, "logout", either.registry)
    podman(shell, "login", *flags, "-u", "bob", "-p", PASSWORD, either.registry)
    podman(shell, "pull", *flags, f"{image}:3")
    with pytest.raises(AssertionError, match=r"denied|unauthorized|not authorized|Forbidden"):
        podman(shell, "push", *flags, f"{image}:1", f"{image}:4")


def test_skopeo_logs_in_and_copies(either: Node, shell: Shell, name: str) -> None:
    need("skopeo")
    fill(either, shell, name)
    flags, image = containers_flags(either.server), f"docker://{either.registry}/{name}"
    said = shell.run("skopeo", "login", *flags, "-u", "AWS", "-p", authorization(either), either.registry)
    assert "Login Succeeded" in said
    assert json.loads(shell.run("skopeo", "inspect", *flags, f"{image}:1"))["RepoTags"] == ["1"]
    both = [f"--{side}-{one.removeprefix('--')}" for side in ("src", "dest") for one in flags]
    shell.run("skopeo", "copy", *both, f"{image}:1", f"{image}:2")
    other = image.replace("/team/", "/other/")
    shell.run("skopeo", "copy", *both, f"{image}:1", f"{other}:1")
    for user, right in (("bob", "team"), ("eve", "nothing")):
        shell.run("skopeo", "login", *flags, "-u", user, "-p", PASSWORD, either.registry)
        for one in (image, other):
            done = shell.attempt("skopeo", "inspect", "--raw", *flags, f"{one}:1")
            assert (done.returncode == 0) == (f"/{right}/" in one), done.stderr
        assert shell.attempt("skopeo", "copy", *both, f"{image}:1", f"{image}:3").returncode == 1
        assert shell.attempt("skopeo", "delete", *flags, f"{image}:1").returncode == 1


def test_containerd_pulls_and_pushes(either: Node, shell: Shell, name: str) -> None:
    need("containerd", "ctr", "skopeo", root=True)
    fill(either, shell, name)
    image = f"{either.registry}/{name}"
    with running_containerd(shell) as ctr:
        reach = [*containerd_hosts(shell, either.server), "--user"]
        pull = (*ctr, "image", "pull", "--snapshotter", "native")
        assert shell.attempt(*pull, *reach[:-1], f"{image}:1").returncode == 1
        assert shell.attempt(*pull, *reach, "ana:wrong", f"{image}:1").returncode == 1
        shell.run(*pull, *reach, f"bob:{PASSWORD}", f"{image}:1")
        shell.run(*ctr, "image", "tag", f"{image}:1", f"{image}:2")
        push = (*ctr, "image", "push", *reach)
        assert shell.attempt(*push, f"bob:{PASSWORD}", f"{image}:2").returncode == 1
        shell.run(*push, f"AWS:{authorization(either)}", f"{image}:2")
        shell.run(*ctr, "image", "tag", f"{image}:1", f"{image}:3")
        shell.run(*push, f"{either.ana.id}:{either.ana.secret}", f"{image}:3")


def test_curl_asks_for_a_token_and_uses_it(either: Node, shell: Shell, name: str) -> None:
    need("curl", "skopeo")
    fill(either, shell, name)
    trust = ["--cacert", str(either.server.ca)] if either.server.ca else []
    curl = ["curl", "-sS", *trust]
    head = shell.run(*curl, "-D", "-", "-o", "/dev/null", f"{either.server.url}/v2/{name}/tags/list")
    assert " 401" in head.splitlines()[0]
    [realm, service, scope] = re.findall(r'Bearer realm="(.+)",service="(.+)",scope="(.+)"', head)[0]
    assert (realm, service, scope) == (f"{either.server.url}/token", either.registry, f"repository:{name}:pull")
    url = f"{realm}?service={service}&scope={scope}"
    token = json.loads(shell.run(*curl, "-u", f"bob:{PASSWORD}", url))["token"]
    tags = shell.run(*curl, "-H", f"Authorization: Bearer {token}", f"{either.server.url}/v2/{name}/tags/list")
    assert json.loads(tags) == {"name": name, "tags": ["1"]}
    assert shell.run(*curl, "-u", f"AWS:{authorization(either)}", f"{either.server.url}/v2/") == "{}"


def test_the_aws_command_line_logs_docker_in(tls_node: Node, shell: Shell, name: str) -> None:
    """`aws ecr get-login-password | docker login`, and the commands of STS."""
    need("docker", "dockerd", "skopeo", root=True)
    node = tls_node
    fill(node, shell, name)
    with running_aws(node.server.url, shell.home, key=node.bob.id, secret=node.bob.secret) as aws:
        aws.environment["AWS_CA_BUNDLE"] = str(node.server.ca)
        environment = {**aws.environment, "DOCKER_CONFIG": shell.environment["DOCKER_CONFIG"]}

        def run(line: str) -> str:
            done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert json.loads(run(f"{aws.program} sts get-caller-identity"))["Arn"].endswith(":user/bob")
        with running_docker(shell) as docker:
            login = f"{' '.join(docker)} login --username AWS --password-stdin {node.registry}"
            assert "Login Succeeded" in run(f"{aws.program} ecr get-login-password | {login}")
            shell.run(*docker, "pull", f"{node.registry}/{name}:1")


def test_an_open_node_takes_any_credentials(plain_server: Server, shell: Shell) -> None:
    need("docker", "dockerd", "skopeo", root=True)
    flags = containers_flags(plain_server)
    assert "Login Succeeded" in shell.run("skopeo", "login", *flags, "-u", "x", "-p", "y", plain_server.address)
    with running_docker(shell) as docker:
        said = shell.run(*docker, "login", "-u", "anyone", "-p", "anything", plain_server.address)
        assert "Login Succeeded" in said
    session = boto3.Session("AKIAANYTHING00000000", "any", None, "eu-west-1")
    sts = session.client("sts", endpoint_url=plain_server.url)
    assert sts.get_caller_identity()["Arn"].endswith(":root")
