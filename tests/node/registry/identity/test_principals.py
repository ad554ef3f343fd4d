"""Users, groups, roles, policies and keys: who there is, what each may do, and what is over stays over."""

import json

import pytest

from node.registry.identity.directory import Directory
from node.registry.identity.first import make_first_administrator
from node.registry.identity.granting import delete_inline_policy, put_inline_policy, set_attached
from node.registry.identity.keys import create_key, delete_key, is_usable, list_keys, secret_of, set_key_active
from node.registry.identity.managed import create_policy, delete_policy, list_policies, update_policy
from node.registry.identity.principals import (
    MAX_GROUPS,
    create_principal,
    delete_principal,
    get_principal,
    list_principals,
    set_disabled,
    set_member,
    set_password,
    set_trust,
)
from node.registry.identity.tags import change_tags
from node.registry.registers import put_register
from node.registry.registry import Registry
from node.store.registers import register_key
from node.store.table import WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.managed import MANAGED
from protocol.auth.principals import PrincipalKind
from protocol.errors import (
    Denied,
    LimitExceeded,
    ParameterInvalid,
    PolicyInvalid,
    PrincipalExists,
    PrincipalUnknown,
    TagsInvalid,
)
from protocol.sync.entries import Setting
from tests.node.registry.world import ALICE, EVE, World

PULL = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ecr:BatchGetImage", "Resource": "*"}}'
TRUST = json.dumps(
    {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "sts:AssumeRole"}]}
)
READ_ONLY = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"


def names_of(directory: Directory, user: str) -> list[str]:
    found = directory.by_name("user", user)
    assert found is not None
    return [one.name for one in directory.identity_policies(Caller(found.arn, "111111111111", user_id=found.id))]


async def test_a_user_is_created_found_and_deleted_for_good(registry: Registry) -> None:
    bob = await create_principal(registry, ALICE, "user", "bob", tags={"team": "a"})
    assert (bob.arn, bob.tags, bob.id[:4], len(bob.id)) == (
        "arn:aws:iam::111111111111:user/bob",
        (("team", "a"),),
        "AIDA",
        20,
    )
    assert get_principal(registry, ALICE, "user", "bob") == bob
    with pytest.raises(PrincipalExists):
        await create_principal(registry, ALICE, "user", "bob")
    key = await create_key(registry, ALICE, "bob")
    await delete_principal(registry, ALICE, "user", "bob")
    directory = registry.directory.get()
    assert (directory.by_id(bob.id), directory.access_key(key.key.id)) == (None, None)
    again = await create_principal(registry, ALICE, "user", "bob")
    assert again.id != bob.id
    await put_register(registry, Act(ALICE, "iam:UpdateUser"), "user", bob.id, {"disabled": None})
    assert registry.directory.get().by_id(bob.id) is None, "what a replica writes late brings nobody back"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "a\n", "x" * 65, "*"])
async def test_a_name_that_is_none_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(ParameterInvalid):
        await create_principal(registry, ALICE, "user", name)


async def test_policies_come_from_the_user_from_those_attached_and_from_groups(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    await create_principal(registry, ALICE, "group", "ci")
    await put_inline_policy(registry, ALICE, "user", "bob", "own", PULL)
    await put_inline_policy(registry, ALICE, "group", "ci", "shared", PULL)
    mine = await create_policy(registry, ALICE, "mine", PULL)
    await set_attached(registry, ALICE, "user", "bob", mine.arn, is_attached=True)
    await set_attached(registry, ALICE, "group", "ci", READ_ONLY, is_attached=True)
    own = ["user bob, policy own", "arn:aws:iam::111111111111:policy/mine"]
    assert names_of(registry.directory.get(), "bob") == own
    await set_member(registry, ALICE, "ci", "bob", is_in=True)
    assert names_of(registry.directory.get(), "bob") == [*own, "group ci, policy shared", READ_ONLY]
    await set_member(registry, ALICE, "ci", "bob", is_in=False)
    assert names_of(registry.directory.get(), "bob") == own
    await delete_inline_policy(registry, ALICE, "user", "bob", "own")
    await set_attached(registry, ALICE, "user", "bob", mine.arn, is_attached=False)
    assert names_of(registry.directory.get(), "bob") == []


async def test_who_is_disabled_has_no_policies_and_what_was_issued_before_is_over(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    await put_inline_policy(registry, ALICE, "user", "bob", "own", PULL)
    await set_disabled(registry, ALICE, "bob", is_disabled=True)
    assert names_of(registry.directory.get(), "bob") == []
    await set_disabled(registry, ALICE, "bob", is_disabled=False)
    assert names_of(registry.directory.get(), "bob") == ["user bob, policy own"]
    assert get_principal(registry, ALICE, "user", "bob").generation == 3


async def test_a_document_that_is_none_is_refused_with_its_place(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    with pytest.raises(PolicyInvalid, match=r"Statement\[0\].Effect|Effect"):
        await put_inline_policy(registry, ALICE, "user", "bob", "own", PULL.replace("Allow", "allow"))
    with pytest.raises(PolicyInvalid, match="10240"):
        await create_policy(registry, ALICE, "long", PULL + " " * 10_240)
    with pytest.raises(PolicyInvalid):
        await create_principal(registry, ALICE, "role", "deploy", trust=PULL)
    with pytest.raises(ParameterInvalid):
        await create_principal(registry, ALICE, "role", "deploy")
    with pytest.raises(ParameterInvalid):
        await create_principal(registry, ALICE, "user", "eve", trust=TRUST)


async def test_a_role_says_who_may_assume_it(registry: Registry) -> None:
    await create_principal(registry, ALICE, "role", "deploy", trust=TRUST, max_session=900, description="of CI")
    await set_trust(registry, ALICE, "deploy", TRUST + " ")
    role = get_principal(registry, ALICE, "role", "deploy")
    assert (role.trust, role.max_session, role.description) == (TRUST + " ", 900, "of CI")
    with pytest.raises(ParameterInvalid):
        await create_principal(registry, ALICE, "role", "long", trust=TRUST, max_session=43_201)


async def test_a_key_is_shown_once_and_kept_sealed(registry: Registry, world: World) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    new = await create_key(registry, ALICE, "bob", expires=int(world.now * 1000) + 1000)
    secret = new.secret.value.decode()
    assert (new.key.id[:4], len(new.key.id), len(secret)) == ("AKIA", 20, 40)
    assert secret not in repr(new)
    (shown,) = list_keys(registry, ALICE, "bob")
    kept = shown.key
    assert secret not in repr(kept)
    assert secret_of(registry, kept) == secret
    assert (is_usable(kept, world.now), is_usable(kept, world.now + 1)) == (True, False)
    await create_key(registry, ALICE, "bob")
    with pytest.raises(LimitExceeded):
        await create_key(registry, ALICE, "bob")
    with pytest.raises(ParameterInvalid):
        await create_key(registry, ALICE, "bob", expires=int(world.now * 1000))


async def test_a_sealed_secret_opens_for_its_own_key_alone(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    one, other = await create_key(registry, ALICE, "bob"), await create_key(registry, ALICE, "bob")
    moved = {"secret": one.key.secret}
    await put_register(registry, Act(ALICE, "iam:UpdateAccessKey"), "access-key", other.key.id, moved)
    found = registry.directory.get().access_key(other.key.id)
    assert found is not None
    assert secret_of(registry, found) is None
    assert {shown.key.id for shown in list_keys(registry, ALICE, "bob") if shown.is_lost} == {other.key.id}


async def test_a_key_that_is_switched_off_or_deleted_ends_what_was_issued_to_its_user(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    key = (await create_key(registry, ALICE, "bob")).key.id
    await set_key_active(registry, ALICE, key, is_active=False)
    assert [one.key.is_active for one in list_keys(registry, ALICE, "bob")] == [False]
    await set_key_active(registry, ALICE, key, is_active=True)
    assert get_principal(registry, ALICE, "user", "bob").generation == 2
    await delete_key(registry, ALICE, key)
    assert list_keys(registry, ALICE, "bob") == []
    assert get_principal(registry, ALICE, "user", "bob").generation == 3
    with pytest.raises(PrincipalUnknown):
        await delete_key(registry, ALICE, key)


async def test_a_managed_policy_goes_when_nobody_has_it(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    mine = await create_policy(registry, ALICE, "mine", PULL, description="d")
    assert {one.arn for one in list_policies(registry, ALICE)} == {*MANAGED, mine.arn}
    await set_attached(registry, ALICE, "user", "bob", mine.arn, is_attached=True)
    assert (await update_policy(registry, ALICE, mine.arn, PULL + " ")).document == PULL + " "
    with pytest.raises(PrincipalExists, match="user bob"):
        await delete_policy(registry, ALICE, mine.arn)
    await set_attached(registry, ALICE, "user", "bob", mine.arn, is_attached=False)
    await delete_policy(registry, ALICE, mine.arn)
    with pytest.raises(PrincipalUnknown):
        await set_attached(registry, ALICE, "user", "bob", mine.arn, is_attached=True)
    for attempt in (update_policy(registry, ALICE, READ_ONLY, PULL), delete_policy(registry, ALICE, READ_ONLY)):
        with pytest.raises(ParameterInvalid):
            await attempt


async def test_of_two_with_one_name_the_older_has_it(registry: Registry) -> None:
    """As when two nodes that could not reach each other made both."""
    for unique_id, created in (("AIDAB", 2), ("AIDAC", 1), ("AIDAA", 3)):
        fields: dict[str, Setting] = {"name": "bob", "created": created}
        await put_register(registry, Act(ALICE, "iam:CreateUser"), "user", unique_id, fields)
    directory = registry.directory.get()
    found = directory.by_name("user", "bob")
    assert found is not None
    assert found.id == "AIDAC"
    assert [one.id for one in directory.principals("user")] == ["AIDAC"]
    assert directory.by_arn(found.arn) == found


async def test_groups_are_bounded_and_go_without_their_members(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    for number in range(MAX_GROUPS + 1):
        await create_principal(registry, ALICE, "group", f"g{number}")
    for number in range(MAX_GROUPS):
        await set_member(registry, ALICE, f"g{number}", "bob", is_in=True)
    with pytest.raises(LimitExceeded):
        await set_member(registry, ALICE, f"g{MAX_GROUPS}", "bob", is_in=True)
    await delete_principal(registry, ALICE, "group", "g0")
    assert len(get_principal(registry, ALICE, "user", "bob").groups) == MAX_GROUPS - 1
    assert len(list_principals(registry, ALICE, "group")) == MAX_GROUPS


async def test_passwords_and_tags_are_set_and_taken_away(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    await set_password(registry, ALICE, "bob", "scrypt$...")
    await change_tags(registry, ALICE, "user", "bob", put={"a": "1", "b": "2"})
    await change_tags(registry, ALICE, "user", "bob", put={}, remove=["a"])
    bob = get_principal(registry, ALICE, "user", "bob")
    assert (bob.password, bob.tags, bob.generation) == ("scrypt$...", (("b", "2"),), 2)
    for bad in ("k" * 129, "", "a\0b", "a\n", "aws:x", "AWS:x"):
        with pytest.raises(TagsInvalid):
            await change_tags(registry, ALICE, "user", "bob", put={bad: "v"})
        with pytest.raises(TagsInvalid):
            await change_tags(registry, ALICE, "user", "bob", put={}, remove=[bad])
    await change_tags(registry, ALICE, "user", "bob", put={f"k{number}": "" for number in range(49)})
    with pytest.raises(LimitExceeded):
        await change_tags(registry, ALICE, "user", "bob", put={"one more": "v"})
    await change_tags(registry, ALICE, "user", "bob", put={"one more": "v"}, remove=["b"])


async def test_who_may_only_tag_removes_no_tag(registry: Registry, world: World) -> None:
    await create_principal(registry, ALICE, "user", "bob", tags={"team": "a"})
    await change_tags(registry, ALICE, "user", "bob", put={"x": "y"}, remove=["team"])
    asked = [action for _, action, _ in world.asked[-2:]]
    assert asked == ["iam:UntagUser", "iam:TagUser"]


async def test_the_first_administrator_is_made_once(registry: Registry) -> None:
    new = await make_first_administrator(registry, ALICE, with_key=True)
    assert new is not None
    assert new.key is not None
    assert list_keys(registry, ALICE, "admin")[0].key == new.key.key
    assert names_of(registry.directory.get(), "admin") == ["arn:aws:iam::aws:policy/AdministratorAccess"]
    assert await make_first_administrator(registry, ALICE, with_key=True) is None


async def test_where_nobody_would_see_its_key_the_first_administrator_has_none(registry: Registry) -> None:
    new = await make_first_administrator(registry, ALICE, with_key=False)
    assert new is not None
    assert (new.key, list_keys(registry, ALICE, "admin")) == (None, [])
    assert await make_first_administrator(registry, ALICE, with_key=True) is None


async def test_a_node_that_has_users_gets_no_administrator(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    assert await make_first_administrator(registry, ALICE, with_key=True) is None
    assert [one.name for one in list_principals(registry, ALICE, "user")] == ["bob"]


async def test_each_change_asks_for_the_principal_that_it_is_about(registry: Registry, world: World) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    key = (await create_key(registry, ALICE, "bob")).key.id
    kinds: tuple[PrincipalKind, ...] = ("user", "group")
    for kind in kinds:
        with pytest.raises(Denied):
            await create_principal(registry, EVE, kind, "bob")
    with pytest.raises(Denied):
        await delete_key(registry, EVE, key)
    assert world.asked[-1] == (EVE.arn, "iam:DeleteAccessKey", "arn:aws:iam::111111111111:user/bob")
    with pytest.raises(Denied):
        await delete_key(registry, EVE, "AKIANOBODY")
    assert world.asked[-1] == (EVE.arn, "iam:DeleteAccessKey", "arn:aws:iam::111111111111:user/*")
    assert len(list_keys(registry, ALICE, "bob")) == 1


def test_principals_that_a_document_names_have_to_be_there() -> None:
    directory = Directory("111111111111", [], [], [])
    assert directory.exists("arn:aws:iam::111111111111:root")
    assert directory.exists("arn:aws:iam::222222222222:user/anyone")
    assert not directory.exists("arn:aws:iam::111111111111:user/bob")
    assert not directory.exists("arn:aws:sts::111111111111:assumed-role/deploy/session")


async def test_a_damaged_row_hides_no_other_and_takes_no_deny_away(registry: Registry) -> None:
    """Whoever may have been denied something by what cannot be read is denied; others go on."""
    for name in ("bob", "ann", "eve"):
        await create_principal(registry, ALICE, "user", name)
        await put_inline_policy(registry, ALICE, "user", name, "own", PULL)
    group = await create_principal(registry, ALICE, "group", "ci")
    await set_member(registry, ALICE, "ci", "bob", is_in=True)
    mine = await create_policy(registry, ALICE, "mine", PULL)
    await set_attached(registry, ALICE, "user", "ann", mine.arn, is_attached=True)

    def damage(txn: WriteTxn) -> None:
        db = registry.store.meta.registers.rows.bytes.db
        for key in (register_key("group", group.id), register_key("managed-policy", mine.id)):
            value = bytearray(txn.get(key, db=db) or b"")
            value[-1] ^= 1
            txn.put(key, bytes(value), db=db)

    await registry.store.writer.write(damage)
    await create_principal(registry, ALICE, "user", "new")  # A change, so that all is read again.
    directory = registry.directory.get()
    assert names_of(directory, "bob") == ["user bob, policy own", f"group {group.id}"]
    assert names_of(directory, "ann") == ["user ann, policy own", mine.arn]
    assert names_of(directory, "eve") == ["user eve, policy own"]
    for name, expected in (("bob", [False, True]), ("ann", [False, True]), ("eve", [False])):
        found = directory.by_name("user", name)
        assert found is not None
        policies = directory.identity_policies(Caller(found.arn, "111111111111", user_id=found.id))
        assert [one.policy is None for one in policies] == expected
