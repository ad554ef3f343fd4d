"""What holds for every call of the ECR API, whatever it asks for."""

import json

import pytest

from tests.e2e.ecr.calls import Raw


def test_an_operation_that_is_not_there_is_told_so(raw: Raw) -> None:
    result = raw.call("MakeCoffee")
    assert (result.status, result.error) == (404, "UnknownOperationException")
    assert result.headers["x-amzn-errortype"] == "UnknownOperationException"


@pytest.mark.parametrize("target", ["", "DescribeRepositories", "SpencerFrontendService.ListImages", "x" * 4000])
def test_a_target_that_names_no_operation_of_its_service_is_unknown(raw: Raw, target: str) -> None:
    assert raw.call("x", x_amz_target=target).error == "UnknownOperationException"


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a":NaN}', b"[" * 200_000, b"{}{}", b"\x00"])
def test_a_body_that_is_not_json_is_a_serialization_error(raw: Raw, body: bytes) -> None:
    result = raw.call("DescribeRepositories", body)
    assert (result.status, result.error) == (400, "SerializationException")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"null"])
def test_json_that_is_no_object_is_an_invalid_parameter(raw: Raw, body: bytes) -> None:
    assert raw.call("DescribeRepositories", body).error == "InvalidParameterException"


def test_a_body_larger_than_any_that_means_something_is_not_received(raw: Raw) -> None:
    result = raw.call("DescribeRepositories", json.dumps({"repositoryNames": ["x" * 2**20]}).encode())
    assert (result.status, result.error) == (413, "RequestEntityTooLargeException")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-amz-json-1.0", ""])
def test_the_content_type_is_not_looked_at(raw: Raw, kind: str) -> None:
    assert raw.call("DescribeRepositories", content_type=kind).status == 200


def test_members_that_are_not_known_are_ignored_and_null_is_not_there(raw: Raw) -> None:
    given = {"maxResults": None, "whatever": {"a": [1]}}
    assert raw.call("DescribeRepositories", given).status == 200


def test_the_id_of_the_request_is_that_of_the_log(raw: Raw) -> None:
    result = raw.call("DescribeRepositories")
    prefix, _, number = result.headers["x-request-id"].partition("-")
    assert result.headers["x-amzn-requestid"] == f"{prefix}-0000-4000-8000-{number:0>12}"


def test_the_registry_of_another_account_is_not_spoken_of(raw: Raw) -> None:
    other = "999999999999"
    assert raw.call("DescribeRepositories", {"registryId": other}).error == "AccessDeniedException"
    result = raw.call("DeleteRepository", {"registryId": other, "repositoryName": "a/b"})
    assert result.error == "RepositoryNotFoundException"
    assert result.body["message"] == f"The repository with name 'a/b' does not exist in the registry with id '{other}'"
