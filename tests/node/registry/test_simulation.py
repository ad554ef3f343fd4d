"""What is simulated is what would be decided, told with its reasons."""

import pytest

from node.registry.registry import Registry
from node.registry.simulation import simulate
from protocol.auth.caller import root_of
from protocol.errors import Denied, PrincipalUnknown
from tests.node.registry.test_authority import (
    ARN,
    NOBODY,
    OPERATOR,
    THEIR_ROOT,
    of_repository,
    registry,
    statement,
    user,
    world,
)
from tests.node.registry.world import ACCOUNT, APP

PULL = "ecr:BatchGetImage"
__all__ = ["registry", "world"]  # Fixtures.


async def test_a_user_is_asked_for_by_name_or_arn(registry: Registry) -> None:
    ana = await user(registry, "ana", statement(action=PULL, Sid="pulls"))
    for principal in ("ana", ana.arn):
        found = simulate(registry, OPERATOR, principal, PULL, APP, {})
        assert (found.allowed, found.document, found.statement) == (True, "user ana, policy own", "pulls")
        assert (found.principal, found.resource, found.message) == (ana.arn, ARN, "")
    denied = simulate(registry, OPERATOR, "ana", "ecr:PutImage", ARN, {})
    assert not denied.allowed
    assert denied.message.endswith("because no identity-based policy allows the ecr:PutImage action")
    with pytest.raises(PrincipalUnknown):
        simulate(registry, OPERATOR, "bob", PULL, APP, {})


async def test_a_deny_is_told_with_its_statement_and_root_is_no_operator_here(registry: Registry) -> None:
    await of_repository(registry, statement("Deny", PULL, Principal="*", Sid="nobody pulls"))
    found = simulate(registry, OPERATOR, root_of(ACCOUNT), PULL, APP, {})
    assert (found.allowed, found.document, found.statement) == (False, "repository policy", "nobody pulls")
    assert simulate(registry, OPERATOR, root_of(ACCOUNT), "ecr:PutImage", APP, {}).allowed


async def test_keys_that_are_given_go_before_the_others(registry: Registry) -> None:
    await user(registry, "ana", statement(action=PULL, Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}))
    assert simulate(registry, OPERATOR, "ana", PULL, APP, {"aws:SourceIp": ("203.0.113.1",)}).allowed
    assert not simulate(registry, OPERATOR, "ana", PULL, APP, {"aws:SourceIp": ("198.51.100.1",)}).allowed
    assert not simulate(registry, OPERATOR, "ana", PULL, APP, {}).allowed


async def test_other_accounts_and_nobody_are_asked_for_as_well(registry: Registry) -> None:
    assert not simulate(registry, OPERATOR, THEIR_ROOT.arn, PULL, APP, {}).allowed
    assert not simulate(registry, OPERATOR, "*", PULL, APP, {}).allowed
    assert simulate(registry, OPERATOR, "*", PULL, f"public/{ACCOUNT}/app", {}).allowed


async def test_who_may_not_simulate_is_refused(registry: Registry) -> None:
    with pytest.raises(Denied):
        simulate(registry, NOBODY, "*", PULL, APP, {})
