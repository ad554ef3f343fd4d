"""Pull through cache rules, as boto3 and the provider of Terraform put and read them."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e import servers
from tests.e2e.ecr.conftest import EcrNode

CREDENTIAL = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:ecr-pullthroughcache/hub-AbCdEf"
ROLE = "arn:aws:iam::123456789012:role/pull"


@pytest.fixture
def prefix(ecr: Any) -> Iterator[Callable[[str], str]]:
    """Makes prefixes of the test's own, whose rules go with it."""
    start, made = f"p{uuid.uuid4().hex[:8]}", list[str]()

    def prefix(name: str) -> str:
        made.append(f"{start}-{name}")
        return made[-1]

    yield prefix
    for one in made:
        try:
            ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix=one)
        except ecr.exceptions.PullThroughCacheRuleNotFoundException:
            continue


@pytest.mark.parametrize(
    ("url", "kind", "more"),
    [
        ("public.ecr.aws", "ecr-public", {}),
        ("quay.io", "quay", {}),
        ("registry.k8s.io", "k8s", {}),
        ("registry-1.docker.io", "docker-hub", {"credentialArn": CREDENTIAL}),
        ("ghcr.io", "github-container-registry", {"credentialArn": CREDENTIAL}),
        ("registry.gitlab.com", "gitlab-container-registry", {"credentialArn": CREDENTIAL}),
        ("team.azurecr.io", "azure-container-registry", {"credentialArn": CREDENTIAL}),
        ("cgr.dev", "chainguard", {"credentialArn": CREDENTIAL}),
        ("999999999999.dkr.ecr.us-east-1.amazonaws.com", "ecr", {"customRoleArn": ROLE}),
    ],
)
def test_every_upstream_is_kept_and_says_that_nobody_asks_it(
    ecr: Any, prefix: Callable[[str], str], url: str, kind: str, more: dict[str, str]
) -> None:
    mine = prefix("a")
    created = ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=mine, upstreamRegistryUrl=url, **more)
    [described] = ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=[mine])["pullThroughCacheRules"]
    for shown in (created, described):
        assert (shown["upstreamRegistry"], shown["upstreamRegistryUrl"]) == (kind, url)
        assert "upstreamRepositoryPrefix" not in shown
        assert {name: shown[name] for name in more} == more
    validated = ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix=mine)
    assert not validated["isValid"]
    assert ("not asked yet" if kind != "ecr" else "No node of the registry") in validated["failure"]


def test_a_rule_lives_as_terraform_goes_about_it(ecr: Any, prefix: Callable[[str], str]) -> None:
    mine = prefix("a")
    ecr.create_pull_through_cache_rule(
        ecrRepositoryPrefix=mine,
        upstreamRegistryUrl="registry-1.docker.io",
        upstreamRegistry="docker-hub",
        credentialArn=CREDENTIAL,
        upstreamRepositoryPrefix="library",
        registryId="123456789012",
    )
    with pytest.raises(ecr.exceptions.PullThroughCacheRuleAlreadyExistsException):
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=mine, upstreamRegistryUrl="quay.io")
    updated = ecr.update_pull_through_cache_rule(ecrRepositoryPrefix=mine, credentialArn=f"{CREDENTIAL}2")
    assert (updated["credentialArn"], updated["upstreamRepositoryPrefix"]) == (f"{CREDENTIAL}2", "library")
    deleted = ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix=mine)
    assert deleted["credentialArn"] == f"{CREDENTIAL}2"
    for call in (
        ecr.delete_pull_through_cache_rule,
        ecr.update_pull_through_cache_rule,
        ecr.validate_pull_through_cache_rule,
    ):
        with pytest.raises(ecr.exceptions.PullThroughCacheRuleNotFoundException):
            call(ecrRepositoryPrefix=mine)
    with pytest.raises(ecr.exceptions.PullThroughCacheRuleNotFoundException):
        ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=[mine])


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"upstreamRegistryUrl": "example.com"}, "UnsupportedUpstreamRegistryException"),
        ({"upstreamRegistryUrl": "https://quay.io"}, "UnsupportedUpstreamRegistryException"),
        ({"upstreamRegistry": "k8s"}, "UnsupportedUpstreamRegistryException"),
        ({"upstreamRegistryUrl": "registry-1.docker.io"}, "ValidationException"),
        ({"upstreamRegistryUrl": "999999999999.dkr.ecr.us-east-1.amazonaws.com"}, "ValidationException"),
        ({"upstreamRegistryUrl": "123456789012.dkr.ecr.eu-central-1.amazonaws.com"}, "ValidationException"),
        ({"credentialArn": CREDENTIAL.replace("eu-central-1", "us-east-1")}, "ValidationException"),
        ({"credentialArn": CREDENTIAL.replace("ecr-pullthroughcache/", "")}, "InvalidParameterException"),
        ({"ecrRepositoryPrefix": "ROOT", "upstreamRepositoryPrefix": "team"}, "ValidationException"),
        ({"ecrRepositoryPrefix": "x" * 31}, "InvalidParameterException"),
        ({"ecrRepositoryPrefix": "Upper"}, "InvalidParameterException"),
        ({"upstreamRegistry": "other"}, "InvalidParameterException"),
    ],
)
def test_what_is_no_rule_is_refused(ecr: Any, prefix: Callable[[str], str], given: dict[str, str], error: str) -> None:
    with pytest.raises(ClientError) as caught:
        ecr.create_pull_through_cache_rule(
            **{"ecrRepositoryPrefix": prefix("a"), "upstreamRegistryUrl": "quay.io"} | given
        )
    assert caught.value.response["Error"]["Code"] == error


def test_rules_come_page_by_page(ecr: Any, prefix: Callable[[str], str]) -> None:
    mine = [prefix(letter) for letter in "abcde"]
    for one in mine:
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=one, upstreamRegistryUrl="quay.io")
    pages = ecr.get_paginator("describe_pull_through_cache_rules").paginate(PaginationConfig={"PageSize": 2})
    found = [rule["ecrRepositoryPrefix"] for page in pages for rule in page["pullThroughCacheRules"]]
    assert [one for one in found if one in mine] == mine


def test_both_doors_see_all_rules(ecr: Any, ecr_node: EcrNode, prefix: Callable[[str], str]) -> None:
    by_command, by_call = prefix("cmd"), prefix("api")
    data = ecr_node.server.data
    servers.command("pull-through", "put", f"{by_command}/", "--registry", "123456789012/us-east-1", "--data", data)
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=by_call, upstreamRegistryUrl="quay.io")
    [rule] = ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=[by_command])["pullThroughCacheRules"]
    assert (rule["upstreamRegistryUrl"], rule["upstreamRegistry"], rule["upstreamRepositoryPrefix"]) == (
        "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "ecr",
        by_command,
    )
    listed = servers.command("pull-through", "ls", "--data", data)
    assert f"{by_call}/" in listed
    assert "quay.io" in listed
    servers.command("pull-through", "rm", f"{by_command}/", "--data", data)
    with pytest.raises(ecr.exceptions.PullThroughCacheRuleNotFoundException):
        ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=[by_command])
