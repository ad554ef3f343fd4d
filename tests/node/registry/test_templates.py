"""A repository that nobody creates is made from the template of the longest prefix that is for the cause."""

import msgspec
import pytest

from node.registry.deletes import delete_image
from node.registry.images import prepare_manifest
from node.registry.kms.keys import DEFAULT_ALIAS
from node.registry.mounts import mount_blob
from node.registry.receiving import prepare_arrival, take_image
from node.registry.registry import Quotas, Registry, Settings
from node.registry.repositories import find_repository
from node.registry.settings import settings_of
from node.registry.templates import (
    TemplateChange,
    create_template,
    delete_template,
    find_templates,
    list_templates,
    update_template,
)
from node.registry.uploads import begin_upload
from protocol.errors import (
    Denied,
    LimitExceeded,
    NameUnknown,
    ParameterInvalid,
    TemplateExists,
    TemplateUnknown,
    ValidationFailed,
)
from protocol.oci.digest import digest_of
from protocol.oci.names import RepositoryName
from protocol.sync.entries import Setting
from tests.node.registry.test_replication import announced
from tests.node.registry.test_resourcepolicies import LIFECYCLE, POLICY
from tests.node.registry.world import ALICE, APP, EVE, OTHER, World, image, push_blob, push_image, put

ROLE = "arn:aws:iam::111111111111:role/templates"
PUSH = TemplateChange(("CREATE_ON_PUSH",), settings={"tag-mutability": "IMMUTABLE", "policy": POLICY})
EVERY = TemplateChange(
    ("REPLICATION", "PULL_THROUGH_CACHE", "CREATE_ON_PUSH"),
    "all of it",
    ROLE,
    {"encryption": "KMS", "lifecycle-policy": LIFECYCLE},
    {"team": "a", "empty": ""},
)


def settings(registry: Registry, name: RepositoryName = APP) -> dict[str, Setting] | None:
    with registry.store.meta.read() as txn:
        row = find_repository(registry, txn, name)
        return None if row is None else settings_of(row)


def only_templates(registry: Registry) -> None:
    registry.settings = Settings(create_on_push="templates")


async def test_a_push_makes_what_the_template_says(registry: Registry, world: World) -> None:
    only_templates(registry)
    await create_template(registry, ALICE, "team", EVERY)
    await begin_upload(registry, ALICE, APP, "sha256")
    assert settings(registry) == {
        "created": int(world.now * 1000),
        "encryption": "KMS",
        "kms-key": registry.kms_keys.get().require(DEFAULT_ALIAS).arn,
        "lifecycle-policy": LIFECYCLE,
        "tag:team": "a",
        "tag:empty": "",
    }
    await push_image(registry, b"{}")  # Goes on in what is there.


async def test_no_template_no_push(registry: Registry) -> None:
    only_templates(registry)
    await create_template(registry, ALICE, "te", PUSH)
    await create_template(registry, ALICE, "team/app", PUSH)  # A prefix is of what lies below it.
    await create_template(registry, ALICE, "ROOT", TemplateChange(("REPLICATION", "PULL_THROUGH_CACHE")))
    with pytest.raises(NameUnknown, match=r"The repository with name 'team/app' does not exist in the registry with"):
        await begin_upload(registry, ALICE, APP, "sha256")
    with pytest.raises(NameUnknown):
        await put(registry, image(b"{}"))
    assert settings(registry) is None


async def test_every_door_of_a_push_creates(registry: Registry) -> None:
    await push_blob(registry, b"{}", OTHER)
    only_templates(registry)
    await create_template(registry, ALICE, "ROOT", TemplateChange(("CREATE_ON_PUSH",)))
    mounted, manifest = RepositoryName("by/mount"), RepositoryName("by/manifest")
    assert await mount_blob(registry, ALICE, mounted, digest_of(b"{}"), OTHER)
    registry.settings = Settings(create_on_push="templates", missing_content="allow")
    await put(registry, image(b"1"), name=manifest)
    await begin_upload(registry, ALICE, APP, "sha256")
    assert None not in [settings(registry, name) for name in (mounted, manifest, APP)]


async def test_never_is_never(registry: Registry) -> None:
    await create_template(registry, ALICE, "ROOT", PUSH)
    registry.settings = Settings(create_on_push="never")
    with pytest.raises(NameUnknown):
        await begin_upload(registry, ALICE, APP, "sha256")


async def test_where_any_push_may_create_a_template_still_says_how(registry: Registry) -> None:
    await create_template(registry, ALICE, "team/", PUSH)
    await push_image(registry, b"{}")
    await push_image(registry, b"{}", name=OTHER)
    found = settings(registry)
    assert found is not None
    assert (found["tag-mutability"], found["policy"]) == ("IMMUTABLE", POLICY)
    assert set(settings(registry, OTHER) or {}) == {"created"}


async def test_who_may_not_create_does_not_by_pushing(registry: Registry, world: World) -> None:
    only_templates(registry)
    await create_template(registry, ALICE, "ROOT", PUSH)
    world.denied.add(("ecr:CreateRepository", APP))
    with pytest.raises(Denied):
        await begin_upload(registry, ALICE, APP, "sha256")
    assert settings(registry) is None


async def test_an_image_that_is_replicated_here_makes_its_repository_from_a_template(registry: Registry) -> None:
    await create_template(registry, ALICE, "team", PUSH)  # Not for this cause: as if it were not there.
    await create_template(registry, ALICE, "ROOT", EVERY)
    await prepare_arrival(registry, ALICE, APP)  # Before a byte comes: the template says that it is to be sealed.
    await push_blob(registry, b"1")
    said = announced(image(b"1"), 1000, latest=1000)
    from_there = await prepare_manifest(said.manifest, None, None, reading=registry.incoming.reading)
    await take_image(registry, ALICE, said, [from_there])
    found = settings(registry)
    assert found is not None
    assert (found["encryption"], found.get("policy")) == ("KMS", None)


async def test_what_is_changed_changes_and_the_rest_stays(registry: Registry, world: World) -> None:
    await create_template(registry, ALICE, "team/", EVERY)
    world.now += 60
    changed = await update_template(
        registry, ALICE, "team", TemplateChange(settings={"lifecycle-policy": None}, tags={"other": "b"})
    )
    assert (changed.prefix, changed.description, changed.role, changed.applied_for) == (
        "team/",
        "all of it",
        ROLE,
        EVERY.applied_for,
    )
    assert changed.settings == {
        "encryption": "KMS",
        "tag:other": "b",
    }
    assert changed.updated - changed.created == 60
    assert await delete_template(registry, ALICE, "team") == changed
    again = await create_template(registry, ALICE, "team", TemplateChange(("REPLICATION",)))
    assert (again.settings, again.description, again.role) == ({}, "", "")  # Nothing is left over.


async def test_templates_are_listed_by_prefix_and_those_that_are_not_there_left_out(registry: Registry) -> None:
    for prefix in ("b/c", "ROOT", "a"):
        await create_template(registry, ALICE, prefix, PUSH)
    first = list_templates(registry, ALICE, after="", limit=2)
    rest = list_templates(registry, ALICE, after=first[-1][0], limit=2)
    assert [one.prefix for _, one in (*first, *rest)] == ["ROOT", "a", "b/c"]
    assert [one.prefix for one in find_templates(registry, ALICE, ["a/", "x", "ROOT"])] == ["a", "ROOT"]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (TemplateChange(("REPLICATION",), settings={"policy": "{}"}), ParameterInvalid),
        (TemplateChange(("REPLICATION",), settings={"lifecycle-policy": "{}"}), ParameterInvalid),
        (TemplateChange(("REPLICATION",), settings={"encryption": "KMS"}), ValidationFailed),
        (TemplateChange(("REPLICATION",), tags={"a": "b"}), ValidationFailed),
    ],
)
async def test_what_is_no_template_is_refused_and_not_stored(
    registry: Registry, change: TemplateChange, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await create_template(registry, ALICE, "team", change)
    assert list_templates(registry, ALICE, after="", limit=9) == []
    await create_template(registry, ALICE, "team", TemplateChange(("REPLICATION",)))
    with pytest.raises(refusal):
        await update_template(registry, ALICE, "team", change)
    with pytest.raises(TemplateExists, match="'team/'"):
        await create_template(registry, ALICE, "team/", TemplateChange(("REPLICATION",)))
    for call in (update_template(registry, ALICE, "x", change), delete_template(registry, ALICE, "x")):
        with pytest.raises((TemplateUnknown, refusal)):
            await call


async def test_there_are_only_so_many(registry: Registry) -> None:
    registry.settings = Settings(quotas=Quotas(creation_templates=2))
    for prefix in ("a", "b"):
        await create_template(registry, ALICE, prefix, PUSH)
    with pytest.raises(LimitExceeded):
        await create_template(registry, ALICE, "c", PUSH)


@pytest.mark.parametrize("action", ["ecr:CreateRepository", "ecr:SetRepositoryPolicy", "ecr:PutLifecyclePolicy"])
async def test_a_template_does_nothing_that_its_writer_may_not(registry: Registry, world: World, action: str) -> None:
    world.denied.add((action, RepositoryName("team/*")))
    both = msgspec.structs.replace(PUSH, settings={"policy": POLICY, "lifecycle-policy": LIFECYCLE})
    with pytest.raises(Denied):
        await create_template(registry, ALICE, "team/", both)


async def test_a_role_is_passed_by_who_may(registry: Registry, world: World) -> None:
    world.denied.add(("iam:PassRole", RepositoryName(ROLE)))
    with pytest.raises(Denied):
        await create_template(registry, ALICE, "team", EVERY)
    with pytest.raises(ParameterInvalid, match="customRoleArn"):
        await create_template(registry, ALICE, "team", msgspec.structs.replace(EVERY, role="admin"))


async def test_who_may_not_learns_nothing(registry: Registry) -> None:
    for call in (
        create_template(registry, EVE, "team", PUSH),
        update_template(registry, EVE, "team", PUSH),
        delete_template(registry, EVE, "team"),
    ):
        with pytest.raises(Denied):
            await call
    with pytest.raises(Denied):
        list_templates(registry, EVE, after="", limit=1)
    with pytest.raises(Denied):
        find_templates(registry, EVE, ["team"])


async def test_a_repository_that_lost_its_last_image_is_still_the_one_of_its_template(registry: Registry) -> None:
    await create_template(registry, ALICE, "team", PUSH)
    digest = await push_image(registry, b"{}")
    await delete_image(registry, ALICE, APP, digest)
    found = settings(registry)
    assert found is not None
    assert found["tag-mutability"] == "IMMUTABLE"
