"""Repository creation templates, and what a push makes of them."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.ecr.test_policies import LIFECYCLE, POLICY
from tests.e2e.images import make_image
from tests.e2e.pushes import Client

ROLE = "arn:aws:iam::123456789012:role/templates"
FILTERS = [{"filterType": "WILDCARD", "filter": "latest*"}]


@pytest.fixture
def prefix(ecr: Any, name: str) -> Iterator[str]:
    """A prefix of the test's own; its template goes with the test."""
    prefix = name.partition("/")[0]
    yield prefix
    for template in ecr.describe_repository_creation_templates(prefixes=[prefix])["repositoryCreationTemplates"]:
        ecr.delete_repository_creation_template(prefix=template["prefix"])


def test_a_template_lives_as_terraform_goes_about_it(ecr: Any, prefix: str) -> None:
    before = time.time()
    created = ecr.create_repository_creation_template(
        prefix=prefix,
        description="for tests",
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=FILTERS,
        encryptionConfiguration={"encryptionType": "AES256"},
        resourceTags=[{"Key": "team", "Value": "a"}],
        repositoryPolicy=POLICY,
        lifecyclePolicy=LIFECYCLE,
        appliedFor=["PULL_THROUGH_CACHE", "REPLICATION"],
        customRoleArn=ROLE,
    )
    assert created["registryId"] == "123456789012"
    template = created["repositoryCreationTemplate"]
    assert before - 1 <= template.pop("createdAt").timestamp() <= time.time() + 1
    template.pop("updatedAt")
    assert template == {
        "prefix": prefix,
        "description": "for tests",
        "encryptionConfiguration": {"encryptionType": "AES256"},
        "resourceTags": [{"Key": "team", "Value": "a"}],
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": FILTERS,
        "repositoryPolicy": POLICY,
        "lifecyclePolicy": LIFECYCLE,
        "appliedFor": ["PULL_THROUGH_CACHE", "REPLICATION"],
        "customRoleArn": ROLE,
    }
    with pytest.raises(ecr.exceptions.TemplateAlreadyExistsException):
        ecr.create_repository_creation_template(prefix=f"{prefix}/", appliedFor=["REPLICATION"])
    updated = ecr.update_repository_creation_template(
        prefix=prefix, imageTagMutability="MUTABLE", repositoryPolicy="", appliedFor=["CREATE_ON_PUSH"]
    )["repositoryCreationTemplate"]
    assert updated.keys() & {"imageTagMutabilityExclusionFilters", "repositoryPolicy"} == set()
    assert (updated["appliedFor"], updated["lifecyclePolicy"]) == (["CREATE_ON_PUSH"], LIFECYCLE)
    [described] = ecr.describe_repository_creation_templates(prefixes=[prefix, "not-there"])[
        "repositoryCreationTemplates"
    ]
    assert described == updated
    deleted = ecr.delete_repository_creation_template(prefix=prefix)["repositoryCreationTemplate"]
    assert deleted == updated
    for call in (ecr.delete_repository_creation_template, ecr.update_repository_creation_template):
        with pytest.raises(ecr.exceptions.TemplateNotFoundException):
            call(prefix=prefix)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"appliedFor": ["NEVER"]}, "InvalidParameterException"),
        ({"prefix": "Upper"}, "InvalidParameterException"),
        ({"prefix": "a" * 257}, "InvalidParameterException"),
        ({"description": "x" * 257}, "InvalidParameterException"),
        ({"repositoryPolicy": "{}"}, "InvalidParameterException"),
        ({"lifecyclePolicy": "{}"}, "InvalidParameterException"),
        ({"imageTagMutabilityExclusionFilters": FILTERS}, "InvalidParameterException"),
        ({"resourceTags": [{"Key": "a", "Value": "b"}]}, "ValidationException"),
        ({"encryptionConfiguration": {"encryptionType": "KMS"}}, "ValidationException"),
        ({"encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "alias/x"}}, "InvalidParameterException"),
        ({"resourceTags": [{"Key": "aws:a", "Value": "b"}], "customRoleArn": ROLE}, "InvalidParameterException"),
    ],
)
def test_what_is_no_template_is_refused(ecr: Any, prefix: str, given: dict[str, Any], error: str) -> None:
    with pytest.raises(ClientError) as caught:
        ecr.create_repository_creation_template(**{"prefix": prefix, "appliedFor": ["REPLICATION"]} | given)
    assert caught.value.response["Error"]["Code"] == error
    assert ecr.describe_repository_creation_templates(prefixes=[prefix])["repositoryCreationTemplates"] == []


def test_templates_come_page_by_page(ecr: Any, prefix: str) -> None:
    names = [f"{prefix}/{letter}" for letter in "abcde"]
    for one in names:
        ecr.create_repository_creation_template(prefix=one, appliedFor=["REPLICATION"])
    pages = ecr.get_paginator("describe_repository_creation_templates").paginate(PaginationConfig={"PageSize": 2})
    found = [[one["prefix"] for one in page["repositoryCreationTemplates"]] for page in pages]
    assert max(map(len, found)) == 2
    assert [one for page in found for one in page if one.startswith(prefix)] == names
    with pytest.raises(ecr.exceptions.InvalidParameterException, match="Invalid next token provided"):
        ecr.describe_repository_creation_templates(nextToken="bm9uc2Vuc2U=")
    for one in names:
        ecr.delete_repository_creation_template(prefix=one)


def test_what_a_push_makes_has_the_settings_of_the_template(ecr: Any, oci: Client, prefix: str) -> None:
    ecr.create_repository_creation_template(
        prefix=prefix,
        imageTagMutability="IMMUTABLE",
        repositoryPolicy=POLICY,
        lifecyclePolicy=LIFECYCLE,
        resourceTags=[{"Key": "team", "Value": "a"}],
        appliedFor=["CREATE_ON_PUSH"],
        customRoleArn=ROLE,
    )
    oci.put_image(f"{prefix}/pushed", "1", make_image(1))
    other = make_image(2)
    for blob in other.blobs:
        oci.put_blob(f"{prefix}/pushed", blob)
    answer = oci.call(
        "PUT", f"/v2/{prefix}/pushed/manifests/1", other.manifest.data, Content_Type=other.manifest.media_type
    )
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (400, "TAG_INVALID")
    [repository] = ecr.describe_repositories(repositoryNames=[f"{prefix}/pushed"])["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert ecr.get_repository_policy(repositoryName=f"{prefix}/pushed")["policyText"] == POLICY
    got = ecr.get_lifecycle_policy(repositoryName=f"{prefix}/pushed")
    assert json.loads(got["lifecyclePolicyText"])["rules"]
