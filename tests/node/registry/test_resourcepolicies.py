"""Policies and lifecycle policies are kept as the text that was given, or refused with the place."""

from collections.abc import Callable
from functools import partial

import pytest

from node.registry.identity.principals import create_principal
from node.registry.lifecycle import delete_lifecycle_policy, get_lifecycle_policy, put_lifecycle_policy
from node.registry.registry import Registry
from node.registry.resourcepolicies import (
    delete_registry_policy,
    delete_repository_policy,
    get_registry_policy,
    get_repository_policy,
    put_registry_policy,
    set_repository_policy,
)
from node.registry.settings import create_repository
from protocol.auth.caller import Caller
from protocol.errors import (
    Denied,
    LifecyclePolicyUnknown,
    NameUnknown,
    ParameterInvalid,
    RegistryPolicyUnknown,
    RepositoryPolicyUnknown,
)
from tests.node.registry.world import ALICE, APP, EVE, OTHER, World

POLICY = (
    '{ "Version":"2012-10-17","Statement":[{"Sid":"let  them","Effect":"Allow","Principal":"*","Action":"ecr:Get*"}]}'
)
REGISTRY = (
    '{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Principal":{"AWS":"222222222222"},'
    '"Action":["ecr:ReplicateImage"],"Resource":["arn:aws:ecr:eu-west-1:111111111111:repository/*"]}]}'
)
LIFECYCLE = (
    '{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", '
    '"countUnit": "days", "countNumber": 14}, "action": {"type": "expire"}}]}'
)


def deny(action: str, principal: str = '"*"') -> str:
    return f'{{"Statement":[{{"Effect":"Deny","Principal":{principal},"Action":"{action}"}}]}}'


@pytest.fixture
async def with_app(registry: Registry) -> Registry:
    await create_repository(registry, ALICE, APP, {})
    return registry


async def test_a_policy_is_answered_as_it_was_put_and_goes(with_app: Registry) -> None:
    await set_repository_policy(with_app, ALICE, APP, POLICY, force=False)
    assert get_repository_policy(with_app, ALICE, APP) == POLICY
    assert await delete_repository_policy(with_app, ALICE, APP) == POLICY
    with pytest.raises(RepositoryPolicyUnknown, match=r"for the repository with name 'team/app' in the registry with"):
        get_repository_policy(with_app, ALICE, APP)
    with pytest.raises(RepositoryPolicyUnknown):
        await delete_repository_policy(with_app, ALICE, APP)
    for call in (get_repository_policy, partial(set_repository_policy, text=POLICY, force=False)):
        with pytest.raises(NameUnknown, match=r"The repository with name 'other' does not exist"):
            await _called(call, with_app, ALICE, OTHER)


async def _called(call: Callable[..., object], *given: object) -> None:
    result = call(*given)
    if hasattr(result, "__await__"):
        await result


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject"}]}', r"Statement\[0\].Action"),
        ('{"Statement":[{"Effect":"Allow","Action":"ecr:*"}]}', "no Principal"),
        ('{"Statement":[{"Effect":"Allow","Principal":{"AWS":"x"},"Action":"ecr:*"}]}', r"Principal.AWS: 'x'"),
    ],
)
async def test_what_is_no_policy_is_refused_in_the_words_that_terraform_waits_for(
    with_app: Registry, text: str, place: str
) -> None:
    words = "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"
    with pytest.raises(ParameterInvalid, match=rf"{words} \(.*{place}"):
        await set_repository_policy(with_app, ALICE, APP, text, force=True)


@pytest.mark.parametrize("principal", ['"*"', '{"AWS":"111111111111"}'])
async def test_nobody_locks_themselves_out_by_mistake(with_app: Registry, principal: str) -> None:
    text = deny("ecr:SetRepositoryPolicy", principal)
    with pytest.raises(ParameterInvalid, match=r"Invalid repository policy provided' \(it would keep you from"):
        await set_repository_policy(with_app, ALICE, APP, text, force=False)
    await set_repository_policy(with_app, ALICE, APP, text, force=True)
    assert get_repository_policy(with_app, ALICE, APP) == text


async def test_others_may_be_locked_out(with_app: Registry) -> None:
    other = '{"AWS":"arn:aws:iam::222222222222:user/eve"}'
    for text in (deny("ecr:*", other), deny("ecr:PutImage")):
        await set_repository_policy(with_app, ALICE, APP, text, force=False)


async def test_whose_right_comes_from_the_policy_keeps_it(with_app: Registry, world: World) -> None:
    bob = await create_principal(with_app, ALICE, "user", "bob")
    caller = Caller(bob.arn, with_app.name.account, "10.0.0.1", user_id=bob.id, user_name="bob")
    world.allowed.add(caller)
    his = f'{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{bob.arn}"}},"Action":"ecr:*"}}]}}'
    await set_repository_policy(with_app, ALICE, APP, his, force=False)
    with pytest.raises(ParameterInvalid, match="keep you"):
        await set_repository_policy(with_app, caller, APP, his.replace("ecr:*", "ecr:Get*"), force=False)
    await set_repository_policy(with_app, caller, APP, his.replace("ecr:*", "ecr:SetRepositoryPolicy"), force=False)
    elsewhere = his.replace('"Action"', '"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}},"Action"')
    with pytest.raises(ParameterInvalid, match="keep you"):
        await set_repository_policy(with_app, caller, APP, elsewhere, force=False)


@pytest.mark.parametrize("kind", ["iam::111111111111:user/nobody", "sts::111111111111:assumed-role/none/x"])
async def test_a_principal_that_does_not_exist_makes_a_policy_invalid(with_app: Registry, kind: str) -> None:
    theirs = f'{{"AWS":["222222222222","arn:aws:iam::222222222222:role/x","arn:aws:{kind}"]}}'
    text = deny("ecr:PutImage", theirs)
    with pytest.raises(ParameterInvalid, match=r"policy provided' \(Statement\[0\].Principal: there is"):
        await set_repository_policy(with_app, ALICE, APP, text, force=True)
    with pytest.raises(ParameterInvalid, match="Invalid registry policy provided"):
        await put_registry_policy(with_app, ALICE, text.replace('"Action"', '"Resource":"*","Action"'))


async def test_the_policy_of_the_registry_is_one_document(registry: Registry) -> None:
    with pytest.raises(RegistryPolicyUnknown, match="in the registry with id '111111111111'"):
        get_registry_policy(registry, ALICE)
    await put_registry_policy(registry, ALICE, REGISTRY)
    assert get_registry_policy(registry, ALICE) == REGISTRY
    with pytest.raises(ParameterInvalid, match=r"Invalid registry policy provided' \(Statement\[0\]: no Resource"):
        await put_registry_policy(registry, ALICE, POLICY)
    assert await delete_registry_policy(registry, ALICE) == REGISTRY
    with pytest.raises(RegistryPolicyUnknown):
        await delete_registry_policy(registry, ALICE)
    await put_registry_policy(registry, ALICE, REGISTRY)  # It may come again.
    assert get_registry_policy(registry, ALICE) == REGISTRY


async def test_a_lifecycle_policy_is_answered_as_it_was_put_and_was_never_acted_on(with_app: Registry) -> None:
    await put_lifecycle_policy(with_app, ALICE, APP, LIFECYCLE)
    stored = get_lifecycle_policy(with_app, ALICE, APP)
    assert (stored.text, stored.evaluated) == (LIFECYCLE, None)
    assert await delete_lifecycle_policy(with_app, ALICE, APP) == stored
    for call in (get_lifecycle_policy, delete_lifecycle_policy):
        with pytest.raises(LifecyclePolicyUnknown, match="Lifecycle policy does not exist for the repository with"):
            await _called(call, with_app, ALICE, APP)
    words = r"'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure:.*rulePriority"
    with pytest.raises(ParameterInvalid, match=words):
        await put_lifecycle_policy(with_app, ALICE, APP, LIFECYCLE.replace('"rulePriority": 1', '"rulePriority": 0'))


@pytest.mark.parametrize(
    "call",
    [
        partial(set_repository_policy, text=POLICY, force=False),
        get_repository_policy,
        delete_repository_policy,
        lambda registry, caller, _name: put_registry_policy(registry, caller, REGISTRY),
        lambda registry, caller, _name: get_registry_policy(registry, caller),
        lambda registry, caller, _name: delete_registry_policy(registry, caller),
        partial(put_lifecycle_policy, text=LIFECYCLE),
        get_lifecycle_policy,
        delete_lifecycle_policy,
    ],
)
async def test_who_may_not_learns_nothing(registry: Registry, call: Callable[..., object]) -> None:
    with pytest.raises(Denied):  # The repository does not exist, and nobody is told.
        await _called(call, registry, EVE, APP)
