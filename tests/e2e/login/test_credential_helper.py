"""Amazon's credential helper for docker, as it is: `make e2e-go` builds and runs it.

It talks to names of AWS alone, so a node that wants it is called by one: in the DNS of whoever runs it, and here in
the configuration alone, for the helper never connects to the registry itself.
"""

import json
from pathlib import Path

import pytest

from tests.e2e import processes, servers
from tests.e2e.certificates import Certificates
from tests.e2e.clients import Shell, need
from tests.e2e.ecr.calls import ACCOUNT, KEY, REGION, SECRET

pytestmark = pytest.mark.go

HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


def test_the_helper_gets_passwords_of_a_node(shell: Shell, certificates: Certificates, tmp_path: Path) -> None:
    need("docker-credential-ecr-login")
    data = tmp_path / "data"
    servers.command("init", "--data", data, "--account", ACCOUNT, "--region", REGION)
    configuration = f'[listen]\npublic_hosts = ["{HOST}"]\n'
    port = processes.free_port()
    server = servers.start_node(data, port=port, certificates=certificates, configuration=configuration)
    variables = {
        "AWS_ENDPOINT_URL_ECR": server.url,
        "AWS_ENDPOINT_URL_ECR_PUBLIC": server.url,
        "AWS_CA_BUNDLE": str(server.ca),
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    helper = Shell(shell.home, shell.environment | variables)
    try:
        for name in (HOST, "public.ecr.aws"):
            told = json.loads(helper.run("sh", "-c", f"echo {name} | docker-credential-ecr-login get"))
            assert (told["ServerURL"], told["Username"]) == (name, "AWS")
            assert told["Secret"]
    finally:
        processes.stop(server.process)
