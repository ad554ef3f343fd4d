"""What another node may fetch here: all within the account; from another account what a policy or a rule says."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.registry.authority import Authority
from node.registry.registry import Registry
from node.registry.replication import put_replication
from node.registry.resourcepolicies import set_repository_policy
from node.registry.serving import open_chunks, send_manifest, send_map
from protocol.auth.caller import Caller, root_of
from protocol.auth.names import Account, NodeId, NodeName, Region, RegistryName
from protocol.errors import Denied
from protocol.oci.digest import digest_of
from protocol.oci.names import RepositoryName
from tests.node.registry.world import ACCOUNT, APP, OTHER, TAG, World, opened, push_image

OURS = NodeName(RegistryName(ACCOUNT, Region("us-east-1")), NodeId("abcdefghijklmnop"))
THEIRS = NodeName(RegistryName(Account("444455556666"), Region("eu-west-1")), NodeId("abcdefghijklmnop"))
OPERATOR = Caller(root_of(ACCOUNT), ACCOUNT)
BLOB = b"a layer"
NONE = RepositoryName("team/none")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(tmp_path, World()) as opened_:
        for name in (APP, OTHER):
            await push_image(opened_, BLOB, tags=(TAG,), name=name)
        opened_.policies = Authority(opened_)
        yield opened_


async def fetches(registry: Registry, peer: NodeName) -> None:
    (await open_chunks(registry, peer, APP, digest_of(BLOB))).release()
    await send_map(registry, peer, APP, digest_of(BLOB))
    await send_manifest(registry, peer, APP, TAG)


async def is_refused(registry: Registry, peer: NodeName, *names: RepositoryName) -> None:
    digest = digest_of(BLOB)
    said = set()
    for name in names:
        with pytest.raises(Denied) as caught:
            await open_chunks(registry, peer, name, digest)
        said.add(str(caught.value).replace(name, "X"))
        with pytest.raises(Denied):
            await send_map(registry, peer, name, digest)
        with pytest.raises(Denied):
            await send_manifest(registry, peer, name, TAG)
    assert len(said) == 1


async def test_nodes_of_the_account_fetch_all(registry: Registry) -> None:
    await fetches(registry, OURS)


async def test_another_account_learns_nothing_without_a_policy(registry: Registry) -> None:
    await is_refused(registry, THEIRS, APP, OTHER, NONE)


async def test_a_policy_of_the_repository_lets_another_account_fetch_from_it_alone(registry: Registry) -> None:
    allow = {"Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}
    policy = {"Statement": {**allow, "Principal": {"AWS": THEIRS.registry.account}}}
    await set_repository_policy(registry, OPERATOR, APP, json.dumps(policy), force=True)
    await fetches(registry, THEIRS)
    await is_refused(registry, THEIRS, OTHER, NONE)


async def test_what_a_rule_sends_to_another_registry_that_one_fetches(registry: Registry) -> None:
    rule = {
        "destinations": [{"region": THEIRS.registry.region, "registryId": THEIRS.registry.account}],
        "repositoryFilters": [{"filter": "team/", "filterType": "PREFIX_MATCH"}],
    }
    await put_replication(registry, OPERATOR, json.dumps({"rules": [rule]}).encode())
    await fetches(registry, THEIRS)
    await is_refused(registry, THEIRS, OTHER)
    elsewhere = NodeName(RegistryName(THEIRS.registry.account, Region("us-east-1")), THEIRS.node)
    await is_refused(registry, elsewhere, APP, OTHER, NONE)
