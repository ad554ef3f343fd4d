"""Replication at both ends: what is wanted where, what an answer means, and an image that is taken in any order."""

from collections.abc import AsyncIterator
from itertools import permutations

import msgspec
import pytest
import trio

from node.registry.announcing import acknowledge, announcement, due_images
from node.registry.deletes import delete_image
from node.registry.events import read_events
from node.registry.images import prepare_manifest
from node.registry.manifests import open_manifest
from node.registry.receiving import is_taken, keep_manifest, show_blob, take_image
from node.registry.registry import Registry
from node.registry.replication import (
    FOLLOWER,
    destinations,
    follow_journal,
    get_replication,
    lags,
    put_replication,
    replication_status,
)
from node.registry.tags import delete_tag, list_tags
from protocol.auth.names import Region, RegistryName
from protocol.errors import Denied, NameUnknown, NoSource
from protocol.events.event import Arrival
from protocol.oci.digest import Digest, digest_of
from protocol.oci.names import TagName
from protocol.wire.transfer import Acknowledgement, Announcement, TagSent
from tests.node.registry.recount import check
from tests.node.registry.world import (
    ACCOUNT,
    ALICE,
    APP,
    OTHER,
    TAG,
    World,
    fetchable,
    image,
    index,
    manifest_bytes,
    push_image,
    put,
    receiver,
)

THERE, FAR = (RegistryName(ACCOUNT, Region(region)) for region in ("us-east-1", "ap-east-1"))


def rules(*prefixes: str, to: RegistryName = THERE) -> bytes:
    destination = {"region": to.region, "registryId": to.account}
    filters = [{"filter": prefix, "filterType": "PREFIX_MATCH"} for prefix in prefixes]
    rule = {"destinations": [destination], **({"repositoryFilters": filters} if filters else {})}
    return msgspec.json.encode({"rules": [rule]})


async def followed(registry: Registry) -> None:
    """Let the follower look at all records."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow_journal, registry)
        while is_behind(registry):
            await registry.wanted.next().wait()
        nursery.cancel_scope.cancel()


def is_behind(registry: Registry) -> bool:
    journal = registry.store.meta.journal
    with registry.store.meta.read() as txn:
        return journal.cursor(txn, FOLLOWER) < journal.last(txn)


async def due(registry: Registry, destination: RegistryName = THERE) -> list[Digest]:
    await followed(registry)
    return [one.digest for one in due_images(registry, destination, after=b"", limit=99)]


async def test_a_rule_covers_what_is_pushed_after_it_and_nothing_before(registry: Registry) -> None:
    await push_image(registry, b"before", tags=("1.27",))
    await put_replication(registry, ALICE, rules())
    after = await push_image(registry, b"after", tags=("1.28",))
    assert await due(registry) == [after]
    assert destinations(registry) == {THERE}
    again = await push_image(registry, b"before", tags=("1.27",))  # A push like any other.
    assert await due(registry) == [after, again]
    assert await due(registry, FAR) == []


async def test_what_was_pushed_under_the_old_rules_is_still_wanted_under_them(registry: Registry) -> None:
    await put_replication(registry, ALICE, rules())
    old = await push_image(registry, b"old")
    await put_replication(registry, ALICE, rules(to=FAR))
    new = await push_image(registry, b"new")
    assert await due(registry, THERE) == [old]
    assert await due(registry, FAR) == [new]
    assert get_replication(registry, ALICE).rules[0].destinations[0].registry == FAR


async def test_a_filter_is_a_prefix(registry: Registry) -> None:
    await put_replication(registry, ALICE, rules("te", "production"))
    wanted = await push_image(registry, b"{}")
    await push_image(registry, b"{}", name=OTHER)
    assert await due(registry) == [wanted]


async def test_a_tag_that_moves_makes_the_image_wanted_again_and_a_deleted_image_none(registry: Registry) -> None:
    await put_replication(registry, ALICE, rules())
    digest = await push_image(registry, b"{}")
    await due(registry)
    [first] = due_images(registry, THERE, after=b"", limit=9)
    await acknowledge(registry, THERE, first, Acknowledgement("done"))
    assert await due(registry) == []
    await put(registry, image(b"{}"), "1.27")
    assert await due(registry) == [digest]
    await delete_image(registry, ALICE, APP, digest)
    assert await due(registry) == []


async def test_an_answer_says_how_far_the_image_is(registry: Registry, world: World) -> None:
    await put_replication(registry, ALICE, rules())
    await push_image(registry, b"{}", tags=("1.27",))
    await due(registry)
    [one] = due_images(registry, THERE, after=b"", limit=9)
    world.now += 60
    assert (lags(registry)[str(THERE)].waiting, round(lags(registry)[str(THERE)].seconds)) == (1, 60)

    async def after(answer: Acknowledgement) -> tuple[str, str]:
        await acknowledge(registry, THERE, one, answer)
        [shown] = replication_status(registry, ALICE, APP, after=None, limit=9).images
        return shown.state, shown.reason

    assert await after(Acknowledgement("later")) == ("IN_PROGRESS", "")
    assert await after(Acknowledgement("failed", "AccessDenied", "no")) == ("FAILED", "no")
    assert len(await due(registry)) == 1  # Tried again some time.
    await put(registry, image(b"{}"), "1.28")
    await due(registry)
    assert await after(Acknowledgement("done")) == ("IN_PROGRESS", "")  # What was announced came before the last push.
    [one] = due_images(registry, THERE, after=b"", limit=9)
    assert await after(Acknowledgement("done")) == ("COMPLETE", "")
    assert lags(registry)[str(THERE)].waiting == 0


async def test_what_is_gone_is_wanted_no_more(registry: Registry) -> None:
    await put_replication(registry, ALICE, rules())
    digest = await push_image(registry, b"{}")
    await due(registry)
    [one] = due_images(registry, THERE, after=b"", limit=9)
    await delete_image(registry, ALICE, APP, digest)
    assert await announcement(registry, one) is None
    await acknowledge(registry, THERE, one, None)
    assert replication_status(registry, ALICE, None, after=None, limit=9).images == []


async def test_the_status_of_many_comes_page_by_page(registry: Registry) -> None:
    await put_replication(registry, ALICE, rules())
    digests = {await push_image(registry, b"%d" % n, name=(APP, OTHER)[n % 2]) for n in range(7)}
    await due(registry)
    found, after = [], None
    while True:
        page = replication_status(registry, ALICE, None, after=after, limit=2)
        found += [one.digest for one in page.images]
        if page.next is None:
            break
        after = page.next
    assert (len(found), set(found)) == (7, digests)
    assert len(replication_status(registry, ALICE, APP, after=None, limit=99).images) == 4
    for nonsense in ("x:y", "x:0"):
        with pytest.raises(NameUnknown):
            replication_status(registry, ALICE, None, after=nonsense, limit=9)


async def test_what_is_announced_is_the_image_with_its_tags_as_they_are_now(registry: Registry) -> None:
    await put_replication(registry, ALICE, rules())
    digest = await push_image(registry, b"{}", tags=("1.27", "gone"))
    await due(registry)
    await delete_tag(registry, ALICE, APP, TagName("gone"))
    [one] = due_images(registry, THERE, after=b"", limit=9)
    said = await announcement(registry, one)
    assert said is not None
    assert (said.digest, said.manifest, said.repository) == (digest, image(b"{}"), APP)
    assert [tag.tag for tag in said.tags] == ["1.27"]
    assert [blob.digest for blob in said.blobs] == [digest_of(b"{}")]


# At the destination.


def announced(manifest: bytes, hlc: int, **tags: int) -> Announcement:
    sent = tuple(TagSent(TagName(tag), at, "source", 0, frozen=False, by="them") for tag, at in tags.items())
    return Announcement(str(THERE), APP, digest_of(manifest), hlc, "", sent, (str(THERE),), manifest)


async def take(registry: Registry, said: Announcement, *manifests: bytes) -> None:
    prepared = [
        await prepare_manifest(one, None, None, reading=registry.incoming.reading)
        for one in (*manifests, said.manifest)
    ]
    await take_image(registry, ALICE, said, prepared)


async def fetched(registry: Registry, data: bytes) -> None:
    """A blob that came from another node and is in no repository yet."""
    transit = registry.transits.begin(*fetchable(data))
    await transit.fill(receiver(data))
    await transit.complete()


@pytest.fixture
async def layered(registry: Registry) -> AsyncIterator[Registry]:
    for data in (b"{}", b"1", b"2"):
        await fetched(registry, data)
    yield registry
    with registry.store.meta.read() as txn:
        check(registry.store.meta, txn)


async def test_an_image_is_taken_with_its_children_and_tags_and_once(layered: Registry) -> None:
    said = announced(index(image(b"1")), 1000, latest=1000)
    assert not is_taken(layered, said)
    for _ in range(2):
        await take(layered, said, image(b"1"))
    assert is_taken(layered, said)
    for reference in (TagName("latest"), digest_of(image(b"1"))):
        assert await manifest_bytes(layered, reference)
    with layered.store.meta.read() as txn:
        assert layered.store.meta.journal.last(txn) == 2  # The repository, and the image. The second changed nothing.
        assert layered.store.meta.blobs.visible(txn, 1, digest_of(b"1")) is not None


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_announcements_come_to_the_same_in_any_order(layered: Registry, order: tuple[int, ...]) -> None:
    says = [
        announced(image(b"1"), 1000, latest=1000, old=1000),
        announced(image(b"2"), 2000, latest=2000),
        announced(image(b"1"), 3000, old=1000, new=3000),
    ]
    for at in order:
        await take(layered, says[at])
    found = {
        tag: (await open_manifest(layered, ALICE, APP, tag)).digest
        for tag in list_tags(layered, ALICE, APP, after="", limit=9)
    }
    first, second = digest_of(image(b"1")), digest_of(image(b"2"))
    assert found == {"latest": second, "old": first, "new": first}


async def test_a_later_push_here_is_not_undone_by_an_older_one_there(layered: Registry) -> None:
    here = await push_image(layered, b"2", tags=("latest",))
    await take(layered, announced(image(b"1"), 1000, latest=1000))
    assert (await open_manifest(layered, ALICE, APP, TagName("latest"))).digest == here


async def test_an_image_that_was_deleted_here_does_not_come_back_with_an_old_announcement(layered: Registry) -> None:
    await take(layered, announced(image(b"1"), 2000, latest=2000))
    await delete_image(layered, ALICE, APP, digest_of(image(b"1")))
    await take(layered, announced(image(b"1"), 1000, old=1000))
    assert list_tags(layered, ALICE, APP, after="", limit=9) == []
    await take(layered, announced(image(b"1"), 3000, old=3000))  # But with a new push there it does.
    assert list_tags(layered, ALICE, APP, after="", limit=9) == ["old"]


async def exists(registry: Registry) -> bool:
    try:
        list_tags(registry, ALICE, APP, after="", limit=1)
    except NameUnknown:
        return False
    return True


async def test_an_image_whose_blob_went_meanwhile_is_not_taken(registry: Registry) -> None:
    with pytest.raises(NoSource):
        await take(registry, announced(image(b"1"), 1000, latest=1000))
    assert not await exists(registry)


async def test_what_came_from_another_registry_is_not_sent_on(layered: Registry) -> None:
    await put_replication(layered, ALICE, rules(to=FAR))
    await take(layered, announced(image(b"1"), 1000, latest=1000))
    assert await due(layered, FAR) == []
    pushed = await push_image(layered, b"2")
    assert await due(layered, FAR) == [pushed]


async def test_what_came_from_another_registry_is_told_as_that(layered: Registry) -> None:
    await take(layered, announced(image(b"1"), 1000, latest=1000))
    told = read_events(layered, ALICE, after=0, records=9).events[-1]
    assert (told.kind, told.action, told.tag, told.digest) == (
        "replication",
        "REPLICATE",
        "latest",
        digest_of(image(b"1")),
    )
    assert told.arrival is not None
    assert told.arrival.source == announced(image(b"1"), 1000).source


async def test_who_may_not_replicate_stores_nothing(layered: Registry, world: World) -> None:
    world.denied.add(("ecr:ReplicateImage", APP))
    with pytest.raises(Denied):
        await take(layered, announced(image(b"1"), 1000, latest=1000))
    assert not await exists(layered)


async def test_a_manifest_that_was_pulled_through_is_kept_and_its_blobs_when_they_come(registry: Registry) -> None:
    prepared = await prepare_manifest(image(b"1"), None, None, reading=registry.incoming.reading)
    blob, _ = fetchable(b"1")
    await keep_manifest(registry, ALICE, APP, prepared, blobs=[blob], tag=TAG, arrival=Arrival("pull-through"))
    assert await manifest_bytes(registry, TAG) == image(b"1")
    with registry.store.meta.read() as txn:
        state = registry.store.meta.images.get(txn, 1, prepared.digest)
        assert state is not None
        assert state.dots[0].value.blobs == (blob,)
        assert registry.store.meta.blobs.visible(txn, 1, blob.digest) is None
    await show_blob(registry, APP, blob.digest)  # Not here yet: nothing to show.
    await fetched(registry, b"1")
    await show_blob(registry, APP, blob.digest)
    with registry.store.meta.read() as txn:
        assert registry.store.meta.blobs.visible(txn, 1, blob.digest) is not None
        check(registry.store.meta, txn)
