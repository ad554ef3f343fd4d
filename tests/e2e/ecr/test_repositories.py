"""Repositories of the private service, as boto3 sees them."""

from typing import Any

import pytest

from tests.e2e import images
from tests.e2e.ecr.calls import ACCOUNT, REGION, Raw, refused
from tests.e2e.ecr.conftest import EcrNode
from tests.e2e.pushes import Client


def test_a_new_repository_is_described_with_all_its_defaults(ecr_node: EcrNode, ecr: Any, name: str) -> None:
    made = ecr.create_repository(repositoryName=name)["repository"]
    assert made.pop("createdAt").year >= 2024
    assert made == {
        "repositoryArn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}",
        "registryId": ACCOUNT,
        "repositoryName": name,
        "repositoryUri": f"{ecr_node.server.address}/{name}",
        "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": False},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }
    [described] = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    described.pop("createdAt")
    assert described == made


def test_a_repository_is_created_with_all_that_is_asked_for(ecr: Any, name: str) -> None:
    filters = [{"filterType": "WILDCARD", "filter": "dev-*"}, {"filterType": "WILDCARD", "filter": "latest"}]
    default = ecr.create_repository(repositoryName=f"{name}-other", encryptionConfiguration={"encryptionType": "KMS"})
    key = default["repository"]["encryptionConfiguration"]["kmsKey"]
    made = ecr.create_repository(
        registryId=ACCOUNT,
        repositoryName=name,
        tags=[{"Key": "team", "Value": "a b"}, {"Key": "empty", "Value": ""}],
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
        imageScanningConfiguration={"scanOnPush": True},
        encryptionConfiguration={"encryptionType": "KMS", "kmsKey": key},
    )["repository"]
    assert made["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert made["imageTagMutabilityExclusionFilters"] == filters
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert made["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": key}
    tags = ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert tags == [{"Key": "empty", "Value": ""}, {"Key": "team", "Value": "a b"}]


def test_kms_without_a_key_answers_the_default_one(ecr: Any, name: str) -> None:
    made = ecr.create_repository(repositoryName=name, encryptionConfiguration={"encryptionType": "KMS"})["repository"]
    assert made["encryptionConfiguration"]["kmsKey"].startswith(f"arn:aws:kms:{REGION}:{ACCOUNT}:")


def test_a_kms_key_that_is_not_there_is_refused(ecr: Any, name: str) -> None:
    asked = {"encryptionType": "KMS", "kmsKey": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/none"}
    with pytest.raises(ecr.exceptions.KmsException) as refusal:
        ecr.create_repository(repositoryName=name, encryptionConfiguration=asked)
    assert refusal.value.response["kmsError"] == "NotFoundException"


def test_a_name_is_taken_once(ecr: Any, name: str) -> None:
    ecr.create_repository(repositoryName=name)
    error = refused(ecr.create_repository, repositoryName=name)
    assert error["Code"] == "RepositoryAlreadyExistsException"
    assert error["Message"] == f"The repository with name '{name}' already exists in the registry with id '{ACCOUNT}'"


@pytest.mark.parametrize("bad", ["A/b", "a//b", "-a/b", "a_-b", "a" * 257, "a", "public/x/y", "a/", "ä/b"])
def test_what_is_no_name_is_an_invalid_parameter(raw: Raw, bad: str) -> None:
    result = raw.call("CreateRepository", {"repositoryName": bad})
    assert result.error == "InvalidParameterException"
    assert "'repositoryName'" in result.body["message"]


@pytest.mark.parametrize(
    ("mode", "filters"),
    [
        ("MUTABLE", ["x"]),
        ("IMMUTABLE", ["x"]),
        ("IMMUTABLE_WITH_EXCLUSION", None),
        ("MUTABLE_WITH_EXCLUSION", None),
        ("IMMUTABLE_WITH_EXCLUSION", ["bad filter"]),
        ("IMMUTABLE_WITH_EXCLUSION", ["x"] * 6),
        ("SOMETIMES", None),
    ],
)
def test_a_mode_goes_with_filters_or_without(raw: Raw, name: str, mode: str, filters: list[str] | None) -> None:
    given: dict[str, Any] = {"repositoryName": name, "imageTagMutability": mode}
    if filters is not None:
        given["imageTagMutabilityExclusionFilters"] = [{"filterType": "WILDCARD", "filter": one} for one in filters]
    assert raw.call("CreateRepository", given).error == "InvalidParameterException"
    assert raw.call("DescribeRepositories", {"repositoryNames": [name]}).error == "RepositoryNotFoundException"


def test_the_mode_and_the_scanning_of_a_repository_are_changed(ecr: Any, name: str) -> None:
    ecr.create_repository(repositoryName=name)
    filters = [{"filterType": "WILDCARD", "filter": "v*"}]
    put = ecr.put_image_tag_mutability(
        repositoryName=name,
        imageTagMutability="MUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
    )
    assert put["imageTagMutabilityExclusionFilters"] == filters
    assert ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")["registryId"] == ACCOUNT
    ecr.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration={"scanOnPush": True})
    [described] = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert described["imageTagMutability"] == "IMMUTABLE"
    assert "imageTagMutabilityExclusionFilters" not in described
    assert described["imageScanningConfiguration"] == {"scanOnPush": True}


def test_pages_lead_through_all_repositories_in_order(ecr: Any, name: str) -> None:
    names = [f"{name}/{at:02}" for at in range(7)]
    for one in reversed(names):
        ecr.create_repository(repositoryName=one)
    pages = list(ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 3}))
    found = [one["repositoryName"] for page in pages for one in page["repositories"]]
    assert found == sorted(found)
    assert [one for one in found if one.startswith(f"{name}/")] == names
    assert all(len(page["repositories"]) == 3 for page in pages[:-1])
    assert "nextToken" not in pages[-1]


@pytest.mark.parametrize("token", ["x", "", "AAAA" * 9, "\u00e4", "{}"])
def test_a_token_that_was_made_up_is_refused(raw: Raw, token: str) -> None:
    result = raw.call("DescribeRepositories", {"nextToken": token})
    assert result.error == "InvalidParameterException"
    text = "Invalid parameter at 'NextToken' failed to satisfy constraint: 'Invalid next token provided'"
    assert result.body["message"] == text


def test_a_token_is_good_for_the_list_that_gave_it_alone(ecr: Any, raw: Raw, name: str) -> None:
    for one in ("a", "b"):
        ecr.create_repository(repositoryName=f"{name}/{one}")
    token = ecr.describe_repositories(maxResults=1)["nextToken"]
    assert raw.call("DescribeRepositories", {"nextToken": token, "maxResults": 2}).status == 200
    assert raw.call("ListImages", {"nextToken": token, "repositoryName": f"{name}/a"}).error
    assert raw.call("DescribeRepositories", {"nextToken": token[:-2] + "AA"}).error == "InvalidParameterException"


@pytest.mark.parametrize("limit", [0, 1001, -1, "5", 2.5, True])
def test_a_page_has_from_one_to_a_thousand(raw: Raw, limit: object) -> None:
    assert raw.call("DescribeRepositories", {"maxResults": limit}).error == "InvalidParameterException"


def test_names_are_not_paged(raw: Raw, ecr: Any, name: str) -> None:
    ecr.create_repository(repositoryName=name)
    given = {"repositoryNames": [name], "maxResults": 5}
    assert raw.call("DescribeRepositories", given).error == "InvalidParameterException"


def test_a_repository_with_images_goes_by_force_alone(ecr: Any, oci: Client, name: str) -> None:
    ecr.create_repository(repositoryName=name)
    oci.put_image(name, "1", images.make_image(1))
    error = refused(ecr.delete_repository, repositoryName=name)
    assert error["Code"] == "RepositoryNotEmptyException"
    assert error["Message"] == (
        f"The repository with name '{name}' in registry with id '{ACCOUNT}' cannot be deleted "
        "because it still contains images"
    )
    deleted = ecr.delete_repository(repositoryName=name, force=True)["repository"]
    assert deleted["repositoryName"] == name
    assert "createdAt" in deleted
    for call in (ecr.delete_repository, ecr.put_image_tag_mutability):
        more = {"imageTagMutability": "MUTABLE"} if call == ecr.put_image_tag_mutability else {}
        error = refused(call, repositoryName=name, **more)
        assert error["Code"] == "RepositoryNotFoundException"
        assert (
            error["Message"] == f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
        )


def test_what_a_deleted_repository_had_set_is_not_that_of_the_next(ecr: Any, name: str) -> None:
    arn = ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE", tags=[{"Key": "a", "Value": "b"}])[
        "repository"
    ]["repositoryArn"]
    ecr.delete_repository(repositoryName=name)
    assert ecr.create_repository(repositoryName=name)["repository"]["imageTagMutability"] == "MUTABLE"
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == []


def test_a_missing_name_among_several_fails_the_whole_call(ecr: Any, name: str) -> None:
    ecr.create_repository(repositoryName=name)
    error = refused(ecr.describe_repositories, repositoryNames=[name, f"{name}/none"])
    assert error["Code"] == "RepositoryNotFoundException"
    assert f"'{name}/none'" in error["Message"]
