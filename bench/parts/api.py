"""ECR's API: what a call costs whose signature is verified and that tells of many images."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import trio
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench.contestants import Bench
from bench.fill import opened_registry
from bench.rounds import Figure
from node.peers.identity import load_identity
from node.registry.identity.first import make_first_administrator
from protocol.auth.caller import Caller, root_of
from tests.e2e import processes
from tests.e2e.images import make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import Server, start_node

IMAGES, LAYERS = 100, 8
ROUNDS, SECONDS = 5, 3
MOST = 2.0  # Milliseconds: five hundred calls a second.
BODY = b'{"repositoryName":"bench/app"}'


def measure(bench: Bench) -> list[Figure]:
    """Milliseconds for each ``DescribeImages`` of a hundred images, four clients at once, each call signed."""
    data, port = bench.folder / "api", processes.free_port()
    server = start_node(data, port=port)
    try:
        client = Client(server)
        for number in range(IMAGES):
            client.put_image("bench/app", f"v{number}", make_image(number, layers=(200,) * LAYERS))
        client.close()
    finally:
        processes.stop(server.process)
    key, region = trio.run(_administrator, data)
    server = start_node(data, port=port, options=["--auth", "required"])
    try:
        script = bench.folder / "describe.lua"
        rates = [_rate(server, script, _signed(server, key, region)) for _ in range(ROUNDS)]
    finally:
        processes.stop(server.process)
    return [
        Figure(
            f"DescribeImages of {IMAGES} images, signed",
            "ms",
            {"entrepot": tuple(1000 / rate for rate in rates)},
            "",
            MOST,
            f"wrk -t1 -c4 -d{SECONDS}s, images of {LAYERS} layers, SigV4 verified for each call; "
            f"{MOST:g} ms are {1000 / MOST:.0f} calls a second",
        )
    ]


async def _administrator(data: Path) -> tuple[Credentials, str]:
    """Make the first administrator of a registry whose node does not run; return its key, and the region."""
    async with opened_registry(data, load_identity(data)) as registry:
        root = Caller(root_of(registry.name.account), registry.name.account)
        made = await make_first_administrator(registry, root, with_key=True)
        assert made is not None, "nobody was there before"
        assert made.key is not None, "it was asked for"
        return Credentials(made.key.key.id, made.key.secret.value.decode()), registry.name.region


def _signed(server: Server, key: Credentials, region: str) -> Mapping[str, str]:
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.DescribeImages",
    }
    request = AWSRequest("POST", f"{server.url}/", headers, BODY)
    SigV4Auth(key, "ecr", region).add_auth(request)
    return dict(request.headers.items())


def _rate(server: Server, script: Path, headers: Mapping[str, str]) -> float:
    """Return calls a second."""
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    script.write_text("\n".join(['wrk.method = "POST"', f"wrk.body = '{BODY.decode()}'", *lines]))
    command = ["wrk", "-t1", "-c4", f"-d{SECONDS}s", "-s", str(script), f"{server.url}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Non-2xx" not in said, said
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    return float(found[1])
