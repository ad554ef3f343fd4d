"""Two nodes of one account in two regions: A in eu-west-1, which founds it, and B in us-east-1, which joins."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e import processes
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client
from tests.e2e.servers import NO_VARIABLES, Server, command, start_node

ACCOUNT = "111111111111"
A_REGION, B_REGION = "eu-west-1", "us-east-1"


@dataclass(slots=True)
class Site:
    """A node that can be killed and started again on the same ports and data."""

    data: Path
    port: int
    peer_port: int
    configuration: str = ""  # The text of a TOML file.
    variables: Mapping[str, str] = field(default_factory=dict)  # More of its environment.
    server: Server | None = None

    def start(self) -> Server:
        """Start the node, or return the one that runs."""
        if self.server is None:
            options = ["--peer-listen", f"127.0.0.1:{self.peer_port}"]
            self.server = start_node(
                self.data,
                port=self.port,
                options=options,
                configuration=self.configuration,
                variables=self.variables,
            )
        return self.server

    def kill(self) -> None:
        """End it by KILL."""
        if self.server is not None:
            processes.kill(self.server.process)
        self.server = None

    def stop(self) -> None:
        """End it by TERM."""
        if self.server is not None:
            processes.stop(self.server.process)
        self.server = None

    def run(self, *arguments: str | Path) -> str:
        """Run an ``entrepot`` command on this node's data directory."""
        return command(*arguments, "--data", self.data)


@dataclass(frozen=True, slots=True)
class Federation:
    """The two sites; both run after ``found``."""

    a: Site
    b: Site

    def stop(self) -> None:
        """Stop both."""
        self.a.stop()
        self.b.stop()


def found(folder: Path, *, configuration: str = "", variables: Mapping[str, str] = NO_VARIABLES) -> Federation:
    """Make and start both nodes, with the commands that a person would use."""
    a, b = (
        Site(folder / name, processes.free_port(), processes.free_port(), configuration, variables) for name in "ab"
    )
    command("init", "--data", a.data, "--account", ACCOUNT, "--region", A_REGION)
    a.start()
    try:
        token = a.run("invite", "--region", B_REGION).split()[-1]
        command("join", token, "--data", b.data)
        b.start()
    except BaseException:
        a.stop()
        raise
    return Federation(a, b)


def replicate(federation: Federation, *prefixes: str) -> None:
    """Put the rule that images of repositories which begin with one of *prefixes* go from A to B."""
    filters = [{"filter": prefix, "filterType": "PREFIX_MATCH"} for prefix in prefixes]
    destinations = [{"region": B_REGION, "registryId": ACCOUNT}]
    rules = federation.a.data.with_name("rules.json")
    rules.write_text(json.dumps({"rules": [{"destinations": destinations, "repositoryFilters": filters}]}))
    federation.a.run("replication", "put", rules)


def arrives(server: Server, repository: str, tag: str, digest: str, *, patience: float = 60) -> bool:
    """Whether *tag* points at *digest* at *server* within *patience* seconds."""
    client = Client(server)
    path = f"/v2/{repository}/manifests/{tag}"
    try:
        return wait_until(
            lambda: client.call("HEAD", path).headers.get("Docker-Content-Digest") == digest,
            patience=patience,
            interval=0.05,
        )
    finally:
        client.close()
