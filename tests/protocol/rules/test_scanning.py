"""Which repositories are scanned when, and which are signed: by the filters of the user guide."""

from typing import Any

import msgspec
import pytest

from protocol.auth.names import Region
from protocol.errors import ValidationFailed
from protocol.oci.names import RepositoryName
from protocol.rules.scanning import fits, scanning_configuration, scanning_of
from protocol.rules.signing import profiles_for, signing_configuration


@pytest.mark.parametrize(
    ("wanted", "name", "is_for"),
    [
        ("prod", "team/prod-app", True),  # Without a star: contains.
        ("prod", "team/app", False),
        ("*prod", "app-prod", True),
        ("*prod", "prod-app", False),
        ("prod*", "prod/app", True),
        ("prod*", "a/prod", False),
        ("*prod*", "a/prod/b", True),
        ("prod*repo", "prod/x/repo", True),
        ("prod*repo", "prod/repo/x", False),
        ("*", "anything", True),
    ],
)
def test_a_filter_fits_as_the_guide_says(wanted: str, name: str, is_for: bool) -> None:
    assert fits(wanted, RepositoryName(name)) == is_for


def rule(frequency: str, *filters: str) -> dict[str, Any]:
    return {
        "scanFrequency": frequency,
        "repositoryFilters": [{"filter": one, "filterType": "WILDCARD"} for one in filters],
    }


@pytest.mark.parametrize(
    ("given", "name", "scan_on_push", "frequency"),
    [
        ({}, "app", False, "MANUAL"),
        ({}, "app", True, "SCAN_ON_PUSH"),  # The repository's own setting.
        ({"rules": [rule("SCAN_ON_PUSH", "prod*")]}, "prod/app", False, "SCAN_ON_PUSH"),
        ({"rules": [rule("SCAN_ON_PUSH", "prod*")]}, "app", False, "MANUAL"),
        ({"scanType": "ENHANCED"}, "app", True, "MANUAL"),
        (
            {"scanType": "ENHANCED", "rules": [rule("SCAN_ON_PUSH", "*"), rule("CONTINUOUS_SCAN", "prod*")]},
            "prod/app",
            False,
            "CONTINUOUS_SCAN",
        ),
        ({"scanType": "ENHANCED", "rules": [rule("SCAN_ON_PUSH", "*")]}, "prod/app", False, "SCAN_ON_PUSH"),
    ],
)
def test_how_a_repository_is_scanned(given: dict[str, Any], name: str, scan_on_push: bool, frequency: str) -> None:
    found = scanning_of(scanning_configuration(given), RepositoryName(name), scan_on_push=scan_on_push)
    assert (found.frequency, found.scan_on_push) == (frequency, frequency != "MANUAL")
    assert all(fits(one.filter, RepositoryName(name)) for one in found.filters)


@pytest.mark.parametrize(
    "given",
    [
        {"scanType": "BASIC", "rules": [rule("CONTINUOUS_SCAN", "*")]},
        {"scanType": "BASIC", "rules": [rule("MANUAL", "*")]},
        {"scanType": "ENHANCED", "rules": [rule("SCAN_ON_PUSH", "a*"), rule("SCAN_ON_PUSH", "b*")]},
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed):
        scanning_configuration(given)


def profile(name: str, region: str = "eu-west-1") -> str:
    return f"arn:aws:signer:{region}:111111111111:/signing-profiles/{name}"


def test_every_profile_that_is_for_a_repository_signs_once() -> None:
    filters = [{"filter": "prod*", "filterType": "WILDCARD_MATCH"}]
    given = {
        "rules": [
            {"signingProfileArn": profile("all")},
            {"signingProfileArn": profile("prod"), "repositoryFilters": filters},
            {"signingProfileArn": profile("all"), "repositoryFilters": filters},
        ]
    }
    configuration = signing_configuration(given, Region("eu-west-1"))
    assert profiles_for(configuration, RepositoryName("prod/app")) == (profile("all"), profile("prod"))
    assert profiles_for(configuration, RepositoryName("app")) == (profile("all"),)
    assert msgspec.json.decode(msgspec.json.encode(configuration)) == given
    with pytest.raises(ValidationFailed, match="region"):
        signing_configuration(given, Region("us-east-1"))
