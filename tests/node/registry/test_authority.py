"""What policies decide when they meet the store: of each principal, on what lies there, as it is now."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.registry.authority import Authority
from node.registry.documents import REGISTRY_POLICY, put_document, take_document
from node.registry.identity.granting import delete_inline_policy, put_inline_policy, set_attached
from node.registry.identity.principals import create_principal, delete_principal, set_disabled
from node.registry.registry import Registry, Resource
from node.registry.repositories import delete_repository
from node.registry.resourcepolicies import delete_repository_policy, put_registry_policy, set_repository_policy
from node.registry.resourcetags import tag_repository
from node.registry.settings import create_repository, put_settings
from protocol.auth.caller import Access, Act, Caller, root_of
from protocol.auth.conditions import Keys
from protocol.auth.decision import Asked, Named, Why, decide
from protocol.auth.policy import Kind, read_policy
from protocol.errors import Denied, ScopeInsufficient
from protocol.oci.names import RepositoryName
from tests.node.registry.world import ACCOUNT, APP, OTHER, World, opened

THEIRS = "444455556666"
OPERATOR = Caller(root_of(ACCOUNT), ACCOUNT)
ROOT = Caller(root_of(ACCOUNT), ACCOUNT, address="203.0.113.9")
THEIR_ROOT = Caller(root_of(THEIRS), THEIRS, address="203.0.113.9")
NOBODY = Caller("*", "", address="203.0.113.9")
PUBLIC_APP = RepositoryName(f"public/{ACCOUNT}/app")
NO_KEYS: Keys = {}
Keyed = Mapping[str, str]
NOTHING: Keyed = {}
PULL, PUSH = "ecr:BatchGetImage", "ecr:PutImage"
ARN = f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/team/app"


@pytest.fixture
async def registry(tmp_path: Path, world: World) -> AsyncIterator[Registry]:
    async with opened(tmp_path, world) as opened_:
        opened_.policies = Authority(opened_)
        for name in (APP, OTHER, PUBLIC_APP):
            await create_repository(opened_, OPERATOR, name, {})
        yield opened_


@pytest.fixture
def world() -> World:
    return World()


def statement(effect: str = "Allow", action: str | list[str] = "ecr:*", **more: object) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, **more}


def text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


async def user(registry: Registry, name: str, *statements: dict[str, Any], tags: Keyed = NOTHING) -> Caller:
    """A user who has just logged in, with one policy."""
    made = await create_principal(registry, OPERATOR, "user", name, tags=tags)
    if statements:
        found = text(*({"Resource": "*", **one} for one in statements))
        await put_inline_policy(registry, OPERATOR, "user", name, "own", found)
    return Caller(
        made.arn, ACCOUNT, "203.0.113.9", user_id=made.id, user_name=name, tags=tuple(tags.items()), is_secure=True
    )


async def of_repository(registry: Registry, *statements: dict[str, Any], name: RepositoryName = APP) -> None:
    await set_repository_policy(registry, OPERATOR, name, text(*statements), force=True)


def why(registry: Registry, caller: Caller, action: str = PULL, name: Resource = APP, keys: Keys = NO_KEYS) -> Why:
    """Why it is decided as it is; what is asked twice is answered alike."""
    authority = registry.policies
    assert isinstance(authority, Authority)
    decision = authority.judge(caller, action, name, keys).decision
    for _ in range(2):
        try:
            registry.authorize(caller, action, name, keys)
        except Denied:
            assert not decision.allowed
        else:
            assert decision.allowed
    return decision.why


def refusal(registry: Registry, caller: Caller, action: str = PULL, name: Resource = APP) -> str:
    with pytest.raises(Denied) as caught:
        registry.authorize(caller, action, name)
    return str(caught.value)


async def test_the_identitys_policy_decides_within_the_account(registry: Registry) -> None:
    ana = await user(registry, "ana", statement(action=[PULL]))
    assert why(registry, ana) is Why.ALLOWED
    assert why(registry, ana, PUSH) is Why.NO_IDENTITY_ALLOW
    assert refusal(registry, ana, PUSH) == (
        f"User: arn:aws:iam::{ACCOUNT}:user/ana is not authorized to perform: ecr:PutImage on resource: {ARN} "
        "because no identity-based policy allows the ecr:PutImage action"
    )


async def test_managed_policies_and_those_of_groups_count(registry: Registry) -> None:
    ana = await user(registry, "ana")
    assert why(registry, ana) is Why.NO_IDENTITY_ALLOW
    arn = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
    await set_attached(registry, OPERATOR, "user", "ana", arn, is_attached=True)
    assert why(registry, ana) is Why.ALLOWED
    await set_attached(registry, OPERATOR, "user", "ana", arn, is_attached=False)
    assert why(registry, ana) is Why.NO_IDENTITY_ALLOW


async def test_the_repositorys_policy_is_enough_and_is_forgotten_with_it(registry: Registry) -> None:
    ana = await user(registry, "ana")
    await of_repository(registry, statement(action=PULL, Principal={"AWS": ana.arn}))
    assert why(registry, ana) is Why.ALLOWED
    assert why(registry, ana, name=OTHER) is Why.NO_IDENTITY_ALLOW
    await delete_repository_policy(registry, OPERATOR, APP)
    assert why(registry, ana) is Why.NO_IDENTITY_ALLOW
    await of_repository(registry, statement(action=PULL, Principal={"AWS": ana.arn}))
    await delete_repository(registry, OPERATOR, APP, force=True)
    await create_repository(registry, OPERATOR, APP, {})
    assert why(registry, ana) is Why.NO_IDENTITY_ALLOW


async def test_a_refusal_does_not_tell_whether_the_repository_is_there(registry: Registry) -> None:
    ana = await user(registry, "ana")
    await of_repository(registry, statement("Deny", Principal="*"))
    missing = RepositoryName("team/none")
    assert refusal(registry, ana) == refusal(registry, ana, name=missing).replace("team/none", "team/app")
    assert "no identity-based policy" in refusal(registry, ana)


async def test_who_would_be_allowed_is_told_of_an_explicit_deny(registry: Registry) -> None:
    ana = await user(registry, "ana", statement())
    await of_repository(registry, statement("Deny", PUSH, Principal="*"))
    assert why(registry, ana) is Why.ALLOWED
    assert why(registry, ana, PUSH) is Why.EXPLICIT_DENY
    assert refusal(registry, ana, PUSH).endswith("with an explicit deny in a resource-based policy")
    assert why(registry, ROOT, PUSH) is Why.EXPLICIT_DENY
    assert why(registry, OPERATOR, PUSH) is Why.OPERATOR


async def test_another_account_needs_both_sides(registry: Registry) -> None:
    assert why(registry, THEIR_ROOT) is Why.NO_RESOURCE_ALLOW
    assert refusal(registry, THEIR_ROOT).endswith(
        "because no resource-based policy allows the ecr:BatchGetImage action"
    )
    await of_repository(registry, statement(action=PULL, Principal={"AWS": THEIRS}))
    assert why(registry, THEIR_ROOT) is Why.ALLOWED
    assert why(registry, THEIR_ROOT, PUSH) is Why.NO_RESOURCE_ALLOW
    user_there = Caller(f"arn:aws:iam::{THEIRS}:user/bob", THEIRS, address="203.0.113.9")
    assert why(registry, user_there) is Why.NO_RESOURCE_ALLOW  # What its account allows it, nobody here knows.


async def test_the_registrys_policy_lets_another_registry_replicate_also_into_what_does_not_exist(
    registry: Registry,
) -> None:
    new = RepositoryName("team/new")
    assert why(registry, THEIR_ROOT, "ecr:ReplicateImage", new) is Why.NO_RESOURCE_ALLOW
    await put_registry_policy(
        registry,
        OPERATOR,
        text(
            statement(
                action=["ecr:ReplicateImage", "ecr:CreateRepository"],
                Principal={"AWS": root_of(THEIRS)},
                Resource=f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/team/*",
            )
        ),
    )
    assert why(registry, THEIR_ROOT, "ecr:ReplicateImage", new) is Why.ALLOWED
    assert why(registry, THEIR_ROOT, "ecr:CreateRepository", new) is Why.ALLOWED
    assert why(registry, THEIR_ROOT, "ecr:ReplicateImage", OTHER) is Why.NO_RESOURCE_ALLOW
    assert why(registry, THEIR_ROOT, PULL, new) is Why.NO_RESOURCE_ALLOW


async def test_policies_of_resources_let_nobody_log_in_or_manage_principals(registry: Registry) -> None:
    ana = await user(registry, "ana")
    await put_registry_policy(registry, OPERATOR, text(statement(action="*", Principal={"AWS": ana.arn}, Resource="*")))
    assert why(registry, ana) is Why.ALLOWED
    assert why(registry, ana, "ecr:DescribeRegistry", None) is Why.ALLOWED
    for action in ("ecr:GetAuthorizationToken", "iam:CreateUser", "entrepot:Backup", "sts:AssumeRole"):
        assert why(registry, ana, action, None) is Why.NO_IDENTITY_ALLOW
    await put_registry_policy(
        registry, OPERATOR, text(statement("Deny", action="*", Principal={"AWS": ana.arn}, Resource="*"))
    )
    await put_inline_policy(registry, OPERATOR, "user", "ana", "own", text(statement(action="*", Resource="*")))
    assert why(registry, ana, "ecr:GetAuthorizationToken", None) is Why.EXPLICIT_DENY


async def test_who_is_gone_or_disabled_may_nothing_whatever_policies_still_say(registry: Registry) -> None:
    ana, bob = await user(registry, "ana", statement()), await user(registry, "bob", statement())
    await of_repository(registry, statement(action=PULL, Principal={"AWS": [ana.arn, bob.arn]}))
    assert why(registry, ana) is why(registry, bob) is Why.ALLOWED
    await set_disabled(registry, OPERATOR, "ana", is_disabled=True)
    assert why(registry, ana) is Why.NO_IDENTITY_ALLOW
    await delete_principal(registry, OPERATOR, "user", "bob")
    assert why(registry, bob) is Why.NO_IDENTITY_ALLOW
    again = await user(registry, "bob")
    assert why(registry, again) is Why.ALLOWED  # The policy names an ARN, and that is his now.
    assert why(registry, bob) is Why.NO_IDENTITY_ALLOW  # What was issued to the one before stays void.


async def test_anyone_pulls_what_is_public_and_nothing_else(registry: Registry) -> None:
    await of_repository(registry, statement("Deny", action="*", Principal="*"), name=PUBLIC_APP)
    await of_repository(registry, statement(Principal="*"))
    for action in (PULL, "ecr:GetDownloadUrlForLayer", "ecr:ListImages"):
        assert why(registry, NOBODY, action, PUBLIC_APP) is Why.PUBLIC
        assert why(registry, NOBODY, action) is Why.NO_IDENTITY_ALLOW
    assert why(registry, NOBODY, PUSH, PUBLIC_APP) is Why.NO_IDENTITY_ALLOW
    assert refusal(registry, NOBODY, PUSH, PUBLIC_APP).startswith(
        "User: anonymous is not authorized to perform: ecr-public:PutImage on resource: "
        f"arn:aws:ecr-public::{ACCOUNT}:repository/app"
    )


async def test_a_public_repository_is_pushed_to_by_policy_in_its_own_words(registry: Registry) -> None:
    ana, bob = await user(registry, "ana", statement(action="ecr:*")), await user(registry, "bob")
    assert why(registry, ana, PUSH, PUBLIC_APP) is Why.NO_IDENTITY_ALLOW
    await of_repository(registry, statement(action="ecr-public:PutImage", Principal={"AWS": bob.arn}), name=PUBLIC_APP)
    assert why(registry, bob, PUSH, PUBLIC_APP) is Why.ALLOWED
    assert why(registry, bob, "ecr-public:PutImage", PUBLIC_APP) is Why.ALLOWED
    assert why(registry, bob, "ecr:BatchDeleteImage", PUBLIC_APP) is Why.NO_IDENTITY_ALLOW


async def test_a_token_is_an_upper_bound_and_holds_for_one_life(registry: Registry) -> None:
    ana = await user(registry, "ana", statement())
    scoped = msgspec.structs.replace(ana, access=(Access(APP, 1, (PULL,)),))
    assert why(registry, scoped) is Why.ALLOWED
    assert why(registry, scoped, PUSH) is Why.NO_SCOPE_ALLOW
    for _ in range(2):  # Decided, and remembered: either way another token may do.
        with pytest.raises(ScopeInsufficient):
            registry.policies(scoped, PUSH, APP, {})
    assert why(registry, scoped, name=OTHER) is Why.NO_SCOPE_ALLOW
    assert why(registry, scoped, "ecr:DescribeRegistry", None) is Why.NO_SCOPE_ALLOW
    assert why(registry, scoped, name=PUBLIC_APP) is Why.PUBLIC  # Anyone may, who shows less or nothing.
    await delete_repository(registry, OPERATOR, APP, force=True)
    await create_repository(registry, OPERATOR, APP, {})
    assert why(registry, scoped) is Why.NO_SCOPE_ALLOW
    assert why(registry, ana) is Why.ALLOWED
    powerless = await user(registry, "bob")
    with_scope = msgspec.structs.replace(powerless, access=(Access(APP, 0, (PULL,)),))
    assert why(registry, with_scope) is Why.NO_IDENTITY_ALLOW


async def test_a_sessions_policy_has_to_allow_as_well(registry: Registry) -> None:
    ana = await user(registry, "ana", statement())
    narrowed = msgspec.structs.replace(ana, session_policy=text(statement(action=PULL, Resource="*")))
    assert why(registry, narrowed) is Why.ALLOWED
    assert why(registry, narrowed, PUSH) is Why.NO_SESSION_ALLOW
    assert refusal(registry, narrowed, PUSH).endswith("because no session policy allows the ecr:PutImage action")
    broken = msgspec.structs.replace(ana, session_policy="{")
    assert why(registry, broken) is Why.UNREADABLE


async def test_a_document_that_cannot_be_read_denies(registry: Registry) -> None:
    ana = await user(registry, "ana", statement())
    await put_settings(registry, Act(OPERATOR, "test", APP), APP, {"policy": '{"Statement": 7}'})
    assert why(registry, ana) is Why.UNREADABLE
    assert why(registry, ROOT) is Why.UNREADABLE
    assert why(registry, ana, name=OTHER) is Why.ALLOWED


async def test_conditions_see_tags_address_transport_and_principal(registry: Registry) -> None:
    def condition(operator: str, key: str, value: str) -> dict[str, Any]:
        return statement(action=PULL, Condition={operator: {key: value}})

    rows = [
        ("StringEquals", "aws:ResourceTag/team", "red"),
        ("StringEquals", "ecr:ResourceTag/Team", "red"),
        ("IpAddress", "aws:SourceIp", "203.0.113.0/24"),
        ("Bool", "aws:SecureTransport", "true"),
        ("StringEquals", "aws:PrincipalTag/cost", "7"),
        ("StringLike", "aws:username", "user?"),
        ("ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:user/*"),
        ("StringEquals", "aws:PrincipalAccount", ACCOUNT),
        ("StringLike", "aws:userid", "AIDA*"),
        ("DateGreaterThan", "aws:CurrentTime", "2027-01-01T00:00:00Z"),
        ("NumericGreaterThan", "aws:EpochTime", "1"),
    ]
    await tag_repository(registry, OPERATOR, APP, {"team": "red"})
    found = ROOT
    for at, row in enumerate(rows):
        found = await user(registry, f"user{at}", condition(*row), tags={"cost": "7"})
        assert why(registry, found) is Why.ALLOWED, row
    elsewhere = msgspec.structs.replace(found, address="198.51.100.1", is_secure=False, tags=())
    await put_inline_policy(
        registry,
        OPERATOR,
        "user",
        "user10",
        "own",
        text(*({**condition(*row), "Resource": "*"} for row in rows[2:5])),
    )
    assert why(registry, found) is Why.ALLOWED
    assert why(registry, elsewhere) is Why.NO_IDENTITY_ALLOW


async def test_tags_of_a_request_decide_about_a_creation(registry: Registry) -> None:
    mine = statement(action="ecr:CreateRepository", Condition={"StringEquals": {"aws:RequestTag/team": "red"}})
    ana = await user(registry, "ana", mine)
    new = RepositoryName("team/new")
    assert why(registry, ana, "ecr:CreateRepository", new) is Why.NO_IDENTITY_ALLOW
    assert why(registry, ana, "ecr:CreateRepository", new, {"aws:requesttag/team": ("red",)}) is Why.ALLOWED
    assert why(registry, ana, "ecr:CreateRepository", new, {"aws:requesttag/team": ("blue",)}) is Why.NO_IDENTITY_ALLOW


async def test_what_depends_on_the_time_is_asked_again(
    registry: Registry, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = statement(action=PULL, Condition={"NumericLessThan": {"aws:EpochTime": str(int(world.now) + 10)}})
    ana = await user(registry, "ana", until)
    ticks = [0.0]
    monkeypatch.setattr("node.registry.authority.monotonic", lambda: ticks[0])
    assert why(registry, ana) is Why.ALLOWED
    world.now += 11
    ticks[0] += 1.1
    assert why(registry, ana) is Why.NO_IDENTITY_ALLOW


async def test_a_registrys_actions_are_covered_by_a_star_alone(registry: Registry) -> None:
    ana = await user(registry, "ana", statement(Resource=f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/*"))
    assert why(registry, ana) is Why.ALLOWED
    assert why(registry, ana, "ecr:DescribeRegistry", None) is Why.NO_IDENTITY_ALLOW


Statements = list[dict[str, Any]]
DOCUMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
            "Action": st.sampled_from([PULL, PUSH, "ecr:*", "*"]),
            "Resource": st.sampled_from(
                ["*", ARN, ARN.replace("team/app", "team/*"), ARN.replace("team/app", "other")]
            ),
            "Condition": st.sampled_from(
                [{}, {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {"Null": {"aws:ResourceTag/team": "false"}}]
            ),
        }
    ),
    max_size=2,
)


async def test_what_lies_in_the_store_is_decided_as_the_documents_alone_would_be(tmp_path: Path) -> None:
    """The laws of decisions hold for the pure function; so they hold for what the store says."""
    async with opened(tmp_path, World()) as registry:
        registry.policies = Authority(registry)
        for name in (APP, OTHER):
            await create_repository(registry, OPERATOR, name, {})
        ana = await user(registry, "ana")
        runs: list[tuple[Statements, Statements, Statements, bool]] = []

        @settings(max_examples=60, database=None)
        @given(DOCUMENTS, DOCUMENTS, DOCUMENTS, st.booleans())
        def collect(own: Statements, of_app: Statements, of_registry: Statements, is_tagged: bool) -> None:
            runs.append((own, of_app, of_registry, is_tagged))

        collect()
        for own, of_app, of_registry, is_tagged in runs:
            for each in (*of_app, *of_registry):
                each["Principal"] = {"AWS": ana.arn}
            await set_inline(registry, own)
            for put, found in ((put_app_policy, of_app), (put_registry_text, of_registry)):
                await put(registry, text(*found) if found else None)
            await put_settings(registry, Act(OPERATOR, "test", APP), APP, {"tag:team": "red" if is_tagged else None})
            documents = [
                Named(kind.value, read_policy(text(*found).encode(), kind))
                for kind, found in ((Kind.IDENTITY, own), (Kind.REPOSITORY, of_app), (Kind.REGISTRY, of_registry))
                if found
            ]
            for action in (PULL, PUSH):
                keys = {"aws:sourceip": (ana.address,)} | ({"aws:resourcetag/team": ("red",)} if is_tagged else {})
                wanted = decide(Asked(ana.arn, ACCOUNT, action, ARN, ACCOUNT, keys), documents)
                assert registry.allows(ana, action, APP) == wanted.allowed, (own, of_app, of_registry, is_tagged)


async def set_inline(registry: Registry, statements: list[dict[str, Any]]) -> None:
    directory = registry.directory.get()
    found = directory.by_name("user", "ana")
    assert found is not None
    if statements:
        await put_inline_policy(registry, OPERATOR, "user", "ana", "own", text(*statements))
    elif "own" in found.inline:
        await delete_inline_policy(registry, OPERATOR, "user", "ana", "own")


async def put_app_policy(registry: Registry, policy: str | None) -> None:
    await put_settings(registry, Act(OPERATOR, "test", APP), APP, {"policy": policy})


async def put_registry_text(registry: Registry, policy: str | None) -> None:
    if policy is not None:
        await put_document(registry, Act(OPERATOR, "test"), REGISTRY_POLICY, policy)
    else:
        await take_document(registry, Act(OPERATOR, "test"), REGISTRY_POLICY)
