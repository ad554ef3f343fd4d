"""A node of its own for the ECR API, with boto3 clients whose every answer is compared with the model."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.e2e import processes, servers
from tests.e2e.conftest import watch
from tests.e2e.ecr.calls import ACCOUNT, KEY, REGION, SECRET, Raw, judge
from tests.e2e.images import CONFIG, Blob
from tests.e2e.pushes import Client
from tests.e2e.servers import Server


@dataclass(frozen=True, slots=True)
class EcrNode:
    """A node that is open on loopback, in account ``ACCOUNT`` and region ``REGION``."""

    server: Server
    ecr: Any  # boto3 client; it tries nothing twice.
    public: Any

    @property
    def endpoint(self) -> str:
        """URL of the API."""
        return self.server.url

    def client(self, service: str, **options: Any) -> Any:
        """Return another boto3 client, whose answers are judged as well."""
        return judged_client(self.endpoint, service, **options)


def judged_client(
    endpoint: str, service: str, *, key: str = KEY, secret: str = SECRET, token: str | None = None
) -> Any:
    """Return a boto3 client of *service* at *endpoint* that fails where an answer does not fit the model."""
    client = boto3.Session(key, secret, token, REGION).client(
        service, endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 1}, read_timeout=servers.PATIENCE)
    )

    def check(http_response: Any, model: Any, **_more: object) -> None:
        judge(model, http_response.status_code, http_response.headers, http_response.content)

    client.meta.events.register("after-call", check)
    return client


@pytest.fixture(scope="session")
def ecr_node(tmp_path_factory: pytest.TempPathFactory, nothing_is_left: None) -> Iterator[EcrNode]:
    """One node for all tests of the session: each keeps to names of its own (``name``)."""
    data = tmp_path_factory.mktemp("ecr") / "data"
    servers.command("init", "--data", data, "--account", ACCOUNT, "--region", REGION)
    server = servers.start_node(data, port=processes.free_port(), options=["--peer-listen", "127.0.0.1:0"])
    try:
        yield EcrNode(server, judged_client(server.url, "ecr"), judged_client(server.url, "ecr-public"))
    finally:
        processes.stop(server.process)


@pytest.fixture
def ecr(ecr_node: EcrNode, request: pytest.FixtureRequest) -> Any:
    """The boto3 client of the private service."""
    watch(request, ecr_node.server)
    return ecr_node.ecr


@pytest.fixture
def raw(ecr_node: EcrNode) -> Iterator[Raw]:
    """Calls of the private service as bytes."""
    with closing(Raw(ecr_node.server)) as raw:
        yield raw


@pytest.fixture
def oci(ecr_node: EcrNode) -> Iterator[Client]:
    """A client of the distribution API of the same node."""
    with closing(Client(ecr_node.server)) as client:
        yield client


@pytest.fixture
def name() -> str:
    """The name of a repository that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}/app"


@pytest.fixture
def repository(oci: Client, name: str) -> str:
    """A repository of the test's own, made by a push, with a blob in it."""
    oci.put_blob(name, Blob(CONFIG, b"{}"))
    return name
