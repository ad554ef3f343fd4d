"""Registries that run for the whole session, a shell for each test, logs on failure, and a leak check at the end.

The registries are shared on purpose: one daemon serves every client, one after the other. A test keeps to a repository
of its own (``repository``).
"""

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e import leaks, servers
from tests.e2e.certificates import Certificates, make_certificates
from tests.e2e.clients import Shell, running_shell
from tests.e2e.processes import tail
from tests.e2e.pushes import Client
from tests.e2e.servers import Server

LOGS = pytest.StashKey[list[Path]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here as end to end, and give it the time that daemons and clients need on a busy machine."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(3600 if item.get_closest_marker("soak") else 180))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the end of each daemon's log behind a failure."""
    report = yield
    if report.failed:
        for log in item.stash.get(LOGS, []):
            report.sections.append((str(log), tail(log)))
    return report


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Fail the session where a mount, a namespace, a loop device, a firewall rule or a child of it is left."""
    before = leaks.take()
    yield
    left = leaks.left_since(before)
    assert not left, "left behind by the end-to-end tests: " + ", ".join(sorted(left))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def plain_server(tmp_path_factory: pytest.TempPathFactory, nothing_is_left: None) -> Iterator[Server]:
    with servers.registry(tmp_path_factory.mktemp("plain") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def tls_server(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, nothing_is_left: None
) -> Iterator[Server]:
    with servers.registry(tmp_path_factory.mktemp("tls") / "data", certificates=certificates) as server:
        yield server


@pytest.fixture(params=["plain", "tls"])
def server(request: pytest.FixtureRequest) -> Server:
    """The registry under test, once in plain HTTP and once with TLS."""
    found: Server = request.getfixturevalue(f"{request.param}_server")
    watch(request, found)
    return found


@pytest.fixture
def client(plain_server: Server) -> Iterator[Client]:
    """A connection to the registry in plain HTTP."""
    with closing(Client(plain_server)) as client:
        yield client


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A repository that no other test uses."""
    return "e2e/" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")


@pytest.fixture
def shell() -> Iterator[Shell]:
    with running_shell() as shell:
        yield shell


def watch(request: pytest.FixtureRequest, *watched: Server) -> None:
    """Show the logs of these servers if the test fails."""
    request.node.stash.setdefault(LOGS, []).extend(server.log for server in watched)
