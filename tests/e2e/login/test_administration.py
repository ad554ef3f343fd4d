"""The first start, and principals by commands: over the socket, over TLS, and in what is left on the disk."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e import processes, servers
from tests.e2e.certificates import Certificates
from tests.e2e.ecr.calls import ACCOUNT, REGION
from tests.e2e.login.principals import Key

PASSWORD = "squeamish ossifrage 42"  # noqa: S105 - nobody else has it.
PULL = '{"Statement": {"Effect": "Allow", "Action": "ecr:Describe*", "Resource": "*"}}'


@dataclass(slots=True)
class Node:
    """A node whose callers log in."""

    data: Path
    url: str
    ca: Path
    log: Path
    announced: dict[str, Any]  # What it said on standard output.

    @property
    def admin(self) -> Key:
        """The key that the first start showed."""
        key = self.announced["administrator"]["key"]
        return Key(key["id"], key["secret"])

    def here(self, *arguments: str, code: int = 0, stdin: str = "") -> Any:
        """Run a command on the control socket; return its JSON."""
        return self._run({"ENTREPOT_DATA": str(self.data)}, arguments, code, stdin)

    def afar(self, key: Key, *arguments: str, code: int = 0, stdin: str = "") -> Any:
        """Run a command from another machine, as it were, with *key*."""
        return self._run(
            {
                "ENTREPOT_ENDPOINT": self.url,
                "AWS_ACCESS_KEY_ID": key.id,
                "AWS_SECRET_ACCESS_KEY": key.secret,
                "AWS_CA_BUNDLE": str(self.ca),
            },
            arguments,
            code,
            stdin,
        )

    def _run(self, variables: Mapping[str, str], arguments: tuple[str, ...], code: int, stdin: str) -> Any:
        done = subprocess.run(
            servers.entrepot(*arguments, "--json"),
            capture_output=True, text=True, input=stdin, timeout=60, check=False,
            env={**servers.node_environment(), **variables},
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout else done.stderr

    def ecr(self, key: Key) -> Any:
        """Return a boto3 client."""
        session = boto3.Session(key.id, key.secret, None, REGION)
        config = Config(retries={"total_max_attempts": 1})
        return session.client("ecr", endpoint_url=self.url, config=config, verify=str(self.ca))

    def key(self, user: str) -> Key:
        """Return a new key of a user."""
        made = self.here("key", "create", user)
        return Key(made["id"], made["secret"])


@contextmanager
def running(data: Path, certificates: Certificates) -> Iterator[Node]:
    port, log = processes.free_port(), data.with_name("node.log")
    arguments: list[str | Path] = [
        "serve",
        "--data",
        data,
        "--listen",
        f"127.0.0.1:{port}",
        "--auth",
        "required",
        "--json",
    ]
    arguments += ["--tls-cert", certificates.certificate, "--tls-key", certificates.key]
    with log.open("ab") as errors:
        process = subprocess.Popen(
            servers.entrepot(*arguments), stdout=subprocess.PIPE, stderr=errors, env=servers.node_environment(),
            umask=0,  # That of a careless service manager.
        )  # fmt: skip
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, log.read_text()
        yield Node(data, f"https://localhost:{port}", certificates.ca, log, json.loads(said))
    finally:
        processes.stop(process)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("administration") / "data"
    servers.command("init", "--data", data, "--account", ACCOUNT, "--region", REGION)
    return data


@pytest.fixture(scope="module")
def node(data: Path, certificates: Certificates, nothing_is_left: None) -> Iterator[Node]:
    with running(data, certificates) as node:
        yield node


def is_allowed(node: Node, key: Key) -> bool:
    try:
        node.ecr(key).describe_repositories()
    except ClientError as error:
        if error.response["Error"]["Code"] in {"AccessDeniedException", "UnrecognizedClientException"}:
            return False
        raise
    return True


def test_the_first_start_makes_an_administrator_and_shows_its_key(node: Node) -> None:
    assert node.announced["administrator"]["user"] == "admin"
    assert node.afar(node.admin, "user", "ls")["users"][0]["keys"] == [node.admin.id]
    assert node.ecr(node.admin).describe_repositories()["repositories"] == []
    assert node.admin.secret not in node.log.read_text()


def test_a_user_may_what_its_policies_say_for_as_long_as_it_has_them(node: Node) -> None:
    node.here("user", "create", "ci", "--tag", "team=web")
    key = node.key("ci")
    assert not is_allowed(node, key)
    node.afar(node.admin, "user", "attach", "ci", "AmazonEC2ContainerRegistryReadOnly")
    assert is_allowed(node, key)
    node.afar(node.admin, "policy", "detach", "AmazonEC2ContainerRegistryReadOnly", "--user", "ci")
    assert not is_allowed(node, key)
    node.here("group", "create", "readers")
    node.afar(node.admin, "group", "put-policy", "readers", "look", "-", stdin=PULL)
    node.afar(node.admin, "user", "groups", "ci", "readers")
    assert is_allowed(node, key)
    assert node.here("group", "show-policy", "readers", "look")["document"] == PULL
    node.here("user", "groups", "ci", "--none")
    assert not is_allowed(node, key)


def test_a_user_that_is_disabled_is_refused_and_comes_back(node: Node) -> None:
    node.here("user", "create", "dora")
    node.here("user", "attach", "dora", "AmazonEC2ContainerRegistryReadOnly")
    key = node.key("dora")
    assert is_allowed(node, key)
    node.here("user", "disable", "dora")
    assert not is_allowed(node, key)
    node.here("user", "enable", "dora")
    assert is_allowed(node, key)
    node.here("user", "rm", "dora")
    assert not is_allowed(node, key)


def test_keys_are_rotated_disabled_deleted_and_their_last_use_is_known(node: Node) -> None:
    node.here("user", "create", "rob")
    node.here("user", "attach", "rob", "AmazonEC2ContainerRegistryReadOnly")
    old = node.key("rob")
    assert is_allowed(node, old)
    used = node.here("key", "show", old.id)["last_used"]
    assert (used["address"], used["service"]) == ("127.0.0.1", "ecr")
    made = node.afar(node.admin, "key", "rotate", old.id, "--keep-hours", "0")
    new = Key(made["id"], made["secret"])
    assert (is_allowed(node, old), is_allowed(node, new)) == (False, True)
    node.here("key", "disable", new.id)
    assert not is_allowed(node, new)
    node.here("key", "enable", new.id)
    assert is_allowed(node, new)
    node.here("key", "rm", new.id)
    assert not is_allowed(node, new)
    node.here("key", "show", new.id, code=4)


def test_who_may_not_is_told_so_with_an_exit_code(node: Node) -> None:
    node.here("user", "create", "eve")
    eve = node.key("eve")
    assert "iam:CreateUser" in node.afar(eve, "user", "create", "mallory", code=5)
    assert "iam:AttachUserPolicy" in node.afar(eve, "user", "attach", "eve", "AdministratorAccess", code=5)
    node.afar(Key(eve.id, "x" * 40), "user", "ls", code=5)
    node.afar(eve, "repo", "ls", code=3)  # Not a command for elsewhere: the variable does not concern it.
    node.here("user", "show", "mallory", code=4)
    node.here("policy", "create", "p", "-", stdin="{}", code=5)


def test_a_password_lets_a_person_in_until_it_is_taken_away(node: Node) -> None:
    node.here("user", "create", "paula")
    node.here("user", "attach", "paula", "AmazonEC2ContainerRegistryReadOnly")
    node.here("user", "password", "paula", "--file", "-", stdin=f"{PASSWORD}\n")
    assert status(node, "paula", PASSWORD) == 200
    assert status(node, "paula", "another password") == 401
    node.here("user", "password", "paula", "--remove")
    assert status(node, "paula", PASSWORD) == 401


def status(node: Node, name: str, password: str) -> int:
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", node.ca, "-u", f"{name}:{password}",
         f"{node.url}/v2/"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return int(done.stdout)


def test_no_secret_is_on_the_disk_in_the_log_or_in_an_answer(node: Node) -> None:
    node.here("user", "create", "cora")
    made = node.here("key", "create", "cora")
    node.here("user", "password", "cora", "--file", "-", stdin=PASSWORD)
    secret = node.here("webhook", "put", "hook", "--url", "https://receiver.example/in")["secret"].removeprefix(
        "whsec_"
    )
    secrets = [made["secret"].encode(), node.admin.secret.encode(), PASSWORD.encode(), secret.encode()]
    shown = json.dumps([node.here(*one) for one in (
        ("user", "ls"), ("user", "show", "cora"), ("key", "ls", "cora"), ("key", "show", made["id"]),
        ("webhook", "show", "hook"), ("top", "--once"), ("config", "show"),
    )]).encode()  # fmt: skip
    files = {path: path.read_bytes() for path in node.data.rglob("*") if path.is_file()}
    metrics = subprocess.run(
        ["curl", "-s", "--cacert", node.ca, f"{node.url}/metrics"], capture_output=True, check=True, timeout=60
    ).stdout
    for canary in secrets:
        assert canary not in shown
        assert canary not in node.log.read_bytes()
        assert canary not in metrics
        assert [path.name for path, content in files.items() if canary in content] == []


def test_all_that_the_node_keeps_is_its_own_whatever_the_mask_was(node: Node) -> None:
    assert [path for path in (node.data, *node.data.rglob("*")) if path.stat().st_mode & 0o077] == []


def test_a_second_start_makes_nobody_and_a_key_that_others_can_read_stops_it(
    data: Path, certificates: Certificates, tmp_path: Path
) -> None:
    fresh = tmp_path / "data"
    servers.command("init", "--data", fresh, "--account", ACCOUNT, "--region", REGION)
    with running(fresh, certificates) as first:
        assert first.announced["administrator"]["key"]
    with running(fresh, certificates) as second:
        assert "administrator" not in second.announced
        assert second.afar(first.admin, "user", "ls")["users"][0]["name"] == "admin"
    (fresh / "identity" / "master.key").chmod(0o640)
    done = servers.run("serve", "--data", fresh, "--listen", "127.0.0.1:0")
    assert done.returncode != 0
    assert "master.key" in done.stderr


@pytest.mark.parametrize("secret", ["admin", "password", "entrepot", "AdministratorAccess", ""])
def test_no_credential_is_known_beforehand(node: Node, secret: str) -> None:
    assert status(node, "admin", secret) == 401
    assert status(node, "AWS", secret) in {401, 403}
    assert status(node, "root", secret) == 401
