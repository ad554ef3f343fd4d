"""A replication document is ECR's, or refused with the place; it alone says which registries an image is for."""

import json
from typing import Any

import msgspec
import pytest

from protocol.auth.names import registry_name
from protocol.errors import RuleInvalid
from protocol.oci.names import RepositoryName
from protocol.rules.replication import Destination, destinations_for, replication_configuration

OWN = registry_name("111111111111/eu-west-1")
MANY = tuple(f"{n:012}/eu-west-2" for n in range(26))
US, AP = registry_name("111111111111/us-east-1"), registry_name("222222222222/ap-south-1")


def to(text: str) -> dict[str, str]:
    account, region = text.split("/")
    return {"region": region, "registryId": account}


def rule(*prefixes: str, destinations: tuple[str, ...] = (str(US),), **fields: object) -> dict[str, Any]:
    filters = [{"filter": prefix, "filterType": "PREFIX_MATCH"} for prefix in prefixes]
    with_filters = {"repositoryFilters": filters} if filters else {}
    return {"destinations": [to(one) for one in destinations], **with_filters, **fields}


def encoded(*rules: object) -> bytes:
    return json.dumps({"rules": rules}).encode()


@pytest.mark.parametrize(
    ("repository", "destinations", "why"),
    [
        ("prod/app", (Destination(US, 0, "prod"), Destination(AP, 2, "")), "the first rule that names it decides"),
        ("production", (Destination(US, 0, "prod"), Destination(AP, 2, "")), "no slash is implied"),
        ("team/app", (Destination(AP, 1, "team/"), Destination(US, 1, "team/")), "two destinations of one rule"),
        ("team", (Destination(AP, 2, ""),), "shorter than the filter"),
        ("a/prod", (Destination(AP, 2, ""),), "not at the beginning"),
    ],
)
def test_which_registries_an_image_is_for(repository: str, destinations: tuple[Destination, ...], why: str) -> None:
    rules = rule("prod", "team-x"), rule("x/", "team/", destinations=(str(AP), str(US))), rule(destinations=(str(AP),))
    configuration = replication_configuration(encoded(*rules), OWN)
    assert destinations_for(configuration, RepositoryName(repository)) == destinations


def test_public_repositories_are_for_nobody_whatever_the_rules_say() -> None:
    configuration = replication_configuration(encoded(rule("public"), rule()), OWN)
    assert destinations_for(configuration, RepositoryName("public/123456789012/app")) == ()
    assert destinations_for(configuration, RepositoryName("publicity/app")) != ()


def test_both_shapes_are_one_and_come_back_as_ecr_shows_them() -> None:
    bare = {"rules": [rule("prod"), rule(deleteReplication={"enabled": True})]}
    wrapped = {"replicationConfiguration": bare}
    one, other = (replication_configuration(json.dumps(shape).encode(), OWN) for shape in (bare, wrapped))
    assert one == other
    assert json.loads(msgspec.json.encode(one)) == bare


def test_no_rules_are_for_nobody() -> None:
    assert destinations_for(replication_configuration(encoded(), OWN), RepositoryName("prod/app")) == ()


def test_as_many_as_ecr_takes() -> None:
    prefixes = [f"{n:0256}" for n in range(100)]
    configuration = replication_configuration(encoded(*[rule(*prefixes, destinations=MANY[:25])] * 25), OWN)
    assert len(destinations_for(configuration, RepositoryName(prefixes[-1]))) == 25


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "JSON"),
        (b"{}", "rules"),
        (b'{"rules": [], "rules": []}', "twice"),
        (b'{"rules": [], "hops": 1}', "hops"),
        (b'{"replicationConfiguration": {"rules": [{"destinations": 7}]}}', "$.replicationConfiguration.rules[0]"),
        (b'{"replicationConfiguration": {"rules": []}, "x": 1}', "x"),
        (b" " * 2**22, "bytes"),
        (encoded({}), "$.rules[0]"),
        (encoded(*[rule()] * 26), "$.rules"),
        (encoded(rule(destinations=(str(OWN),))), "$.rules[0].destinations[0]"),
        (encoded(rule(destinations=("11111111111/eu-west-1",))), "$.rules[0].destinations[0]"),
        (encoded(rule(destinations=("11111111111\u0661/eu-west-1",))), "$.rules[0].destinations[0]"),
        (encoded(rule(destinations=("111111111112/EU",))), "$.rules[0].destinations[0]"),
        (encoded(rule(destinations=("111111111112/eu-west-1\n",))), "$.rules[0].destinations[0]"),
        (encoded(*[rule(destinations=one) for one in (MANY[:13], MANY[13:])]), "26 different"),
        (encoded(rule("x")), "$.rules[0].repositoryFilters[0].filter"),
        (encoded(rule("x" * 257)), "$.rules[0].repositoryFilters[0].filter"),
        (encoded(rule("Prod")), "$.rules[0].repositoryFilters[0]"),
        (encoded(rule("prod*")), "$.rules[0].repositoryFilters[0]"),
        (encoded(rule(*["prod"] * 101)), "$.rules[0].repositoryFilters"),
        (encoded(rule(repositoryFilters=[])), "$.rules[0].repositoryFilters"),
        (encoded(rule(repositoryFilters=[{"filter": "prod", "filterType": "WILDCARD"}])), "filterType"),
        (encoded(rule(deleteReplication={"enabled": "no"})), "$.rules[0].deleteReplication.enabled"),
    ],
)  # fmt: skip
def test_is_refused(data: bytes, place: str) -> None:
    with pytest.raises(RuleInvalid) as refusal:
        replication_configuration(data, OWN)
    assert place in str(refusal.value)


def test_a_registry_without_peers_has_nowhere_to_replicate_to() -> None:
    local = registry_name("000000000000/local")
    assert replication_configuration(encoded(), local).rules == ()
    with pytest.raises(RuleInvalid, match="entrepot init"):
        replication_configuration(encoded(rule()), local)
