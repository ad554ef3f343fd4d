"""Events are read from the journal, at any position, with what the tables know of them."""

from datetime import UTC, datetime

import pytest

from node.registry.deletes import delete_image
from node.registry.events import position_before, position_from, read_events
from node.registry.images import prepare_manifest
from node.registry.receiving import keep_manifest
from node.registry.registry import Registry
from node.registry.tags import delete_tag
from node.store.journal import Cursor
from protocol.errors import Denied, EventsGone, ParameterInvalid
from protocol.events.event import Arrival, Event
from protocol.oci.mediatype import OCI_IMAGE
from protocol.oci.names import RepositoryName, TagName
from tests.node.registry.world import ALICE, APP, EVE, OTHER, TAG, World, image, push_image


def read(registry: Registry, *, after: int = 0, records: int = 100, only: tuple[str, ...] = ()) -> list[Event]:
    return read_events(registry, ALICE, after=after, records=records, repositories=only).events


async def test_what_was_done_is_told_in_order(registry: Registry) -> None:
    first = await push_image(registry, b"1", tags=("1.27",))
    second = await push_image(registry, b"2", tags=("1.27",))
    await delete_tag(registry, ALICE, APP, TAG)
    await delete_image(registry, ALICE, APP, first)
    found = [(one.action, one.tag, one.digest) for one in read(registry)]
    assert found == [
        ("PUT", None, None),
        ("PUSH", TAG, first),
        ("PUSH", TAG, second),
        ("DELETE", TAG, second),  # The record of the delete does not say so: the tag's history does.
        ("DELETE", None, first),
    ]
    assert read(registry)[1].media_type == OCI_IMAGE
    assert read(registry)[1].by == ALICE.arn


async def test_a_page_says_where_the_next_one_begins(registry: Registry) -> None:
    for number in range(4):
        await push_image(registry, bytes([number]))
    page = read_events(registry, ALICE, after=0, records=3)
    assert (page.after, page.last) == (3, 5)
    rest = read_events(registry, ALICE, after=3, records=3)
    assert (rest.after, rest.last) == (5, 5)
    assert [*page.events, *rest.events] == read(registry)
    assert read_events(registry, ALICE, after=5, records=3).events == []


async def test_only_some_repositories(registry: Registry) -> None:
    await push_image(registry, b"1")
    await push_image(registry, b"1", name=OTHER)
    await push_image(registry, b"1", name=RepositoryName("team/app2"))
    assert {one.repository for one in read(registry, only=("team/*",))} == {APP, "team/app2"}
    assert {one.repository for one in read(registry, only=("team/app", "other"))} == {APP, OTHER}


async def test_what_was_pulled_through_is_told_as_that(registry: Registry) -> None:
    prepared = await prepare_manifest(image(b"1"), None, None, reading=registry.incoming.reading)
    arrival = Arrival("pull-through", "111111111111/us-east-1", "team/")
    await keep_manifest(registry, ALICE, APP, prepared, blobs=(), tag=TAG, arrival=arrival)
    event = read(registry)[-1]
    assert (event.kind, event.arrival, event.tag, event.digest) == ("pull-through", arrival, TAG, prepared.digest)


async def test_a_position_is_found_by_number_time_and_age(registry: Registry, world: World) -> None:
    begun = world.now
    for number in range(6):
        await push_image(registry, bytes([number]), tags=(str(number),))
        world.now += 60

    def tag_at(text: str) -> TagName | None:
        return read(registry, after=position_from(registry, ALICE, text), records=1)[0].tag

    # Position 1 creates the repository.
    assert (tag_at("2"), tag_at("0"), tag_at("4")) == ("0", None, "2")
    for number in range(1, 6):
        moment = datetime.fromtimestamp(begun + number * 60, UTC)
        assert tag_at(moment.isoformat()) == str(number)
        assert tag_at(moment.replace(tzinfo=None).isoformat() + "Z") == str(number)
        assert tag_at(f"{6 - number}m") == str(number)
    assert tag_at("1d") is None
    assert position_from(registry, ALICE, "2100-01-01") == 7
    assert [position_before(registry, ALICE, number) for number in (0, 3, 99)] == [7, 4, 0]


@pytest.mark.parametrize("text", ["", "-1", "x", "12x", "1.5", "٣", "2026-13-01", "9" * 30, "99999999999d"])
async def test_nonsense_is_no_position(registry: Registry, text: str) -> None:
    with pytest.raises(ParameterInvalid, match="not a position"):
        position_from(registry, ALICE, text)


async def test_what_is_no_longer_in_the_journal_is_said_to_be_gone(registry: Registry) -> None:
    for number in range(4):
        await push_image(registry, bytes([number]))
    journal = registry.store.meta.journal
    await registry.store.writer.write(lambda txn: [journal.records.delete(txn, n.to_bytes(8, "big")) for n in (1, 2)])
    with pytest.raises(EventsGone, match="begins with position 3"):
        read(registry, after=1)
    assert [one.position for one in read(registry, after=2)] == [3, 4, 5]
    assert position_before(registry, ALICE, 99) == 2
    assert position_from(registry, ALICE, "9d") == 2
    with pytest.raises(ParameterInvalid, match="beyond the last one, which is 5"):
        read(registry, after=6)


async def test_an_empty_journal_has_no_events(registry: Registry) -> None:
    assert read(registry) == []
    assert position_from(registry, ALICE, "2026-01-01") == position_before(registry, ALICE, 5) == 0
    with registry.store.meta.read() as txn:
        assert registry.store.meta.journal.cursors.get(txn, b"last") in {None, Cursor(0)}


async def test_who_may_not_see_images_sees_no_events(registry: Registry) -> None:
    with pytest.raises(Denied):
        read_events(registry, EVE, after=0, records=1)
    with pytest.raises(Denied):
        position_from(registry, EVE, "1")
    with pytest.raises(Denied):
        position_before(registry, EVE, 1)
