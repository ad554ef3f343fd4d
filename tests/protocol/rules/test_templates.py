"""The longest prefix that is for the cause decides, component by component; ROOT goes last."""

import pytest

from protocol.oci.names import RepositoryName
from protocol.rules.templates import Cause, Template, template_for

EVERY: frozenset[Cause] = frozenset({"REPLICATION", "PULL_THROUGH_CACHE", "CREATE_ON_PUSH"})
PUSH: frozenset[Cause] = frozenset({"CREATE_ON_PUSH"})
TEMPLATES = [
    Template("ROOT", PUSH),
    Template("prod", EVERY),
    Template("prod/team", frozenset({"REPLICATION"})),
    Template("cache/", EVERY),
]


@pytest.mark.parametrize(
    ("name", "cause", "prefix"),
    [
        ("prod/app", "CREATE_ON_PUSH", "prod"),
        ("prod/team/app", "REPLICATION", "prod/team"),
        ("prod/team/app", "CREATE_ON_PUSH", "prod"),
        ("production/app", "CREATE_ON_PUSH", "ROOT"),
        ("production/app", "REPLICATION", None),
        ("prod", "CREATE_ON_PUSH", "ROOT"),
        ("cache/x", "PULL_THROUGH_CACHE", "cache/"),
    ],
)
def test_which_template_decides(name: str, cause: Cause, prefix: str | None) -> None:
    found = template_for(TEMPLATES, RepositoryName(name), cause)
    assert (found.prefix if found else None) == prefix
    assert template_for(reversed(TEMPLATES), RepositoryName(name), cause) == found
