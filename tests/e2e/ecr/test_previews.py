"""Previews of lifecycle policies, as boto3 starts them and its waiter waits for them."""

import json
from typing import Any

import pytest

from tests.e2e.ecr.test_policies import LIFECYCLE
from tests.e2e.images import make_image
from tests.e2e.pushes import Client

POLICY = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
                "action": {"type": "expire"},
            }
        ]
    }
)


def test_a_preview_from_start_to_end(ecr: Any, oci: Client, name: str) -> None:
    images = [make_image(seed) for seed in range(20, 25)]
    for at, image in enumerate(images):
        oci.put_image(name, f"{at}", image)
    with pytest.raises(ecr.exceptions.LifecyclePolicyPreviewNotFoundException):
        ecr.get_lifecycle_policy_preview(repositoryName=name)
    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.start_lifecycle_policy_preview(repositoryName=name)
    started = ecr.start_lifecycle_policy_preview(repositoryName=name, lifecyclePolicyText=POLICY)
    assert (started["status"], started["lifecyclePolicyText"]) == ("IN_PROGRESS", POLICY)
    ecr.get_waiter("lifecycle_policy_preview_complete").wait(
        repositoryName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    pages = list(
        ecr.get_paginator("get_lifecycle_policy_preview").paginate(
            repositoryName=name, PaginationConfig={"PageSize": 3}
        )
    )
    assert [len(page["previewResults"]) for page in pages] == [3, 1]
    assert pages[0]["summary"] == {"expiringImageTotalCount": 4}
    results = [one for page in pages for one in page["previewResults"]]
    assert [one["imageDigest"] for one in results] == [image.manifest.digest for image in images[:-1]]
    assert results[0]["imageTags"] == ["0"]
    assert results[0]["action"] == {"type": "EXPIRE"}
    assert (results[0]["appliedRulePriority"], results[0]["storageClass"]) == (1, "STANDARD")
    some = ecr.get_lifecycle_policy_preview(repositoryName=name, imageIds=[{"imageTag": "2"}])
    assert [one["imageTags"] for one in some["previewResults"]] == [["2"]]
    none = ecr.get_lifecycle_policy_preview(repositoryName=name, filter={"tagStatus": "UNTAGGED"})
    assert none["previewResults"] == []
    assert none["summary"]["expiringImageTotalCount"] == 4


def test_what_is_no_preview(ecr: Any, name: str, repository: str) -> None:
    with pytest.raises(ecr.exceptions.InvalidParameterException):
        ecr.start_lifecycle_policy_preview(repositoryName=repository, lifecyclePolicyText="{}" + " " * 100)
    with pytest.raises(ecr.exceptions.InvalidParameterException):
        ecr.get_lifecycle_policy_preview(repositoryName=repository, maxResults=101)
    for call in (ecr.start_lifecycle_policy_preview, ecr.get_lifecycle_policy_preview):
        with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
            call(repositoryName=f"{name}-no")
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=LIFECYCLE)
    assert ecr.start_lifecycle_policy_preview(repositoryName=repository)["lifecyclePolicyText"] == LIFECYCLE
