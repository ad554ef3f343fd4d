"""Public repositories of a node where callers have to log in: pulled by anyone, pushed to by policy."""

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

from node.registry.registry import Registry
from protocol.auth.caller import Caller
from tests.e2e import processes, servers
from tests.e2e.clients import Shell, need, podman, running_docker
from tests.e2e.ecr.aws import running_aws
from tests.e2e.ecr.calls import ACCOUNT, REGION
from tests.e2e.images import Image, make_image, write_layout
from tests.e2e.login.principals import Key, allow, in_store, make_user
from tests.e2e.pushes import Client, expect
from tests.e2e.servers import Server

PUSH = ("BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage")
PULL = ("BatchGetImage", "GetDownloadUrlForLayer", "ListImages")
LOG_IN = allow("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken")
INSIDE = f"public/{ACCOUNT}/team/app"


@dataclass(frozen=True, slots=True)
class Gallery:
    """A node whose public host is localhost, and whose private one is 127.0.0.1, with one repository ``team/app``."""

    server: Server
    ana: Key  # May do everything.
    bob: Key  # May log in, and by the policy of the repository push to it.
    eve: Key  # May log in.
    image: Image  # Tagged 1.
    logo: str

    @property
    def names(self) -> list[str]:
        """By which the repository is known."""
        here, there = f"localhost:{self.server.port}", self.server.address
        return [f"{here}/acme/team/app", f"{here}/{ACCOUNT}/team/app", f"{there}/public/acme/team/app"]


def client(server: Server, service: str, key: Key) -> Any:
    return boto3.Session(key.id, key.secret, region_name=REGION).client(service, endpoint_url=server.url)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, nothing_is_left: None) -> Iterator[Gallery]:
    data = tmp_path_factory.mktemp("gallery") / "data"
    servers.command("init", "--data", data, "--account", ACCOUNT, "--region", REGION)

    async def fill(registry: Registry, root: Caller) -> tuple[Key, Key, Key]:
        ana = await make_user(registry, root, "ana", allow("ecr:*"), allow("ecr-public:*", "sts:*"))
        return ana, await make_user(registry, root, "bob", LOG_IN), await make_user(registry, root, "eve", LOG_IN)

    ana, bob, eve = in_store(data, fill)
    port = processes.free_port()
    configuration = f'[public]\nalias = "acme"\nhost = "localhost:{port}"\n'
    server = servers.start_node(data, port=port, options=["--auth", "required"], configuration=configuration)
    try:
        public = client(server, "ecr-public", ana)
        picture = b"\x89PNG\r\n\x1a\n" + bytes(100)
        made = public.create_repository(repositoryName="team/app", catalogData={"logoImageBlob": picture})
        assert made["repository"]["repositoryUri"] == f"localhost:{port}/acme/team/app"
        public.set_repository_policy(repositoryName="team/app", policyText=policy(pushes="bob"))
        image = make_image(80, layers=(5000, 60_000))
        with closing(Client(server, Authorization=basic(ana))) as oci:
            oci.put_image(INSIDE, "1", image)
            oci.put_image("private/app", "1", image)
        yield Gallery(server, ana, bob, eve, image, made["catalogData"]["logoUrl"])
    finally:
        processes.stop(server.process)


def basic(key: Key) -> str:
    return "Basic " + base64.b64encode(f"{key.id}:{key.secret}".encode()).decode()


def policy(*, pushes: str) -> str:
    """Let a user push, and keep everyone from pulling: which a policy cannot do here."""
    user = f"arn:aws:iam::{ACCOUNT}:user/{pushes}"
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": user}, "Action": [f"ecr-public:{one}" for one in PUSH]},
                {"Effect": "Deny", "Principal": "*", "Action": [f"ecr-public:{one}" for one in PULL]},
            ],
        }
    )


@pytest.fixture
def nobody(gallery: Gallery) -> Iterator[Client]:
    """A client that shows nothing, at the public host."""
    with closing(Client(gallery.server, Host=f"localhost:{gallery.server.port}")) as client:
        yield client


@pytest.fixture
def filled(shell: Shell) -> Shell:
    """A shell with an image to push, as ``in:1``."""
    write_layout(shell.home / "in", "1", make_image(81, layers=(5000, 7000)))
    return shell


def test_nobody_pulls_without_a_word_of_who_it_is(gallery: Gallery, nobody: Client) -> None:
    image = gallery.image
    for method in ("GET", "HEAD"):
        got = expect(nobody.call(method, "/v2/acme/team/app/manifests/1"), 200)
        assert got.headers["docker-content-digest"] == image.manifest.digest
        for blob in image.blobs:
            expect(nobody.call(method, f"/v2/acme/team/app/blobs/{blob.digest}"), 200)
    assert json.loads(nobody.call("GET", "/v2/acme/team/app/tags/list").body) == {
        "name": "acme/team/app",
        "tags": ["1"],
    }
    expect(nobody.call("GET", f"/v2/acme/team/app/referrers/{image.manifest.digest}"), 200)
    expect(nobody.call("GET", urlsplit(gallery.logo).path), 200)
    expect(nobody.call("GET", f"/v2/{INSIDE}/manifests/1", Host=gallery.server.address), 200)


def test_nobody_does_anything_else(gallery: Gallery, nobody: Client) -> None:
    digest = gallery.image.manifest.digest
    for method, path in (
        ("GET", "/v2/"),
        ("GET", "/v2/_catalog"),
        ("POST", "/v2/acme/team/app/blobs/uploads/"),
        ("POST", f"/v2/acme/team/app/blobs/uploads/?mount={digest}&from=acme/team/app"),
        ("PUT", "/v2/acme/team/app/manifests/1"),
        ("DELETE", "/v2/acme/team/app/manifests/1"),
        ("DELETE", f"/v2/acme/team/app/manifests/{digest}"),
        ("DELETE", f"/v2/acme/team/app/blobs/{gallery.image.config.digest}"),
        ("GET", "/metrics"),
    ):
        assert nobody.call(method, path).status == 401, (method, path)
    for name in ("private/app", "private/none"):  # What is private looks like what is not there.
        refused = nobody.call("GET", f"/v2/{name}/manifests/1", Host=gallery.server.address)
        assert refused.status == 401
        assert f'realm="http://{gallery.server.address}/token"' in refused.headers["www-authenticate"]
    assert nobody.call("GET", "/v2/acme/team/none/manifests/1").status == 404


def test_nobody_gets_a_token_by_the_name_that_the_host_has_for_the_repository(gallery: Gallery, nobody: Client) -> None:
    challenge = nobody.call("POST", "/v2/acme/team/app/blobs/uploads/").headers["www-authenticate"]
    assert f'realm="http://localhost:{gallery.server.port}/token"' in challenge
    for scope in ("repository:acme/team/app:pull,push", "aws", ""):
        answer = expect(nobody.call("GET", f"/token?service=localhost&scope={scope}"), 200)
        token = json.loads(answer.body)["token"]
        expect(nobody.call("GET", "/v2/acme/team/app/manifests/1", Authorization=f"Bearer {token}"), 200)
        refused = nobody.call("POST", "/v2/acme/team/app/blobs/uploads/", Authorization=f"Bearer {token}")
        assert refused.status in {401, 403}


def test_podman_and_skopeo_pull_without_logging_in(gallery: Gallery, shell: Shell) -> None:
    need("podman", "skopeo", root=True)
    for name in gallery.names:
        podman(shell, "pull", "--tls-verify=false", f"{name}:1")
        tags = json.loads(shell.run("skopeo", "list-tags", "--tls-verify=false", f"docker://{name}"))
        assert tags["Tags"] == ["1"]
    shell.run("skopeo", "copy", "--src-tls-verify=false", f"docker://{gallery.names[0]}:1", "oci:out:1")
    denied = shell.attempt(
        "skopeo", "inspect", "--tls-verify=false", f"docker://{gallery.server.address}/private/app:1"
    )
    assert denied.returncode != 0


def test_docker_pulls_without_logging_in_and_pushes_when_it_has(gallery: Gallery, filled: Shell) -> None:
    need("dockerd", "docker", "skopeo", root=True)
    here = f"localhost:{gallery.server.port}"
    with running_docker(filled) as docker, running_aws(gallery.server.url, filled.home, **vars_of(gallery.bob)) as aws:
        for name in gallery.names:
            filled.run(*docker, "pull", f"{name}:1")
        filled.run(*docker, "tag", f"{gallery.names[0]}:1", f"{gallery.names[0]}:by-docker")
        assert filled.attempt(*docker, "push", f"{gallery.names[0]}:by-docker").returncode != 0
        log_in = (
            f"{aws.program} ecr-public get-login-password | {' '.join(docker)} login -u AWS --password-stdin {here}"
        )
        shell_of_both = Shell(
            filled.home, aws.environment | filled.environment | {"PYTHONPATH": aws.environment["PYTHONPATH"]}
        )
        assert "Login Succeeded" in shell_of_both.run("sh", "-c", log_in)
        filled.run(*docker, "push", f"{gallery.names[0]}:by-docker")
        filled.run(*docker, "logout", here)
        filled.run(*docker, "pull", f"{gallery.names[0]}:by-docker")


def test_the_policy_of_the_repository_says_who_pushes(gallery: Gallery, filled: Shell) -> None:
    need("skopeo")
    target = f"docker://{gallery.names[0]}"
    for key, tag, may in ((gallery.ana, "ana", True), (gallery.bob, "bob", True), (gallery.eve, "eve", False)):
        data = client(gallery.server, "ecr-public", key).get_authorization_token()["authorizationData"]
        credentials = base64.b64decode(data["authorizationToken"]).decode()
        flags = ("--dest-tls-verify=false", "--dest-creds", credentials)
        done = filled.attempt("skopeo", "copy", *flags, "oci:in:1", f"{target}:{tag}")
        assert (done.returncode == 0) == may, done.stderr
        done = filled.attempt(
            "skopeo", "copy", *flags, "oci:in:1", f"docker://{gallery.server.address}/other/app:{tag}"
        )
        assert (done.returncode == 0) == (key is gallery.ana)
    tags = json.loads(filled.run("skopeo", "list-tags", "--tls-verify=false", target))["Tags"]
    assert {"ana", "bob"} <= set(tags)
    assert "eve" not in tags


def test_no_right_to_private_repositories_is_one_to_public_ones(gallery: Gallery) -> None:
    eve = client(gallery.server, "ecr-public", gallery.eve)
    for call, given in (
        (eve.create_repository, {"repositoryName": "team/new"}),
        (eve.describe_repositories, {"repositoryNames": ["team/app"]}),
        (eve.delete_repository, {"repositoryName": "team/app", "force": True}),
        (eve.put_repository_catalog_data, {"repositoryName": "team/app", "catalogData": {"description": "x"}}),
        (eve.put_registry_catalog_data, {"displayName": "x"}),
        (eve.set_repository_policy, {"repositoryName": "team/none", "policyText": "{}"}),
        (eve.initiate_layer_upload, {"repositoryName": "team/app"}),
    ):
        with pytest.raises(ClientError) as refused:
            call(**given)
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
        assert "is not authorized to perform: ecr-public:" in refused.value.response["Error"]["Message"]
    [registry] = client(gallery.server, "ecr-public", gallery.ana).describe_registries()["registries"]
    assert registry["registryUri"] == f"localhost:{gallery.server.port}/acme"
    assert registry["aliases"] == [
        {"name": "acme", "status": "ACTIVE", "primaryRegistryAlias": True, "defaultRegistryAlias": True}
    ]


def vars_of(key: Key) -> dict[str, str]:
    return {"key": key.id, "secret": key.secret}
