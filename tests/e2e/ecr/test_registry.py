"""What is set for all of a registry, by boto3: account settings, exclusions, scanning and signing."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.images import make_image
from tests.e2e.pushes import Client

ROLE = "arn:aws:iam::123456789012:role/ci/scanner"
PROFILE = "arn:aws:signer:eu-central-1:123456789012:/signing-profiles/release"


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


@pytest.fixture
def pushed(oci: Client, name: str) -> dict[str, str]:
    """An image in a repository of the test's own, as its id."""
    image = make_image(7)
    oci.put_image(name, "1.0", image)
    return {"imageDigest": image.manifest.digest, "imageTag": "1.0"}


@pytest.mark.parametrize(
    ("name", "value"), [("BASIC_SCAN_TYPE_VERSION", "AWS_NATIVE"), ("REGISTRY_POLICY_SCOPE", "V2")]
)
def test_settings_that_have_one_value(ecr: Any, name: str, value: str) -> None:
    assert ecr.get_account_setting(name=name)["value"] == value
    put = ecr.put_account_setting(name=name, value=value)
    assert (put["name"], put["value"]) == (name, value)
    for wrong in ("CLAIR", "V1", ""):
        with pytest.raises(ecr.exceptions.ValidationException):
            ecr.put_account_setting(name=name, value=wrong)


def test_a_setting_that_is_none(ecr: Any) -> None:
    with pytest.raises(ecr.exceptions.ValidationException):
        ecr.get_account_setting(name="NOPE")
    with pytest.raises(ecr.exceptions.ValidationException):
        ecr.put_account_setting(name="NOPE", value="V2")


def test_blobs_are_mounted_until_the_account_says_otherwise(ecr: Any, oci: Client, name: str) -> None:
    image = make_image(8)
    oci.put_image(name, "1", image)
    path = f"/v2/{name}-2/blobs/uploads/?mount={image.config.digest}&from={name}"
    assert ecr.get_account_setting(name="BLOB_MOUNTING")["value"] == "ENABLED"
    ecr.put_account_setting(name="BLOB_MOUNTING", value="DISABLED")
    try:
        assert oci.call("POST", path, Content_Length="0").status == 202
    finally:
        ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    assert oci.call("POST", path, Content_Length="0").status == 201


def test_exclusions_of_pull_times(ecr: Any) -> None:
    created = ecr.register_pull_time_update_exclusion(principalArn=ROLE)
    assert created["principalArn"] == ROLE
    assert abs(created["createdAt"].timestamp() - time.time()) < 60
    with pytest.raises(ecr.exceptions.ExclusionAlreadyExistsException):
        ecr.register_pull_time_update_exclusion(principalArn=ROLE)
    ecr.register_pull_time_update_exclusion(principalArn=f"{ROLE}-2")
    first = ecr.list_pull_time_update_exclusions(maxResults=1)
    rest = ecr.list_pull_time_update_exclusions(maxResults=1, nextToken=first["nextToken"])
    assert (first["pullTimeUpdateExclusions"], rest["pullTimeUpdateExclusions"]) == ([ROLE], [f"{ROLE}-2"])
    assert "nextToken" not in rest
    for arn in (ROLE, f"{ROLE}-2"):
        assert ecr.deregister_pull_time_update_exclusion(principalArn=arn)["principalArn"] == arn
    with pytest.raises(ecr.exceptions.ExclusionNotFoundException):
        ecr.deregister_pull_time_update_exclusion(principalArn=ROLE)
    for wrong in ("*", "arn:aws:iam::123456789012:role/*", "arn:aws:iam::123456789012:root"):
        with pytest.raises(ecr.exceptions.InvalidParameterException):
            ecr.register_pull_time_update_exclusion(principalArn=wrong)


@pytest.fixture
def scanned(ecr: Any) -> Iterator[Any]:
    """The client, after which the registry scans as at first."""
    yield ecr
    ecr.put_registry_scanning_configuration(scanType="BASIC", rules=[])


def test_the_scanning_configuration(scanned: Any, repository: str) -> None:
    ecr = scanned
    first = ecr.get_registry_scanning_configuration()
    assert first["registryId"] == "123456789012"
    assert first["scanningConfiguration"] == {"scanType": "BASIC", "rules": []}
    filters = [{"filter": repository, "filterType": "WILDCARD"}]
    rules = [{"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": filters}]
    configuration = {"scanType": "ENHANCED", "rules": rules}
    put = ecr.put_registry_scanning_configuration(**configuration)
    assert put["registryScanningConfiguration"] == configuration
    assert ecr.get_registry_scanning_configuration()["scanningConfiguration"] == configuration
    found = ecr.batch_get_repository_scanning_configuration(repositoryNames=[repository, "not/there"])
    assert found["scanningConfigurations"] == [
        {
            "repositoryArn": f"arn:aws:ecr:eu-central-1:123456789012:repository/{repository}",
            "repositoryName": repository,
            "scanOnPush": True,
            "scanFrequency": "CONTINUOUS_SCAN",
            "appliedScanFilters": filters,
        }
    ]
    assert [(one["repositoryName"], one["failureCode"]) for one in found["failures"]] == [
        ("not/there", "REPOSITORY_NOT_FOUND")
    ]
    with pytest.raises(ecr.exceptions.ValidationException):
        ecr.put_registry_scanning_configuration(scanType="BASIC", rules=rules)
    with pytest.raises(ecr.exceptions.InvalidParameterException):
        ecr.put_registry_scanning_configuration(scanType="ENHANCED", rules=rules * 3)
    with pytest.raises(ecr.exceptions.InvalidParameterException):
        ecr.batch_get_repository_scanning_configuration(repositoryNames=[repository] * 26)


def test_a_scan_says_that_there_is_no_scanner(ecr: Any, name: str, pushed: dict[str, str]) -> None:
    with pytest.raises(ecr.exceptions.ScanNotFoundException):
        ecr.describe_image_scan_findings(repositoryName=name, imageId=pushed)
    started = ecr.start_image_scan(repositoryName=name, imageId={"imageTag": "1.0"})
    assert (started["imageId"], started["imageScanStatus"]["status"]) == (pushed, "FAILED")
    assert "no scanner" in started["imageScanStatus"]["description"]
    found = ecr.describe_image_scan_findings(repositoryName=name, imageId=pushed)
    assert found["imageScanStatus"] == started["imageScanStatus"]
    with pytest.raises(ecr.exceptions.LimitExceededException) as again:
        ecr.start_image_scan(repositoryName=name, imageId=pushed)
    assert again.value.response["Error"]["Message"] == (
        "The scan quota per image has been exceeded. Wait and try again."
    )


@pytest.mark.parametrize("call", ["start_image_scan", "describe_image_scan_findings", "describe_image_signing_status"])
def test_what_is_asked_of_an_image_that_is_not_there(ecr: Any, name: str, pushed: dict[str, str], call: str) -> None:
    ask = getattr(ecr, call)
    other = {"imageDigest": f"sha256:{'0' * 64}"}
    with pytest.raises(ecr.exceptions.ImageNotFoundException) as caught:
        ask(repositoryName=name, imageId=other)
    assert caught.value.response["Error"]["Message"] == (
        f"The image with imageId {{imageDigest:'{other['imageDigest']}', imageTag:'null'}} does not exist within the "
        f"repository with name '{name}' in the registry with id '123456789012'"
    )
    with pytest.raises(ecr.exceptions.ImageNotFoundException):  # Both are there, and not of one image.
        ask(repositoryName=name, imageId={**other, "imageTag": "1.0"})
    for wrong in ({}, {"imageDigest": "sha256:1"}):
        with pytest.raises(ecr.exceptions.InvalidParameterException):
            ask(repositoryName=name, imageId=wrong)
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ask(repositoryName=f"{name}-not", imageId=pushed)


def test_the_signing_configuration(ecr: Any, oci: Client, name: str, pushed: dict[str, str]) -> None:
    for call in (ecr.get_signing_configuration, ecr.delete_signing_configuration):
        with pytest.raises(ecr.exceptions.SigningConfigurationNotFoundException):
            call()
    filters = [{"filter": f"{name.partition('/')[0]}*", "filterType": "WILDCARD_MATCH"}]
    configuration = {"rules": [{"signingProfileArn": PROFILE, "repositoryFilters": filters}]}
    assert ecr.put_signing_configuration(signingConfiguration=configuration)["signingConfiguration"] == configuration
    try:
        assert ecr.get_signing_configuration()["signingConfiguration"] == configuration
        elsewhere = PROFILE.replace("eu-central-1", "us-east-1")
        with pytest.raises(ecr.exceptions.ValidationException):
            ecr.put_signing_configuration(signingConfiguration={"rules": [{"signingProfileArn": elsewhere}]})
        before = ecr.describe_image_signing_status(repositoryName=name, imageId=pushed)
        assert before["signingStatuses"] == []  # It was pushed before there was a rule.
        after = make_image(9)
        oci.put_image(name, "2.0", after)
        [status] = ecr.describe_image_signing_status(repositoryName=name, imageId={"imageTag": "2.0"})[
            "signingStatuses"
        ]
        assert (status["signingProfileArn"], status["status"]) == (PROFILE, "FAILED")
    finally:
        assert ecr.delete_signing_configuration()["signingConfiguration"] == configuration
