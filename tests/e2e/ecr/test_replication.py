"""Replication configuration and status, as boto3 puts and reads them."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.images import make_image
from tests.e2e.pushes import Client

THERE = {"region": "us-west-2", "registryId": "123456789012"}


@pytest.fixture
def replicating(ecr: Any) -> Iterator[Any]:
    """The client, after which nothing is replicated."""
    yield ecr
    ecr.put_replication_configuration(replicationConfiguration={"rules": []})


def to(*numbers: int) -> list[dict[str, str]]:
    return [{"region": "us-east-1", "registryId": f"{number:012}"} for number in numbers]


def test_a_registry_without_rules_has_an_empty_list_of_them(ecr: Any) -> None:
    found = ecr.describe_registry()
    assert (found["registryId"], found["replicationConfiguration"]) == ("123456789012", {"rules": []})


def test_the_document_is_answered_as_it_was_put(replicating: Any) -> None:
    ecr = replicating
    filters = [{"filter": "prod", "filterType": "PREFIX_MATCH"}]
    rules = [
        {"destinations": [THERE], "repositoryFilters": filters, "deleteReplication": {"enabled": True}},
        {"destinations": to(1, 2)},
    ]
    put = ecr.put_replication_configuration(replicationConfiguration={"rules": rules})
    assert put["replicationConfiguration"] == {"rules": rules}
    assert ecr.describe_registry()["replicationConfiguration"] == {"rules": rules}


@pytest.mark.parametrize(
    "rules",
    [
        [{"destinations": [{"region": "eu-central-1", "registryId": "123456789012"}]}],
        [{"destinations": to(*range(26))}],
        [{"destinations": to(1)}] * 26,
        [{"destinations": to(1), "repositoryFilters": [{"filter": "UP", "filterType": "PREFIX_MATCH"}]}],
        [{"destinations": to(1), "repositoryFilters": [{"filter": "prod", "filterType": "PREFIX_MATCH"}] * 101}],
        [{"destinations": [{"region": "Not_one", "registryId": "123456789012"}]}],
        [{"destinations": [{"region": "us-east-1", "registryId": "12"}]}],
    ],
)
def test_what_is_no_configuration_is_refused(replicating: Any, rules: list[Any]) -> None:
    with pytest.raises(ClientError) as caught:
        replicating.put_replication_configuration(replicationConfiguration={"rules": rules})
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"
    assert replicating.describe_registry()["replicationConfiguration"] == {"rules": []}


def test_a_registry_is_not_its_own_destination_in_the_words_of_ecr(replicating: Any) -> None:
    own = [{"destinations": [{"region": "eu-central-1", "registryId": "123456789012"}]}]
    with pytest.raises(ClientError, match="Replication destination cannot be the same as the source registry"):
        replicating.put_replication_configuration(replicationConfiguration={"rules": own})


def test_how_far_an_image_has_come(replicating: Any, oci: Client, name: str) -> None:
    ecr = replicating
    before, after = make_image(1), make_image(2)
    oci.put_image(name, "before", before)
    ecr.put_replication_configuration(replicationConfiguration={"rules": [{"destinations": [THERE]}]})
    oci.put_image(name, "after", after)
    found = ecr.describe_image_replication_status(repositoryName=name, imageId={"imageTag": "after"})
    assert (found["repositoryName"], found["imageId"]) == (name, {"imageTag": "after"})
    assert found["replicationStatuses"] == [{**THERE, "status": "IN_PROGRESS"}]
    with pytest.raises(ecr.exceptions.ImageNotFoundException):
        ecr.describe_image_replication_status(repositoryName=name, imageId={"imageTag": "no"})
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.describe_image_replication_status(repositoryName=f"{name}-no", imageId={"imageTag": "no"})


def test_a_backfill_from_start_to_stop(replicating: Any, oci: Client, name: str) -> None:
    ecr = replicating
    oci.put_image(name, "1", make_image(1))
    with pytest.raises(ecr.exceptions.ValidationException):
        ecr.start_replication_backfill(destination=THERE)
    rule = {"destinations": [THERE], "repositoryFilters": [{"filter": name, "filterType": "PREFIX_MATCH"}]}
    ecr.put_replication_configuration(replicationConfiguration={"rules": [rule]})
    begun = ecr.start_replication_backfill(destination=THERE)
    assert (begun["status"], begun["destination"], begun["registryId"]) == ("PREPARING", THERE, "123456789012")
    with pytest.raises(ecr.exceptions.ReplicationBackfillInProgressException):
        ecr.start_replication_backfill(destination=THERE)
    wanted = begun["replicationBackfillId"]
    until = time.monotonic() + 20
    while (found := ecr.describe_replication_backfill_results(replicationBackfillId=wanted))["status"] == "PREPARING":
        assert time.monotonic() < until
    assert (found["status"], found["results"]) == ("IN_PROGRESS", [])
    assert found["progress"] == {
        "totalReplicationCount": 1,
        "completedReplicationCount": 0,
        "failedReplicationCount": 0,
        "failureCodes": [],
    }
    [status] = ecr.describe_image_replication_status(repositoryName=name, imageId={"imageTag": "1"})[
        "replicationStatuses"
    ]
    assert status["status"] == "IN_PROGRESS"
    assert ecr.stop_replication_backfill(replicationBackfillId=wanted)["status"] == "STOPPING"
    while ecr.list_replication_backfills()["backfills"][0]["status"] == "STOPPING":
        assert time.monotonic() < until
    assert ecr.list_replication_backfills()["backfills"][0]["status"] == "STOPPED"
    with pytest.raises(ecr.exceptions.ReplicationBackfillInvalidStatusException):
        ecr.stop_replication_backfill(replicationBackfillId=wanted)
    for call in (ecr.stop_replication_backfill, ecr.describe_replication_backfill_results):
        with pytest.raises(ecr.exceptions.ReplicationBackfillNotFoundException):
            call(replicationBackfillId="00000000-0000-4000-8000-000000000000")
    with pytest.raises(ecr.exceptions.InvalidParameterException):
        ecr.list_replication_backfills(maxResults=51)
