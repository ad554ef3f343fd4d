"""The AWS command line on each group of operations, against a node that is all it knows of AWS."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.e2e.ecr.aws import Aws, running_aws
from tests.e2e.ecr.calls import ACCOUNT, REGION
from tests.e2e.ecr.conftest import EcrNode
from tests.e2e.images import make_image
from tests.e2e.pushes import Client

POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}],
}
LIFECYCLE = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 9,
            },
            "action": {"type": "expire"},
        }
    ]
}


@pytest.fixture(scope="module")
def aws(ecr_node: EcrNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """The command line, in a home of its own."""
    with running_aws(ecr_node.endpoint, tmp_path_factory.mktemp("aws")) as aws:
        yield aws


def test_repositories(aws: Aws, name: str) -> None:
    made = aws("ecr", "create-repository", "--repository-name", name, "--tags", "Key=team,Value=a b")["repository"]
    assert made["repositoryUri"].endswith(f"/{name}")
    assert abs(made["createdAt"] - time.time()) < 60
    shown = aws("ecr", "describe-repositories", "--repository-names", name)["repositories"]
    assert shown == [made]
    mode = ("--image-tag-mutability", "IMMUTABLE_WITH_EXCLUSION")
    filters = ("--image-tag-mutability-exclusion-filters", "filterType=WILDCARD,filter=dev-*")
    set_ = aws("ecr", "put-image-tag-mutability", "--repository-name", name, *mode, *filters)
    assert set_["imageTagMutabilityExclusionFilters"] == [{"filterType": "WILDCARD", "filter": "dev-*"}]
    scan = ("--image-scanning-configuration", "scanOnPush=true")
    aws("ecr", "put-image-scanning-configuration", "--repository-name", name, *scan)
    arn = made["repositoryArn"]
    aws("ecr", "tag-resource", "--resource-arn", arn, "--tags", "Key=cost,Value=7")
    aws("ecr", "untag-resource", "--resource-arn", arn, "--tag-keys", "team")
    assert aws("ecr", "list-tags-for-resource", "--resource-arn", arn)["tags"] == [{"Key": "cost", "Value": "7"}]
    aws("ecr", "delete-repository", "--repository-name", name, "--force")
    code, _, said = aws.attempt("ecr", "describe-repositories", "--repository-names", name)
    assert code == 255
    assert (
        f"(RepositoryNotFoundException) when calling the DescribeRepositories operation: The repository with name "
        f"'{name}' does not exist in the registry with id '{ACCOUNT}'" in said
    )


def test_lists_of_any_length_and_a_query(aws: Aws, name: str) -> None:
    for one in "abc":
        aws("ecr", "create-repository", "--repository-name", f"{name}/{one}")
    query = f"repositories[?starts_with(repositoryName, '{name}')].repositoryName"
    found = aws.text("ecr", "describe-repositories", "--page-size", "1", "--query", query, "--output", "text")
    assert found.split() == [f"{name}/{one}" for one in "abc"]
    first = aws("ecr", "describe-repositories", "--max-items", "1")
    rest = aws("ecr", "describe-repositories", "--starting-token", first["NextToken"])
    every = aws("ecr", "describe-repositories")
    assert first["repositories"] + rest["repositories"] == every["repositories"]


def test_policies(aws: Aws, name: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(POLICY))
    aws("ecr", "create-repository", "--repository-name", name)
    aws("ecr", "set-repository-policy", "--repository-name", name, "--policy-text", f"file://{file}")
    assert json.loads(aws("ecr", "get-repository-policy", "--repository-name", name)["policyText"]) == POLICY
    aws("ecr", "delete-repository-policy", "--repository-name", name)
    file.write_text(json.dumps(LIFECYCLE))
    aws("ecr", "put-lifecycle-policy", "--repository-name", name, "--lifecycle-policy-text", f"file://{file}")
    text = aws("ecr", "get-lifecycle-policy", "--repository-name", name)["lifecyclePolicyText"]
    assert json.loads(text) == LIFECYCLE
    aws("ecr", "delete-lifecycle-policy", "--repository-name", name)


def test_images_and_layers(aws: Aws, oci: Client, name: str, tmp_path: Path) -> None:
    image = make_image(71)
    oci.put_image(name, "1", image)
    repository, digest = ("--repository-name", name), image.manifest.digest
    [detail] = aws("ecr", "describe-images", *repository, "--image-ids", "imageTag=1")["imageDetails"]
    assert (detail["imageDigest"], detail["imageTags"]) == (digest, ["1"])
    [found] = aws("ecr", "batch-get-image", *repository, "--image-ids", f"imageDigest={digest}")["images"]
    assert found["imageManifest"] == image.manifest.data.decode()
    (tmp_path / "manifest.json").write_bytes(image.manifest.data)
    aws("ecr", "put-image", *repository, "--image-tag", "2", "--image-manifest", f"file://{tmp_path}/manifest.json")
    tags = aws.text("ecr", "list-images", *repository, "--query", "imageIds[].imageTag", "--output", "text")
    assert sorted(tags.split()) == ["1", "2"]
    layer = image.blobs[0]
    url = aws("ecr", "get-download-url-for-layer", *repository, "--layer-digest", layer.digest)["downloadUrl"]
    with urlopen(url, timeout=10) as got:  # noqa: S310 - the node's own.
        assert got.read() == layer.data
    digests = ("--layer-digests", layer.digest, f"sha256:{'0' * 64}")
    layers = aws("ecr", "batch-check-layer-availability", *repository, *digests)["layers"]
    assert [one["layerAvailability"] for one in layers] == ["AVAILABLE", "UNAVAILABLE"]
    (tmp_path / "part").write_bytes(b"a layer")
    upload = aws("ecr", "initiate-layer-upload", *repository)["uploadId"]
    part = ("--upload-id", upload, "--part-first-byte", "0", "--part-last-byte", "6")
    aws("ecr", "upload-layer-part", *repository, *part, "--layer-part-blob", f"file://{tmp_path}/part")
    whole = f"sha256:{hashlib.sha256(b'a layer').hexdigest()}"
    done = aws("ecr", "complete-layer-upload", *repository, "--upload-id", upload, "--layer-digests", whole)
    assert done["layerDigest"] == whole
    gone = aws("ecr", "batch-delete-image", *repository, "--image-ids", f"imageDigest={digest}")
    assert {one["imageTag"] for one in gone["imageIds"]} == {"1", "2"}


def test_it_waits_for_what_ends(aws: Aws, oci: Client, name: str, tmp_path: Path) -> None:
    oci.put_image(name, "1", make_image(72))
    file = tmp_path / "lifecycle.json"
    file.write_text(json.dumps(LIFECYCLE))
    repository = ("--repository-name", name)
    aws("ecr", "start-lifecycle-policy-preview", *repository, "--lifecycle-policy-text", f"file://{file}")
    aws("ecr", "wait", "lifecycle-policy-preview-complete", *repository)
    assert aws("ecr", "get-lifecycle-policy-preview", *repository)["status"] == "COMPLETE"


def test_what_the_registry_has(aws: Aws) -> None:
    template = ("--prefix", "cli-template", "--applied-for", "PULL_THROUGH_CACHE", "CREATE_ON_PUSH")
    aws("ecr", "create-repository-creation-template", *template)
    shown = aws("ecr", "describe-repository-creation-templates", "--prefixes", "cli-template")
    assert [one["prefix"] for one in shown["repositoryCreationTemplates"]] == ["cli-template"]
    aws("ecr", "delete-repository-creation-template", "--prefix", "cli-template")
    rule = ("--ecr-repository-prefix", "cli-quay", "--upstream-registry-url", "quay.io")
    aws("ecr", "create-pull-through-cache-rule", *rule)
    shown = aws("ecr", "describe-pull-through-cache-rules", "--ecr-repository-prefixes", "cli-quay")
    assert shown["pullThroughCacheRules"][0]["upstreamRegistryUrl"] == "quay.io"
    aws("ecr", "delete-pull-through-cache-rule", "--ecr-repository-prefix", "cli-quay")
    rules = {"rules": [{"destinations": [{"region": "eu-west-9", "registryId": ACCOUNT}]}]}
    aws("ecr", "put-replication-configuration", "--replication-configuration", json.dumps(rules))
    assert aws("ecr", "describe-registry")["replicationConfiguration"] == {
        "rules": [{"destinations": [{"region": "eu-west-9", "registryId": ACCOUNT}]}]
    }
    aws("ecr", "put-replication-configuration", "--replication-configuration", '{"rules": []}')
    aws("ecr", "put-registry-scanning-configuration", "--scan-type", "BASIC")
    assert aws("ecr", "get-registry-scanning-configuration")["scanningConfiguration"]["scanType"] == "BASIC"
    setting = aws("ecr", "put-account-setting", "--name", "BLOB_MOUNTING", "--value", "DISABLED")
    assert setting == aws("ecr", "get-account-setting", "--name", "BLOB_MOUNTING")
    aws("ecr", "put-account-setting", "--name", "BLOB_MOUNTING", "--value", "ENABLED")
    role = f"arn:aws:iam::{ACCOUNT}:role/cli"
    aws("ecr", "register-pull-time-update-exclusion", "--principal-arn", role)
    assert role in aws("ecr", "list-pull-time-update-exclusions")["pullTimeUpdateExclusions"]
    aws("ecr", "deregister-pull-time-update-exclusion", "--principal-arn", role)


def test_public_repositories(aws: Aws, name: str) -> None:
    catalog = ("--catalog-data", "description=An app,architectures=ARM,x86-64,operatingSystems=Linux")
    made = aws("ecr-public", "create-repository", "--repository-name", name, *catalog)
    assert made["repository"]["repositoryArn"] == f"arn:aws:ecr-public::{ACCOUNT}:repository/{name}"
    shown = aws("ecr-public", "get-repository-catalog-data", "--repository-name", name)
    assert shown["catalogData"]["architectures"] == ["ARM", "x86-64"]
    assert aws("ecr-public", "describe-registries")["registries"][0]["registryId"] == ACCOUNT
    assert made["repository"] in aws("ecr-public", "describe-repositories")["repositories"]
    aws("ecr-public", "delete-repository", "--repository-name", name)


def test_nothing_that_it_is_answered_makes_it_wonder(aws: Aws, ecr_node: EcrNode, name: str) -> None:
    code, _, said = aws.attempt("ecr", "create-repository", "--repository-name", name, "--debug")
    assert code == 0
    assert f"{ecr_node.endpoint}/" in said
    assert f"/{REGION}/ecr/aws4_request" in said
    assert not [line for line in said.splitlines() if re.search(r"WARN|ERROR|CRITICAL|Traceback|Retry needed", line)]
