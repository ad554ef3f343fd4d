"""What it costs to ask who may: a manifest with a bearer token and a policy of twenty statements, beside an open node.

The caller has no right of his own: the last statement of the repository's policy is what lets him pull, so all of them
are looked at, once for each change of a rule.
"""

import json
import re
import subprocess
from base64 import b64encode
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from timeit import repeat

import trio

from bench.contestants import Bench
from bench.fill import opened_registry
from bench.rounds import Figure, take_turns
from node.peers.identity import load_identity
from node.registry.authority import Authority
from node.registry.identity.keys import create_key
from node.registry.identity.principals import create_principal
from node.registry.registry import Registry
from node.registry.resourcepolicies import set_repository_policy
from protocol.auth.caller import Caller, root_of
from protocol.oci.names import RepositoryName
from tests.e2e import processes
from tests.e2e.images import MANIFEST, make_image
from tests.e2e.pushes import Client
from tests.e2e.servers import Server, start_node

NAME = RepositoryName("bench/app")
STATEMENTS = 20
ROUNDS, SECONDS = 5, 3
LEAST = 0.7  # Of the open rate.
COLD = 300.0  # Microseconds.
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]


def measure(bench: Bench) -> list[Figure]:
    """Requests per second at 16 connections, open and with a token; microseconds of a decision that nobody made yet."""
    servers: dict[str, Server] = {}
    shown, cold = "", tuple[float, ...]()
    with ExitStack() as running:
        for name in ("entrepot", "open node"):
            data, port = bench.folder / name.replace(" ", "-"), processes.free_port()
            server = start_node(data, port=port)
            with closing(Client(server)) as client:
                client.put_image(NAME, "1", make_image(1, layers=(1000,) * 8))
            if name == "entrepot":
                processes.stop(server.process)
                shown, cold = trio.run(_principals, data)
                server = start_node(data, port=port, options=["--auth", "required"])
            running.callback(processes.stop, server.process)
            servers[name] = server
        token = _token(servers["entrepot"], shown)
        rates = take_turns({name: partial(_rate, server, token) for name, server in servers.items()}, ROUNDS)
    method = f"wrk -t1 -c16 -d{SECONDS}s; a repository policy of {STATEMENTS} statements, of which the last allows"
    return [
        Figure("manifest GET by tag, with a bearer token", "requests/s", rates, "open node", LEAST, method),
        Figure(
            "a decision that is not known yet", "us", {"entrepot": cold}, "", COLD,
            f"in the process: {STATEMENTS} statements with conditions; one that is known takes 2",
        ),
    ]  # fmt: skip


async def _principals(data: Path) -> tuple[str, tuple[float, ...]]:
    """Make a user whom the repository's policy alone lets pull; return what it shows, and what deciding costs."""
    async with opened_registry(data, load_identity(data)) as registry:
        account = registry.name.account
        root = Caller(root_of(account), account)
        registry.policies = authority = Authority(registry)
        bob = await create_principal(registry, root, "user", "bob")
        key = await create_key(registry, root, "bob")
        await set_repository_policy(registry, root, NAME, _policy(bob.arn), force=True)
        caller = Caller(bob.arn, account, "127.0.0.1", user_id=bob.id, user_name="bob")
        authority(caller, PULL[0], NAME)
        shown = b64encode(f"{key.key.id}:{key.secret.value.decode()}".encode()).decode()
        return shown, _cold(registry, authority, caller)


def _policy(arn: str) -> str:
    others = [
        {
            "Sid": f"other {number}",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::444455556666:role/team-{number}"},
            "Action": PULL,
            "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        }
        for number in range(STATEMENTS - 2)
    ]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "ecr:Delete*"}
    own = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": PULL}
    return json.dumps({"Version": "2012-10-17", "Statement": [deny, *others, own]})


def _cold(registry: Registry, authority: Authority, caller: Caller) -> tuple[float, ...]:
    def decide() -> None:
        assert authority.judge(caller, PULL[0], NAME).decision.allowed

    assert registry.policies is authority
    return tuple(1e6 * seconds / 500 for seconds in repeat(decide, repeat=ROUNDS, number=500))


def _token(server: Server, shown: str) -> str:
    with closing(Client(server)) as client:
        answer = client.call("GET", f"/token?scope=repository:{NAME}:pull", authorization=f"Basic {shown}")
    assert answer.status == 200, answer
    return str(json.loads(answer.body)["token"])


def _rate(server: Server, token: str) -> float:
    shown = ["-H", f"Accept: {MANIFEST}", "-H", f"Authorization: Bearer {token}"]
    command = ["wrk", "-t1", "-c16", f"-d{SECONDS}s", *shown, f"{server.url}/v2/{NAME}/manifests/1"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Non-2xx" not in said, said
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    return float(found[1])
