"""Nodes where callers have to say who they are, one in plain HTTP and one with TLS, with the same principals."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from node.registry.authentication.issuers import Issuer, put_issuer
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from tests.e2e import processes, servers
from tests.e2e.certificates import Certificates
from tests.e2e.conftest import watch
from tests.e2e.ecr.calls import ACCOUNT, REGION
from tests.e2e.login.principals import Key, allow, in_store, make_role, make_user, policy
from tests.e2e.servers import Server
from tests.identity_provider import Provider, running_provider

LOG_IN = "ecr:GetAuthorizationToken"
PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages")
PUSH = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
    "ecr:CreateRepository",
)
TEAM = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/*"


@dataclass(frozen=True, slots=True)
class Node:
    """A node with its principals: ana may do everything, bob pulls what is the team's, eve nothing."""

    server: Server
    ana: Key
    bob: Key
    eve: Key
    provider: Provider

    @property
    def registry(self) -> str:
        """What names of images begin with."""
        return self.server.address

    def client(self, service: str, key: Key | None, token: str | None = None, region: str = REGION) -> Any:
        """Return a boto3 client that tries nothing twice; without *key* it signs nothing."""
        options: dict[str, Any] = {"signature_version": UNSIGNED} if key is None else {}
        config = Config(retries={"total_max_attempts": 1}, read_timeout=servers.PATIENCE, **options)
        found = key or Key("", "")
        session = boto3.Session(found.id or None, found.secret or None, token, region)
        verify = str(self.server.ca) if self.server.ca else None
        return session.client(service, endpoint_url=self.server.url, config=config, verify=verify)


@contextmanager
def running_node(folder: Path, certificates: Certificates | None) -> Iterator[Node]:
    """Run a node for the length of a block."""
    data = folder / "data"
    servers.command("init", "--data", data, "--account", ACCOUNT, "--region", REGION)
    with running_provider() as provider:

        async def fill(registry: Registry, root: Caller) -> tuple[Key, Key, Key]:
            ana = await make_user(registry, root, "ana", password=True)
            log_in, pull = allow(LOG_IN), allow(*PULL, resource=TEAM)
            bob = await make_user(registry, root, "bob", log_in, pull, allow("sts:AssumeRole"), password=True)
            eve = await make_user(registry, root, "eve", allow("iam:GetUser"), password=True)
            await make_role(registry, root, "builder", trust("sts:AssumeRole", {"AWS": ACCOUNT}), *TEAMS)
            await make_role(registry, root, "workflow", web_trust(provider.url), *TEAMS)
            issuer = Issuer(provider.url, ("entrepot",), allow=("127.0.0.1",), client="console")
            await put_issuer(registry, root, issuer, allow_http=True)
            return ana, bob, eve

        keys = in_store(data, fill)
        port = processes.free_port()
        server = servers.start_node(data, port=port, certificates=certificates, options=["--auth", "required"])
        try:
            yield Node(server, *keys, provider)
        finally:
            processes.stop(server.process)


TEAMS = (allow(LOG_IN), allow(*PULL, *PUSH, resource=TEAM))


def trust(action: str, principal: object, **condition: object) -> str:
    return policy({"Effect": "Allow", "Action": action, "Principal": principal, **condition})


def web_trust(url: str) -> str:
    name = url.partition("://")[2]
    federated = {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{name}"}
    condition = {"StringLike": {f"{name}:sub": "repo:acme/*"}}
    return trust("sts:AssumeRoleWithWebIdentity", federated, Condition=condition)


@pytest.fixture(scope="session")
def plain_node(tmp_path_factory: pytest.TempPathFactory, nothing_is_left: None) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("login"), None) as node:
        yield node


@pytest.fixture(scope="session")
def tls_node(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, nothing_is_left: None
) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("login-tls"), certificates) as node:
        yield node


@pytest.fixture
def node(plain_node: Node, request: pytest.FixtureRequest) -> Node:
    """The node in plain HTTP."""
    watch(request, plain_node.server)
    return plain_node


@pytest.fixture(params=["plain", "tls"])
def either(request: pytest.FixtureRequest) -> Node:
    """Each of the two."""
    found: Node = request.getfixturevalue(f"{request.param}_node")
    watch(request, found.server)
    return found
