"""A preview says what a policy would do to the images as they are; it does nothing, and is forgotten after a day."""

import json
from collections.abc import AsyncIterator, Sequence

import pytest
import trio

from node.registry.imageids import ImageId, image_id
from node.registry.lifecycle import put_lifecycle_policy
from node.registry.previewing import MOST, MOST_PREVIEWS, Preview, PreviewResult, Previews
from node.registry.previews import PreviewPage, get_preview, start_preview, work_out_previews
from node.registry.pulltimes import note_pull
from node.registry.registry import Registry
from node.registry.repositories import delete_repository
from node.registry.storage import update_storage_class
from node.registry.tags import list_tags
from protocol.errors import (
    Denied,
    LifecyclePolicyUnknown,
    NameUnknown,
    ParameterInvalid,
    PreviewInProgress,
    PreviewUnknown,
)
from protocol.oci.digest import digest_of
from protocol.rules.lifecycle import Action
from protocol.rules.texts import repository_lifecycle
from tests.node.registry.world import ALICE, APP, DAY, EVE, OTHER, World, image, index, push_image, put


def rule(
    priority: int, count: int, *, kind: str = "imageCountMoreThan", action: str = "expire", **selection: object
) -> dict[str, object]:
    unit = {} if kind == "imageCountMoreThan" else {"countUnit": "days"}
    chosen = {"tagStatus": "any", "countType": kind, "countNumber": count, **unit, **selection}
    target = {"targetStorageClass": "archive"} if action == "transition" else {}
    return {"rulePriority": priority, "selection": chosen, "action": {"type": action, **target}}


def policy(*rules: dict[str, object]) -> str:
    return json.dumps({"rules": rules})


NEWEST = policy(rule(1, 1))


@pytest.fixture
async def working(registry: Registry) -> AsyncIterator[Registry]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work_out_previews, registry)
        yield registry
        nursery.cancel_scope.cancel()


def ask(
    registry: Registry,
    *,
    after: int = 0,
    limit: int = 100,
    tagged: bool | None = None,
    only: Sequence[ImageId] = (),
) -> PreviewPage:
    return get_preview(registry, ALICE, APP, only=only, tagged=tagged, after=after, limit=limit)


async def ended(registry: Registry) -> PreviewPage:
    with trio.fail_after(10):
        while True:
            changed, page = registry.previewed.next(), ask(registry)
            if page.preview.state != "IN_PROGRESS":
                return page
            await changed.wait()


async def test_a_preview_goes_from_in_progress_to_complete_and_expires(working: Registry, world: World) -> None:
    digests = []
    for n in range(3):
        world.now += 1
        digests.append(await push_image(working, b"%d" % n, tags=(f"{n}",)))
    started = start_preview(working, ALICE, APP, NEWEST)
    assert (started.state, started.text) == ("IN_PROGRESS", NEWEST)
    with pytest.raises(PreviewInProgress, match="'team/app'"):
        start_preview(working, ALICE, APP, NEWEST)
    done = await ended(working)
    assert done.preview.state == "COMPLETE"
    assert [(one.digest, one.tags, one.priority, one.action) for one in done.results] == [
        (digest, (tag,), 1, Action("expire")) for digest, tag in zip(digests[:2], "01", strict=True)
    ]
    assert list_tags(working, ALICE, APP, after="", limit=9) == ["0", "1", "2"]  # Nothing was done.
    world.now += DAY + 1
    assert (ask(working).preview.state, ask(working).results) == ("EXPIRED", [])
    start_preview(working, ALICE, APP, NEWEST)  # Another one may begin.
    assert (await ended(working)).preview.state == "COMPLETE"


async def test_without_a_text_it_is_that_of_the_repository(working: Registry) -> None:
    await push_image(working, b"{}")
    with pytest.raises(LifecyclePolicyUnknown):
        start_preview(working, ALICE, APP, None)
    await put_lifecycle_policy(working, ALICE, APP, NEWEST)
    assert start_preview(working, ALICE, APP, None).text == NEWEST


async def test_results_come_page_by_page_and_by_what_is_asked_for(working: Registry, world: World) -> None:
    for n in range(7):
        world.now += 1
        await push_image(working, b"%d" % n, tags=("x",) if n == 3 else ())
    await push_image(working, b"last", tags=("y",))
    start_preview(working, ALICE, APP, NEWEST)
    all_of_them = (await ended(working)).results
    found, after = [], 0
    while True:
        page = ask(working, after=after, limit=3)
        found += page.results
        if page.next is None:
            break
        after = page.next
    assert found == all_of_them
    assert len(all_of_them) == 7
    assert len(ask(working, tagged=False).results) == 6
    assert [one.tags for one in ask(working, tagged=True).results] == [("x",)]
    [one] = ask(working, only=[image_id(all_of_them[2].digest, None)]).results
    assert one == all_of_them[2]
    assert ask(working, only=[image_id(digest_of(b"other"), None)]).results == []


async def test_pulls_and_the_archive_count(working: Registry, world: World) -> None:
    pulled, unused, archived = [await push_image(working, b"%d" % n) for n in range(3)]
    world.now += 10 * DAY
    note_pull(working, ALICE, APP, pulled)
    await update_storage_class(working, ALICE, APP, image_id(archived, None), "ARCHIVE")
    world.now += 5 * DAY
    text = policy(rule(1, 10, kind="sinceImagePulled", action="transition"))
    start_preview(working, ALICE, APP, text)
    found = (await ended(working)).results
    assert [(one.digest, one.action.type, one.is_archived) for one in found] == [(unused, "transition", False)]
    world.now += 90 * DAY
    text = policy(rule(1, 90, kind="sinceImageTransitioned", storageClass="archive"))
    start_preview(working, ALICE, APP, text)
    found = (await ended(working)).results
    assert [(one.digest, one.is_archived) for one in found] == [(archived, True)]


async def test_what_an_index_names_goes_with_it_alone(working: Registry, world: World) -> None:
    child = await push_image(working, b"child")
    world.now += 1
    parent = (await put(working, index(image(b"child")), "multi")).digest
    world.now += 1
    await push_image(working, b"new")
    start_preview(working, ALICE, APP, policy(rule(1, 2)))
    assert (await ended(working)).results == []
    start_preview(working, ALICE, APP, NEWEST)
    assert [one.digest for one in (await ended(working)).results] == [child, parent]


async def test_there_is_none_of_a_repository_that_came_anew(working: Registry) -> None:
    await push_image(working, b"{}")
    with pytest.raises(PreviewUnknown):
        ask(working)
    start_preview(working, ALICE, APP, NEWEST)
    await ended(working)
    await delete_repository(working, ALICE, APP, force=True)
    with pytest.raises(NameUnknown):
        ask(working)
    await push_image(working, b"{}")
    with pytest.raises(PreviewUnknown, match="'team/app'"):
        ask(working)


async def test_who_may_not_learns_nothing_and_nonsense_is_refused(registry: Registry) -> None:
    with pytest.raises(Denied):
        start_preview(registry, EVE, APP, None)
    with pytest.raises(Denied):
        get_preview(registry, EVE, APP, only=(), tagged=None, after=0, limit=1)
    with pytest.raises(ParameterInvalid):
        start_preview(registry, ALICE, APP, "{}")
    with pytest.raises(NameUnknown):
        start_preview(registry, ALICE, OTHER, NEWEST)


def test_the_oldest_previews_make_room() -> None:
    previews = Previews()
    one = PreviewResult(digest_of(b""), (), 1.0, Action("expire"), 1, False)
    for number in range(1, 4):
        results = (one,) * (MOST // 2)
        previews.put(Preview(APP, number, NEWEST, repository_lifecycle(NEWEST), "COMPLETE", 1.0, results))
    assert list(previews.by_repository) == [2, 3]
    for number in range(10, 10 + MOST_PREVIEWS):
        assert not previews.is_crowded()
        previews.put(Preview(APP, number, NEWEST, repository_lifecycle(NEWEST)))
    assert previews.is_crowded()
    assert list(previews.by_repository) == list(range(10, 10 + MOST_PREVIEWS))
