"""Access keys over time: rotated, expired, used; and users' passwords and groups, replaced as a whole."""

import pytest

from node.registry.identity.keys import create_key, delete_key, get_key, is_usable, list_keys, rotate_key
from node.registry.identity.passwords import choose_password
from node.registry.identity.principals import (
    create_principal,
    delete_principal,
    get_principal,
    set_groups,
    set_role,
)
from node.registry.identity.uses import note_use, write_uses
from node.registry.registers import put_register
from node.registry.registry import Registry
from protocol.auth.caller import Act
from protocol.auth.keyuse import KeyUse
from protocol.auth.passwords import is_password
from protocol.auth.secret import Secret
from protocol.errors import Denied, LimitExceeded, ParameterInvalid, PrincipalUnknown
from protocol.sync.entries import Setting
from tests.node.registry.identity.test_principals import TRUST
from tests.node.registry.world import ALICE, EVE, World


async def test_a_key_that_is_rotated_is_good_for_a_while_and_its_successor_from_now_on(
    registry: Registry, world: World
) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    old = (await create_key(registry, ALICE, "bob")).key
    new = (await rotate_key(registry, ALICE, old.id, keep=60)).key
    kept = get_key(registry, ALICE, old.id).key
    assert new.id != old.id
    assert [is_usable(kept, world.now + after) for after in (0, 59, 60)] == [True, True, False]
    assert is_usable(new, world.now + 1e9)
    with pytest.raises(LimitExceeded):
        await rotate_key(registry, ALICE, new.id, keep=60)
    world.now += 61
    await rotate_key(registry, ALICE, new.id, keep=60)
    assert old.id not in {one.key.id for one in list_keys(registry, ALICE, "bob")}, "expired, so it made room"


async def test_a_key_that_expires_sooner_is_not_prolonged_by_a_rotation(registry: Registry, world: World) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    soon = int(world.now * 1000) + 5000
    old = (await create_key(registry, ALICE, "bob", expires=soon)).key
    await rotate_key(registry, ALICE, old.id, keep=3600)
    assert get_key(registry, ALICE, old.id).key.expires == soon


async def test_the_last_use_is_known_at_once_and_after_it_was_written(registry: Registry, world: World) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    key = (await create_key(registry, ALICE, "bob")).key.id
    assert get_key(registry, ALICE, key).used is None
    note_use(registry, key, "192.0.2.1", "ecr")
    used = KeyUse(world.now, "192.0.2.1", "ecr")
    assert get_key(registry, ALICE, key).used == used
    await write_uses(registry)
    assert registry.key_uses == {}
    assert get_key(registry, ALICE, key).used == used
    note_use(registry, key, "192.0.2.2", "ecr")
    await delete_key(registry, ALICE, key)
    await write_uses(registry)
    with registry.store.meta.read() as txn:
        assert registry.store.meta.documents.names(txn, "access-key-used/", limit=10) == []


async def test_a_key_of_a_stranger_is_neither_shown_nor_rotated(registry: Registry, world: World) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    key = (await create_key(registry, ALICE, "bob")).key.id
    with pytest.raises(Denied):
        get_key(registry, EVE, key)
    with pytest.raises(Denied):
        await rotate_key(registry, EVE, key, keep=1)
    with pytest.raises(PrincipalUnknown):
        get_key(registry, ALICE, "AKIANOBODY")
    assert len(list_keys(registry, ALICE, "bob")) == 1


async def test_a_password_is_kept_hashed_and_ends_what_was_issued(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob.smith")
    await choose_password(registry, ALICE, "bob.smith", Secret(b"correct horse battery"))
    bob = get_principal(registry, ALICE, "user", "bob.smith")
    assert bob.password is not None
    assert "horse" not in bob.password
    assert is_password("correct horse battery", bob.password)
    assert bob.generation == 2
    for bad in (b"short", b"x" * 129, b"BOB.smith 123456", b"\xff" * 20):
        with pytest.raises(ParameterInvalid):
            await choose_password(registry, ALICE, "bob.smith", Secret(bad))
    with pytest.raises(PrincipalUnknown):
        await choose_password(registry, ALICE, "nobody", Secret(b"correct horse battery"))


async def test_groups_are_replaced_and_not_added_to(registry: Registry) -> None:
    await create_principal(registry, ALICE, "user", "bob")
    ids = {name: (await create_principal(registry, ALICE, "group", name)).id for name in ("a", "b", "c")}
    for groups in (["a", "b"], ["b", "c"], []):
        await set_groups(registry, ALICE, "bob", groups)
        assert set(get_principal(registry, ALICE, "user", "bob").groups) == {ids[one] for one in groups}
    with pytest.raises(PrincipalUnknown):
        await set_groups(registry, ALICE, "bob", ["a", "none"])
    assert get_principal(registry, ALICE, "user", "bob").groups == (), "all or nothing"


async def test_a_role_is_changed_where_something_is_said(registry: Registry) -> None:
    await create_principal(registry, ALICE, "role", "deploy", trust=TRUST, description="old")
    await set_role(registry, ALICE, "deploy", max_session=900, description=None)
    await set_role(registry, ALICE, "deploy", max_session=None, description="new")
    role = get_principal(registry, ALICE, "role", "deploy")
    assert (role.max_session, role.description) == (900, "new")
    with pytest.raises(ParameterInvalid):
        await set_role(registry, ALICE, "deploy", max_session=1, description=None)


async def test_who_lost_a_name_is_nobody_and_goes_with_it(registry: Registry) -> None:
    """Two nodes that could not reach each other made the same user; the older one has the name."""
    act = Act(ALICE, "iam:CreateUser")
    for unique_id, created in (("AIDAB", 2), ("AIDAA", 1)):
        fields: dict[str, Setting] = {"name": "bob", "created": created}
        await put_register(registry, act, "user", unique_id, fields)
        await put_register(registry, act, "access-key", f"AKIA{unique_id}", {"user": unique_id, "secret": "x"})
    directory = registry.directory.get()
    assert (directory.by_id("AIDAB"), [one.key.id for one in list_keys(registry, ALICE, "bob")]) == (
        None,
        ["AKIAAIDAA"],
    )
    await delete_principal(registry, ALICE, "user", "bob")
    directory = registry.directory.get()
    assert directory.principals("user") == []
    assert directory.access_key("AKIAAIDAB") is None
