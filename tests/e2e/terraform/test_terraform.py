"""Terraform keeps a registry as its configuration says: created, unchanged, edited, mended, taken over and destroyed.

The provider is the one that everyone has, built of its own source; it is told of three endpoints, and of nothing that
it had to leave out. `make terraform` builds and runs.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.e2e import images, processes, servers
from tests.e2e.clients import Shell, need
from tests.e2e.pushes import Client
from tests.e2e.servers import Server

pytestmark = pytest.mark.go

ACCOUNT, REGION = "123456789012", "eu-central-1"
PROVIDER = Path(__file__).parents[3] / "build/terraform"
NOTHING_TO_DO, SOMETHING_TO_DO = 0, 2  # Of ``plan -detailed-exitcode``.
RC = 'provider_installation {\n  dev_overrides { "hashicorp/aws" = "%s" }\n  direct {}\n}\n'


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in a folder of its own, for one node."""

    shell: Shell
    server: Server

    def apply(self, **variables: bool) -> dict[str, Any]:
        """Make it so, and return the outputs."""
        self.shell.run("terraform", "apply", "-auto-approve", "-input=false", *_given(variables), patience=300)
        told = json.loads(self.shell.run("terraform", "output", "-json"))
        return {name: one["value"] for name, one in told.items()}

    def plan(self, **variables: bool) -> tuple[int, str]:
        """Return whether there is something to do, and what it says."""
        done = self.shell.attempt(
            "terraform", "plan", "-detailed-exitcode", "-input=false", *_given(variables), patience=300
        )
        return done.returncode, done.stdout + done.stderr

    def client(self, service: str) -> Any:
        """Return a boto3 client: another operator, at the same registry."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.server.url,
            aws_access_key_id="someone",
            aws_secret_access_key="else",  # noqa: S106 - the node is open.
        )


@pytest.fixture
def terraform(shell: Shell, tmp_path: Path) -> Iterator[Terraform]:
    """Terraform with its configuration, and a node that is open."""
    need("terraform")
    if not PROVIDER.exists():
        pytest.skip("needs the provider: `make terraform` builds it")
    (shell.home / "main.tf").write_bytes((Path(__file__).parent / "main.tf").read_bytes())
    (shell.home / "terraform.rc").write_text(RC % PROVIDER)
    data = tmp_path / "data"
    servers.command("init", "--data", data, "--account", ACCOUNT, "--region", REGION)
    server = servers.start_node(data, port=processes.free_port(), options=["--peer-listen", "127.0.0.1:0"])
    variables = {
        "TF_CLI_CONFIG_FILE": str(shell.home / "terraform.rc"),
        "TF_VAR_endpoint": server.url,
        "TF_CLI_ARGS": "-no-color",
        "CHECKPOINT_DISABLE": "1",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        yield Terraform(Shell(shell.home, shell.environment | variables), server)
    finally:
        processes.stop(server.process)


@pytest.mark.timeout(900)
def test_a_registry_is_what_its_configuration_says(terraform: Terraform) -> None:
    server = terraform.server
    told = terraform.apply()
    assert told["account"] == ACCOUNT
    assert told["repository"] == f"{server.address}/tf/full"
    assert told["public"] == f"{server.address}/public/{ACCOUNT}/tf/gallery"
    assert set(told["repositories"]) >= {"tf/full"}
    assert told["user"] == "AWS"
    assert_nothing_to_do(terraform)

    # Images of clients, which the data sources see.
    image = images.make_image(70)
    with closing(Client(server)) as client:
        for name in ("tf/full", f"public/{ACCOUNT}/tf/gallery"):
            client.put_image(name, "main-1", image)
    told = terraform.apply(pushed=True)
    assert told["digests"] == [image.manifest.digest] * 3
    assert_nothing_to_do(terraform, pushed=True)

    # All that can be edited is edited in place.
    code, said = terraform.plan(changed=True)
    assert code == SOMETHING_TO_DO
    replaced = {line.split()[1] for line in said.splitlines() if "must be replaced" in line}
    # What the provider itself cannot edit.
    assert replaced == {"aws_ecr_lifecycle_policy.full", "aws_ecr_pull_time_update_exclusion.scanner"}
    terraform.apply(changed=True)
    assert_nothing_to_do(terraform, changed=True)

    # What somebody else takes away is found to be gone, and made again.
    ecr, public = terraform.client("ecr"), terraform.client("ecr-public")
    ecr.delete_repository(repositoryName="tf/full", force=True)
    ecr.delete_registry_policy()
    ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix="quay")
    ecr.delete_repository_creation_template(prefix="team")
    ecr.deregister_pull_time_update_exclusion(principalArn=f"arn:aws:iam::{ACCOUNT}:role/other")
    public.delete_repository(repositoryName="tf/gallery", force=True)
    code, said = terraform.plan(changed=True)
    assert code == SOMETHING_TO_DO
    assert "Plan: 9 to add, 0 to change, 0 to destroy." in said
    terraform.apply(changed=True)
    assert_nothing_to_do(terraform, changed=True)

    # A state that is lost is taken over from what is there.
    for kind, key in (
        ("aws_ecr_repository.encrypted", "tf/encrypted"),
        ("aws_ecr_lifecycle_policy.full", "tf/full"),
        ("aws_ecr_repository_policy.full", "tf/full"),
        ("aws_ecr_pull_through_cache_rule.hub", "hub"),
        ("aws_ecr_repository_creation_template.team", "team"),
        ("aws_ecr_replication_configuration.this", ACCOUNT),
        ("aws_ecrpublic_repository_policy.gallery", "tf/gallery"),
    ):
        terraform.shell.run("terraform", "state", "rm", kind)
        terraform.shell.run("terraform", "import", "-input=false", "-var", "changed=true", kind, key)
    assert_nothing_to_do(terraform, changed=True)

    terraform.shell.run("terraform", "destroy", "-auto-approve", "-input=false", patience=300)
    assert ecr.describe_repositories()["repositories"] == []
    assert public.describe_repositories()["repositories"] == []
    assert ecr.describe_registry()["replicationConfiguration"] == {"rules": []}


def assert_nothing_to_do(terraform: Terraform, **variables: bool) -> None:
    code, said = terraform.plan(**variables)
    assert code == NOTHING_TO_DO, said


def _given(variables: dict[str, bool]) -> list[str]:
    return [part for name, value in variables.items() for part in ("-var", f"{name}={str(value).lower()}")]
