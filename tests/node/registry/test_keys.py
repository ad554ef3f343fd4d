"""Keys are made, disabled, rotated and destroyed, and what lies under them is read as far as they allow."""

import os
from pathlib import Path

import pytest

from node.registry.keyring import Keyring, Masters
from node.registry.kms.managing import (
    create_key,
    delete_due_keys,
    disable_key,
    enable_key,
    list_keys,
    rotate_key,
    schedule_deletion,
)
from node.registry.mending.repair import repair_round
from node.registry.registry import Registry
from node.registry.rewrapping import delete_stray_keys, rotate_master_key, wrap_anew
from node.registry.scrub import open_files, scrub_step, start_scrub
from node.registry.sealing import encryption_settings
from node.registry.settings import create_repository
from node.store.keyfiles import KeyFiles, WrappedKey
from protocol.errors import Damaged, Denied, KeyUnusable, NotReady, ParameterInvalid
from protocol.oci.digest import digest_of
from tests.node.registry.test_sealing import LARGE, faults, found
from tests.node.registry.world import ALICE, APP, DAY, EVE, OTHER, TAG, World, content, opened, push_blob, push_image

KMS = encryption_settings("KMS", "alias/builds")


@pytest.fixture
async def keyed(registry: Registry) -> Registry:
    await create_key(registry, ALICE, alias="alias/builds", description="what the builds push")
    await create_repository(registry, ALICE, APP, KMS)
    await push_image(registry, b"{}", LARGE, tags=(TAG,))
    return registry


async def test_a_disabled_key_closes_its_repositories_and_is_no_damage(keyed: Registry) -> None:
    await disable_key(keyed, ALICE, "alias/builds")
    with pytest.raises(KeyUnusable) as refusal:
        await content(keyed, APP, digest_of(LARGE))
    assert refusal.value.members == {"kmsError": "DisabledException"}
    with pytest.raises(KeyUnusable):
        await push_blob(keyed, b"more")
    with pytest.raises(KeyUnusable):
        await create_repository(keyed, ALICE, OTHER, KMS)
    await start_scrub(keyed, ALICE, rate=0)
    with open_files(keyed) as files:
        while keyed.scrubbing.state.is_running:
            await scrub_step(keyed, files)
    assert keyed.scrubbing.state.now.found == 0
    assert await repair_round(keyed) == 0
    await enable_key(keyed, ALICE, "alias/builds")
    assert await content(keyed, APP, digest_of(LARGE)) == LARGE
    assert faults(keyed) == []


async def test_a_key_is_rotated_and_its_older_version_destroyed(keyed: Registry) -> None:
    [before] = await list_keys(keyed, ALICE)
    files = keyed.keyring.files
    old = {name: files.get(name) for name in files.names()}
    shown = await rotate_key(keyed, ALICE, before.arn)
    assert (shown.version, shown.repositories, shown.stale) == (2, 1, 1)
    assert await content(keyed, APP, digest_of(LARGE)) == LARGE
    assert await wrap_anew(keyed) == 1
    [shown] = await list_keys(keyed, ALICE)
    assert (shown.version, shown.stale) == (2, 0)
    assert f"kms-{before.id}-2" in files.names()
    assert f"kms-{before.id}-1" not in files.names()
    for wrapped in old.values():
        assert wrapped is not None
        assert found(keyed, wrapped.wrapped) == []
    assert await wrap_anew(keyed) == 0
    keyed.keyring.forget()
    assert await content(keyed, APP, digest_of(LARGE)) == LARGE


async def test_a_key_that_was_deleted_is_gone_with_all_that_it_kept(keyed: Registry, world: World) -> None:
    with pytest.raises(ParameterInvalid):
        await schedule_deletion(keyed, ALICE, "alias/builds", days=1)
    await schedule_deletion(keyed, ALICE, "alias/builds", days=7)
    with pytest.raises(KeyUnusable):
        await content(keyed, APP, digest_of(LARGE))
    assert await delete_due_keys(keyed, ALICE) == 0
    world.now += 8 * DAY
    assert await delete_due_keys(keyed, ALICE) == 1
    assert await list_keys(keyed, ALICE) == []
    with pytest.raises((Damaged, KeyUnusable)):
        await content(keyed, APP, digest_of(LARGE))
    with pytest.raises(KeyUnusable):
        await enable_key(keyed, ALICE, "alias/builds")


async def test_a_key_of_the_registry_is_known_by_each_of_its_names(keyed: Registry) -> None:
    [key] = await list_keys(keyed, ALICE)
    keys = keyed.kms_keys.get()
    assert {keys.require(name).arn for name in (key.arn, key.id, "alias/builds")} == {key.arn}
    assert keys.find(key.arn.replace("111111111111", "222222222222")) is None
    with pytest.raises(ParameterInvalid):
        await create_key(keyed, ALICE, alias="alias/builds", description="")
    with pytest.raises(ParameterInvalid):
        await create_key(keyed, ALICE, alias="alias/aws/mine", description="")
    with pytest.raises(Denied):
        await create_key(keyed, EVE, alias="", description="")


async def test_the_master_key_is_rotated_and_a_killed_rotation_goes_on(tmp_path: Path, world: World) -> None:
    old, new, ended = bytes(32), os.urandom(32), list[bool]()
    masters = Masters(lambda: (new, old), lambda: ended.append(True))
    async with opened(tmp_path / "data", world) as registry:
        registry.masters = masters
        for name, kind in ((APP, encryption_settings("AES256", None)), (OTHER, encryption_settings("KMS", None))):
            await create_repository(registry, ALICE, name, kind)
            await push_blob(registry, LARGE, name)
        await rotate_master_key(registry, ALICE)
        first = registry.keyring.files.names()[0]
        registry.keyring.wrap_anew(first, registry.keyring.master)  # As far as it came before it was killed.
    async with opened(tmp_path / "data", world) as registry:
        registry.masters = masters
        registry.keyring = Keyring(KeyFiles(tmp_path / "data" / "keys"), [new, old], os.urandom)
        assert await content(registry, APP, digest_of(LARGE)) == LARGE
        assert await wrap_anew(registry) >= 1
        assert ended == [True]
    async with opened(tmp_path / "data", world) as registry:
        with pytest.raises(Damaged):
            await content(registry, APP, digest_of(LARGE))
        registry.keyring = Keyring(KeyFiles(tmp_path / "data" / "keys"), [new], os.urandom)
        for name in (APP, OTHER):
            assert await content(registry, name, digest_of(LARGE)) == LARGE


async def test_a_node_without_master_keys_of_its_own_rotates_none(registry: Registry) -> None:
    with pytest.raises(NotReady):
        await rotate_master_key(registry, ALICE)


async def test_a_key_that_no_repository_has_goes(keyed: Registry) -> None:
    keyed.keyring.make("repository-" + "0" * 32, keyed.keyring.master)
    assert await delete_stray_keys(keyed) == 1
    assert await delete_stray_keys(keyed) == 0
    assert await content(keyed, APP, digest_of(LARGE)) == LARGE


def test_a_file_that_was_being_replaced_is_one_of_both(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path / "keys")
    before, after = WrappedKey(1, "a", b"before"), WrappedKey(1, "b", b"after")
    files.put("repository-1", before)
    files.put("other", after)
    (tmp_path / "keys" / "other").rename(tmp_path / "keys" / "repository-1.new")
    assert files.get("repository-1") == before, "the new one is there, the old one not overwritten"
    (tmp_path / "keys" / "repository-1").write_bytes(bytes(20))
    assert files.get("repository-1") == after
    assert files.names() == ["repository-1"]
    files.put("repository-1", before)
    assert files.get("repository-1") == before
    files.destroy("repository-1")
    assert files.get("repository-1") is None
    assert list((tmp_path / "keys").iterdir()) == []
