"""Two registries by ECR's API alone: replication with a template at the destination, a backfill, pull through."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import watch
from tests.e2e.ecr.conftest import judged_client
from tests.e2e.ecr.test_policies import POLICY
from tests.e2e.federation import A_REGION, ACCOUNT, B_REGION, Federation, arrives, found
from tests.e2e.images import make_image
from tests.e2e.processes import wait_until
from tests.e2e.pushes import Client

THERE = {"region": B_REGION, "registryId": ACCOUNT}
UPSTREAM = f"{ACCOUNT}.dkr.ecr.{A_REGION}.amazonaws.com"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory, nothing_is_left: None) -> Iterator[Federation]:
    federation = found(tmp_path_factory.mktemp("federation"))
    try:
        yield federation
    finally:
        federation.stop()


@pytest.fixture
def both(request: pytest.FixtureRequest, federation: Federation) -> tuple[Any, Any]:
    """boto3 clients of A and of B."""
    a, b = federation.a.start(), federation.b.start()
    watch(request, a, b)
    return judged_client(a.url, "ecr"), judged_client(b.url, "ecr")


def test_what_was_here_and_what_comes_is_replicated_into_what_a_template_makes(
    federation: Federation, both: tuple[Any, Any], name: str
) -> None:
    a, b = both
    before, after = make_image(61), make_image(62)
    client = Client(federation.a.start())
    client.put_image(name, "before", before)
    prefix = name.partition("/")[0]
    b.create_repository_creation_template(
        prefix=prefix, imageTagMutability="IMMUTABLE", repositoryPolicy=POLICY, appliedFor=["REPLICATION"]
    )
    filters = [{"filter": f"{prefix}/", "filterType": "PREFIX_MATCH"}]
    rule = {"destinations": [THERE], "repositoryFilters": filters}
    a.put_replication_configuration(replicationConfiguration={"rules": [rule]})
    client.put_image(name, "after", after)
    client.close()
    assert arrives(federation.b.start(), name, "after", after.manifest.digest)
    [repository] = b.describe_repositories(repositoryNames=[name])["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert b.get_repository_policy(repositoryName=name)["policyText"] == POLICY
    status = {"imageId": {"imageTag": "before"}, "repositoryName": name}
    assert a.describe_image_replication_status(**status)["replicationStatuses"] == []
    begun = a.start_replication_backfill(destination=THERE)["replicationBackfillId"]

    def results() -> Any:
        return a.describe_replication_backfill_results(replicationBackfillId=begun)

    assert wait_until(lambda: results()["status"] == "COMPLETE", patience=60, interval=0.2)
    assert results()["progress"]["completedReplicationCount"] == 2
    assert arrives(federation.b.start(), name, "before", before.manifest.digest)
    assert a.describe_image_replication_status(**status)["replicationStatuses"] == [{**THERE, "status": "COMPLETE"}]


def test_a_rule_of_the_api_pulls_through_another_registry(
    federation: Federation, both: tuple[Any, Any], name: str
) -> None:
    a, b = both
    image = make_image(63)
    client = Client(federation.a.start())
    client.put_image(name, "1", image)
    client.close()
    prefix = f"cache-{name.partition('/')[0]}"[:30]
    b.create_repository_creation_template(
        prefix=prefix, imageTagMutability="MUTABLE", repositoryPolicy=POLICY, appliedFor=["PULL_THROUGH_CACHE"]
    )
    b.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl=UPSTREAM)
    assert wait_until(
        lambda: b.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)["isValid"], patience=20, interval=0.1
    )
    there = Client(federation.b.start())
    assert there.get_manifest(f"{prefix}/{name}", "1") == image.manifest.data
    assert there.get_blob(f"{prefix}/{name}", image.config.digest) == image.config.data
    assert b.get_repository_policy(repositoryName=f"{prefix}/{name}")["policyText"] == POLICY
    a.update_image_storage_class(repositoryName=name, imageId={"imageTag": "1"}, targetStorageClass="ARCHIVE")
    assert there.get_manifest(f"{prefix}/{name}", "1") == image.manifest.data  # It is here.
    other = there.call("GET", f"/v2/{prefix}/{name}/manifests/2")
    assert (other.status, json.loads(other.body)["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")
    there.close()
