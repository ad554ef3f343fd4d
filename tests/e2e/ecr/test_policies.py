"""Policies and lifecycle policies, as boto3 sets and reads them."""

import json
from typing import Any

import pytest

POLICY = (
    '{\n  "Version": "2012-10-17",\n "Statement": [{"Sid":"a b","Effect":"Allow","Principal":"*","Action":"ecr:Get*"}]}'
)
LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "description": "keep ten",
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10},
                "action": {"type": "expire"},
            }
        ]
    },
    indent=1,
)


def test_a_repository_policy_as_terraform_goes_about_it(ecr: Any, repository: str) -> None:
    with pytest.raises(ecr.exceptions.RepositoryPolicyNotFoundException):
        ecr.get_repository_policy(repositoryName=repository)
    put = ecr.set_repository_policy(repositoryName=repository, policyText=POLICY)
    got = ecr.get_repository_policy(repositoryName=repository, registryId="123456789012")
    deleted = ecr.delete_repository_policy(repositoryName=repository)
    for answer in (put, got, deleted):
        assert (answer["registryId"], answer["repositoryName"], answer["policyText"]) == (
            "123456789012",
            repository,
            POLICY,
        )
    with pytest.raises(ecr.exceptions.RepositoryPolicyNotFoundException) as gone:
        ecr.delete_repository_policy(repositoryName=repository)
    assert gone.value.response["Error"]["Message"] == (
        f"Repository policy does not exist for the repository with name '{repository}' in the registry with id "
        "'123456789012'"
    )


def test_who_would_lock_themselves_out_has_to_mean_it(ecr: Any, repository: str) -> None:
    lockout = '{"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "ecr:*"}]}'
    with pytest.raises(ecr.exceptions.InvalidParameterException) as caught:
        ecr.set_repository_policy(repositoryName=repository, policyText=lockout)
    assert "Invalid repository policy provided" in str(caught.value)
    ecr.set_repository_policy(repositoryName=repository, policyText=lockout, force=True)


@pytest.mark.parametrize("text", ["{}", "", "x" * 10241])
def test_what_is_no_policy_is_refused(ecr: Any, repository: str, text: str) -> None:
    with pytest.raises(ecr.exceptions.InvalidParameterException):
        ecr.set_repository_policy(repositoryName=repository, policyText=text)


def test_the_registry_policy(ecr: Any) -> None:
    text = POLICY.replace('"Action"', '"Resource":"*","Action"')
    ecr.put_registry_policy(policyText=text)
    assert ecr.get_registry_policy()["policyText"] == text
    with pytest.raises(ecr.exceptions.InvalidParameterException, match="Invalid registry policy provided"):
        ecr.put_registry_policy(policyText=POLICY)
    assert ecr.delete_registry_policy() | {"ResponseMetadata": 0} == {
        "registryId": "123456789012",
        "policyText": text,
        "ResponseMetadata": 0,
    }
    for call in (ecr.get_registry_policy, ecr.delete_registry_policy):
        with pytest.raises(ecr.exceptions.RegistryPolicyNotFoundException):
            call()


def test_a_lifecycle_policy(ecr: Any, repository: str) -> None:
    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.get_lifecycle_policy(repositoryName=repository)
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=LIFECYCLE)
    got = ecr.get_lifecycle_policy(repositoryName=repository)
    assert (got["lifecyclePolicyText"], "lastEvaluatedAt" in got) == (LIFECYCLE, False)
    wrong = LIFECYCLE.replace('"countNumber": 10', '"countNumber": 10, "countUnit": "days"')
    with pytest.raises(ecr.exceptions.InvalidParameterException) as caught:
        ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=wrong)
    assert str(caught.value.response["Error"]["Message"]).startswith(
        "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure:"
    )
    assert ecr.delete_lifecycle_policy(repositoryName=repository)["lifecyclePolicyText"] == LIFECYCLE
    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.delete_lifecycle_policy(repositoryName=repository)


def test_what_is_asked_of_a_repository_that_is_not_there(ecr: Any, name: str) -> None:
    calls: list[Any] = [
        lambda: ecr.set_repository_policy(repositoryName=name, policyText=POLICY),
        lambda: ecr.get_repository_policy(repositoryName=name),
        lambda: ecr.delete_repository_policy(repositoryName=name),
        lambda: ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=LIFECYCLE),
        lambda: ecr.get_lifecycle_policy(repositoryName=name),
        lambda: ecr.delete_lifecycle_policy(repositoryName=name),
    ]
    for call in calls:
        with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
            call()
