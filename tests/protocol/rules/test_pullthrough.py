"""A pull-through rule maps names by prefix; the longest prefix decides, and nothing maps to what is no name."""

import pytest

from protocol.auth.names import registry_name
from protocol.errors import RuleInvalid
from protocol.oci.names import RepositoryName
from protocol.rules.pullthrough import PullThroughRule, pull_through_rule, shown_prefix, upstream_name

OWN, HUB = registry_name("111111111111/us-east-1"), registry_name("111111111111/eu-west-1")


def rule(prefix: str, upstream_prefix: str | None = None) -> PullThroughRule:
    return pull_through_rule(prefix, HUB, upstream_prefix, own=OWN)


RULES = [rule("team/"), rule("mirror/", "library/"), rule("mirror/all/", "ROOT"), rule("flat/", "")]


@pytest.mark.parametrize(
    ("repository", "prefix", "name"),
    [
        ("team/app", "team/", "team/app"),
        ("mirror/nginx", "mirror/", "library/nginx"),
        ("mirror/all/team/app", "mirror/all/", "team/app"),
        ("flat/nginx", "flat/", "nginx"),
    ],
)
def test_mapped(repository: str, prefix: str, name: str) -> None:
    found = upstream_name(RULES, RepositoryName(repository))
    assert found is not None
    assert (found[0].prefix, found[1]) == (prefix, name)
    assert found == upstream_name(reversed(RULES), RepositoryName(repository))


@pytest.mark.parametrize(
    ("repository", "why"),
    [
        ("other/app", "no rule"),
        ("team", "the slash is part of the prefix"),
        ("teams/app", "the slash is part of the prefix"),
        ("a/team/app", "not at the beginning"),
        ("flat/x", "a name of one letter is none"),
        ("mirror/" + "x" * 249, "too long there"),
    ],
)
def test_not_mapped(repository: str, why: str) -> None:
    assert upstream_name(RULES, RepositoryName(repository)) is None


def test_root_is_every_name_that_no_longer_prefix_has() -> None:
    rules = [rule("ROOT"), rule("team/", "x/")]
    assert [upstream_name(rules, RepositoryName(name)) for name in ("nginx", "team/app")] == [
        (rules[0], "nginx"),
        (rules[1], "x/app"),
    ]
    assert upstream_name(rules, RepositoryName("public/123456789012/app")) is None  # Public ones come from nowhere.
    assert [shown_prefix(one.prefix) for one in rules] == ["ROOT", "team/"]


@pytest.mark.parametrize(
    "prefix", ["", "team", "/", "/team/", "team//", "Team/", "../", "a/../", "team/\n", "a" * 128 + "/"]
)
def test_is_no_prefix(prefix: str) -> None:
    with pytest.raises(RuleInvalid, match="not a prefix"):
        rule(prefix)
    if prefix:
        with pytest.raises(RuleInvalid, match="not a prefix"):
            rule("team/", prefix)


def test_a_registry_is_not_its_own_upstream() -> None:
    with pytest.raises(RuleInvalid, match="itself"):
        pull_through_rule("team/", OWN, None, own=OWN)


def test_a_registry_without_peers_has_nowhere_to_pull_from() -> None:
    with pytest.raises(RuleInvalid, match="entrepot init"):
        pull_through_rule("team/", HUB, None, own=registry_name("000000000000/local"))
