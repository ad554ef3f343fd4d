"""Documents, principals, keys and settings: put in records, shown until they end, and never older than the last put."""

from pathlib import Path

import pytest

from node.registry.commit import commit_rules
from node.registry.current import Current
from node.registry.registers import put_register, register, register_put, registers
from node.registry.registry import Registry
from node.registry.repositories import delete_repository, repository
from node.registry.settings import create_repository, put_settings, settings_of
from node.store.table import WriteTxn
from protocol.auth.caller import Act
from protocol.errors import Denied, NameUnknown, ParameterInvalid, RepositoryExists
from protocol.oci.names import RepositoryName
from protocol.sync.entries import Setting
from tests.node.registry.life import check, told
from tests.node.registry.world import ALICE, APP, EVE, World, opened, push_image

ACT = Act(ALICE, "iam:CreateUser")


def shown(registry: Registry, name: str, group: str = "user") -> dict[str, Setting] | None:
    with registry.store.meta.read() as txn:
        return register(registry, txn, group, name)


async def test_fields_are_set_one_by_one_and_taken_away_by_none(registry: Registry) -> None:
    await put_register(registry, ACT, "user", "bob", {"path": "/", "active": True})
    await put_register(registry, ACT, "user", "bob", {"path": None, "age": 7})
    assert shown(registry, "bob") == {"active": True, "age": 7}
    await put_register(registry, ACT, "user", "bob", {"active": None, "age": None})
    assert shown(registry, "bob") is None
    assert told(check(registry, deep=True)) == []


async def test_what_has_ended_is_over_whatever_comes_later(registry: Registry) -> None:
    await put_register(registry, ACT, "access-key", "AKIA1", {"secret": "x"})
    await put_register(registry, ACT, "access-key", "AKIA1", {"secret": None}, ended=True)
    await put_register(registry, ACT, "access-key", "AKIA1", {"secret": "y"})
    assert shown(registry, "AKIA1", "access-key") is None


async def test_a_listing_has_the_living_by_name_a_page_at_a_time(registry: Registry) -> None:
    names = [f"{letter}{number}" for letter in "ab" for number in range(5)]
    for name in names:
        await put_register(registry, ACT, "user", name, {"n": name})
    await put_register(registry, ACT, "users-of-another-group", "a1", {"n": 1})
    await put_register(registry, ACT, "user", "a2", {}, ended=True)
    await put_register(registry, ACT, "user", "a3", {"n": None})

    def page(after: str, limit: int, prefix: str = "") -> list[str]:
        with registry.store.meta.read() as txn:
            return [name for name, _ in registers(registry, txn, "user", prefix=prefix, after=after, limit=limit)]

    left = [name for name in names if name not in {"a2", "a3"}]
    assert page("", 100) == left
    assert page("", 3) == left[:3]
    assert page(left[2], 100) == left[3:]
    assert page("", 100, "b") == left[3:]
    assert page("b1", 2, "b") == ["b2", "b3"]


@pytest.mark.parametrize("name", ["", "a" * 401, "ü" * 201, "a\0b", "\ud800" * 200])
async def test_a_name_that_can_be_none_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(ParameterInvalid):
        await put_register(registry, ACT, "user", name, {"n": 1})


async def test_rules_are_written_while_content_must_not_change(registry: Registry) -> None:
    registry.gate.close("operator", "moving")
    await put_register(registry, ACT, "user", "bob", {"n": 1})
    assert shown(registry, "bob") == {"n": 1}


async def test_they_are_there_after_a_restart(tmp_path: Path, world: World) -> None:
    async with opened(tmp_path / "data", world) as registry:
        await put_register(registry, ACT, "user", "bob", {"n": 1})
        await create_repository(registry, ALICE, APP, {"scan-on-push": True})
    async with opened(tmp_path / "data", world) as registry:
        assert shown(registry, "bob") == {"n": 1}
        with registry.store.meta.read() as txn:
            settings = settings_of(repository(registry, txn, APP))
        assert settings == {"created": int(world.now * 1000), "scan-on-push": True}


async def test_a_repository_is_created_once_and_its_settings_go_with_it(registry: Registry) -> None:
    await create_repository(registry, ALICE, APP, {"policy": "{}"})
    with pytest.raises(RepositoryExists, match=r"'team/app' already exists in the registry with id '[0-9]{12}'"):
        await create_repository(registry, ALICE, APP, {})
    act = Act(ALICE, "ecr:DeleteRepositoryPolicy", APP)
    await put_settings(registry, act, APP, {"policy": None, "tag:team": "a"})
    with registry.store.meta.read() as txn:
        assert settings_of(repository(registry, txn, APP)).keys() == {"created", "tag:team"}
    await delete_repository(registry, ALICE, APP, force=False)
    with pytest.raises(NameUnknown):
        await put_settings(registry, act, APP, {"policy": "{}"})
    await create_repository(registry, ALICE, APP, {})
    with registry.store.meta.read() as txn:
        assert settings_of(repository(registry, txn, APP)).keys() == {"created"}


async def test_only_who_may_creates(registry: Registry) -> None:
    with pytest.raises(Denied):
        await create_repository(registry, EVE, APP, {})


async def test_what_is_current_is_made_again_after_each_change_and_only_then(registry: Registry) -> None:
    made = 0

    def make(txn: WriteTxn) -> dict[str, Setting] | None:
        nonlocal made
        made += 1
        return register(registry, txn, "user", "bob")

    current = Current(registry.store, make)
    assert (current.get(), made) == (None, 1)
    await put_register(registry, ACT, "user", "bob", {"n": 1})
    assert (current.get(), current.get(), made) == ({"n": 1}, {"n": 1}, 2)
    await push_image(registry, b"{}", b"layer")
    before = made
    await push_image(registry, b"{}", b"another", tags=("t",))
    assert current.get() == {"n": 1}
    assert made - before <= 1, "the first push creates the repository, and no other one changes rules"
    after = made
    await put_settings(registry, Act(ALICE, "ecr:SetRepositoryPolicy", APP), APP, {"policy": "{}"})
    current.get()
    await delete_repository(registry, ALICE, RepositoryName(APP), force=True)
    current.get()
    assert made == after + 2


async def test_what_was_undone_is_nowhere(registry: Registry) -> None:
    def run(txn: WriteTxn) -> None:
        entry = register_put(registry, txn, ACT, "user", "bob", {"n": 1})
        commit_rules(registry, txn, ACT, lambda _dot, _hlc: [entry])
        raise Denied("after all")

    with pytest.raises(Denied):
        await registry.store.writer.write(run)
    assert shown(registry, "bob") is None
