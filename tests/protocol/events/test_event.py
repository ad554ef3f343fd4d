"""Events of records: one for each thing that happened, with the same ids each time."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.events.cloudevents import binary_headers, cloud_event
from protocol.events.ecr import ecr_event
from protocol.events.event import Arrival, Event, Facts, event_id, events_of
from protocol.moment import rfc3339
from protocol.oci.digest import Digest, digest_of
from protocol.oci.mediatype import OCI_IMAGE, OCI_INDEX
from protocol.oci.names import RepositoryName, TagName
from protocol.sync.clock import stamp_of
from protocol.sync.entries import (
    Entry,
    ImageDelete,
    ImageKey,
    ImagePut,
    ImageValue,
    RegisterKey,
    RegisterPut,
    RegisterValue,
    RepositoryDelete,
    RepositoryKey,
    RepositoryPut,
    RepositoryValue,
    TagKey,
    TagPut,
    TagValue,
)
from protocol.sync.record import FIRST, VERSION, Record
from protocol.sync.vector import Dead, Dot, Mark, vector

APP, OTHER = RepositoryName("team/app"), RepositoryName("other")
IMAGE, CHILD, SUBJECT = digest_of(b"image"), digest_of(b"child"), digest_of(b"subject")
ALICE = "arn:aws:iam::111111111111:user/alice"
AT = 1_769_903_999_250  # 2026-01-31T23:59:59.250Z
VECTORS = json.loads(Path(__file__).with_name("shapes.json").read_text())


def put(digest: Digest, media_type: str = OCI_IMAGE, name: RepositoryName = APP, **more: object) -> Entry:
    value = msgspec.structs.replace(ImageValue(AT, media_type, 100, bytes(32)), **more)
    return ImagePut(ImageKey(name, 1, digest), value)


def delete(digest: Digest) -> Entry:
    return ImageDelete(ImageKey(APP, 1, digest), (Mark(Dot("n", bytes(16), 1), 1),))


def tag(name: str, digest: Digest | None, repository: RepositoryName = APP) -> Entry:
    return TagPut(TagKey(repository, 1, TagName(name)), TagValue(digest, stamp_of(5), "n", False, 0, ALICE))


def moved(status: str | None) -> Entry:
    at = "archived" if status == "ARCHIVED" else "activated"
    fields = {"status": status, at: AT if status else None}
    return RegisterPut(RegisterKey("storage", f"{APP}@{IMAGE}"), RegisterValue(fields, by=ALICE))


def record(*entries: Entry, seq: int = 7) -> Record:
    node = "abcdefghijklmnop"
    return Record(VERSION, "111111111111/eu-west-1", node, bytes(16), seq, FIRST, stamp_of(AT) + 3, entries)


NO_FACTS = Facts(lambda _name, _digest: None, lambda _name, _tag, _value: None)


def events(*entries: Entry, arrival: Arrival | None = None, facts: Facts = NO_FACTS) -> list[Event]:
    return events_of(record(*entries), 12, arrival, facts)


def told(*entries: Entry, arrival: Arrival | None = None, facts: Facts = NO_FACTS) -> list[tuple[object, ...]]:
    return [(one.index, one.action, one.tag, one.digest) for one in events(*entries, arrival=arrival, facts=facts)]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param([put(IMAGE)], [(0, "PUSH", None, IMAGE)], id="a push by digest"),
        pytest.param([put(IMAGE), tag("1", IMAGE)], [(1, "PUSH", "1", IMAGE)], id="a push by tag is one event"),
        pytest.param(
            [put(IMAGE), tag("1", IMAGE), tag("2", IMAGE)],
            [(1, "PUSH", "1", IMAGE), (2, "PUSH", "2", IMAGE)],
            id="one event for each tag",
        ),
        pytest.param(
            [put(IMAGE, OCI_INDEX, children=(CHILD,)), put(CHILD), tag("1", IMAGE)],
            [(2, "PUSH", "1", IMAGE)],
            id="what lies under an index was told before",
        ),
        pytest.param(
            [put(CHILD), put(IMAGE, OCI_INDEX, children=(CHILD,))],
            [(1, "PUSH", None, IMAGE)],
            id="also where it comes first, as from another registry",
        ),
        pytest.param(
            [put(CHILD, name=OTHER), put(IMAGE, OCI_INDEX, children=(CHILD,))],
            [(0, "PUSH", None, CHILD), (1, "PUSH", None, IMAGE)],
            id="in its own repository only",
        ),
        pytest.param([tag("1", IMAGE)], [(0, "PUSH", "1", IMAGE)], id="a tag that moves to an image that is here"),
        pytest.param(
            [tag("1", None)], [(0, "DELETE", "1", None)], id="a tag is deleted, and nobody knows where it was"
        ),
        pytest.param(
            [delete(IMAGE), tag("1", None)],
            [(0, "DELETE", None, IMAGE), (1, "DELETE", "1", IMAGE)],
            id="an image is deleted with its tag",
        ),
        pytest.param([moved("ARCHIVED")], [(0, "UPDATE_STORAGE_CLASS", None, IMAGE)], id="an image is archived"),
        pytest.param([moved(None)], [], id="what is cleared is no event"),
        pytest.param([RegisterPut(RegisterKey("user", "x@y"), RegisterValue({"status": "ACTIVE"}))], [], id="a user"),
        pytest.param(
            [RepositoryPut(RepositoryKey(APP), RepositoryValue(1))], [(0, "PUT", None, None)], id="a repository"
        ),
        pytest.param(
            [RepositoryDelete(RepositoryKey(APP), Dead(1, vector([])))],
            [(0, "DELETE", None, None)],
            id="a repository goes",
        ),
    ],
)
def test_entries_and_their_events(entries: list[Entry], expected: list[tuple[object, ...]]) -> None:
    assert told(*entries) == expected


def test_facts_fill_in_what_an_entry_does_not_say() -> None:
    facts = Facts(
        lambda _, digest: ImageValue(AT, OCI_IMAGE, 1, bytes(32), subject=SUBJECT) if digest == IMAGE else None,
        lambda name, tag, value: CHILD if (name, tag, value.hlc) == (APP, "1", stamp_of(5)) else None,
    )
    assert told(tag("1", None), delete(IMAGE), facts=facts) == [(0, "DELETE", "1", CHILD), (1, "DELETE", None, IMAGE)]
    (moved,) = events(tag("1", IMAGE), facts=facts)
    assert (moved.media_type, moved.is_referrer) == (OCI_IMAGE, True)


@pytest.mark.parametrize(("status", "target"), [("ARCHIVED", "ARCHIVE"), ("ACTIVE", "STANDARD")])
def test_where_an_image_went_is_told_as_ecr_does(status: str, target: str) -> None:
    facts = Facts(lambda _name, _digest: ImageValue(AT, OCI_IMAGE, 1, bytes(32)), lambda _name, _tag, _value: None)
    [event] = events(moved(status), facts=facts)
    document = ecr_event(event)
    assert (document["detail-type"], document["resources"], event.by) == ("ECR Image Action", [], ALICE)
    assert document["detail"] == {
        "result": "SUCCESS",
        "repository-name": APP,
        "image-digest": IMAGE,
        "action-type": "UPDATE_STORAGE_CLASS",
        "target-storage-class": target,
        "manifest-media-type": OCI_IMAGE,
    }
    assert cloud_event(event)["type"] == "entrepot.image.moved"


@given(st.binary(min_size=16, max_size=16), st.integers(1, 2**63 - 1), st.integers(0, 10_000))
def test_an_id_is_a_uuid_of_the_dot_and_the_entry(incarnation: bytes, seq: int, index: int) -> None:
    first = event_id(Dot("n", incarnation, seq), index)
    assert first == event_id(Dot("n", incarnation, seq), index)
    assert (UUID(first).version, str(UUID(first))) == (8, first)
    others = [Dot("n", incarnation, seq - 1), Dot("m", incarnation, seq)]
    assert first not in {event_id(Dot("n", incarnation, seq), index + 1), *(event_id(one, index) for one in others)}


def test_ids_do_not_depend_on_what_is_known_or_where_it_is_read() -> None:
    facts = Facts(lambda *_: ImageValue(AT, OCI_INDEX, 1, bytes(32)), lambda *_: CHILD)
    entries = [tag("1", IMAGE), tag("2", None)]
    assert [one.id for one in events(*entries)] == [one.id for one in events(*entries, facts=facts)]
    assert [one.id for one in events(*entries)] == [
        one.id for one in events_of(record(*entries), 99, Arrival(), NO_FACTS)
    ]


SHAPES = {
    "push": (put(IMAGE, artifact_type="application/x"), tag("1.27", IMAGE)),
    "push by digest": (put(IMAGE),),
    "referrer": (put(IMAGE, subject=SUBJECT, artifact_type="application/vnd.example.sbom"),),
    "delete": (delete(IMAGE),),
    "repository": (RepositoryPut(RepositoryKey(APP), RepositoryValue(1)),),
    "repository delete": (RepositoryDelete(RepositoryKey(APP), Dead(1, vector([]))),),
    "replication": (put(IMAGE), tag("1.27", IMAGE)),
    "pull-through": (put(IMAGE), tag("1.27", IMAGE)),
}
ARRIVALS = {
    "replication": Arrival("replication", "222222222222/us-east-1"),
    "pull-through": Arrival("pull-through", "222222222222/us-east-1", "team/"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name: str) -> None:
    """The vectors are the documents of ECR's user guide, with this test's names in them."""
    (event,) = events(*SHAPES[name], arrival=ARRIVALS.get(name))
    assert {"ecr": ecr_event(event), "cloudevents": cloud_event(event)} == VECTORS[name]


def test_binary_mode_says_the_same_in_headers() -> None:
    (event,) = events(*SHAPES["push"])
    headers = dict(binary_headers(event))
    said = cloud_event(event)
    assert headers.pop("content-type") == said.pop("datacontenttype")
    del said["data"]
    assert headers == {f"ce-{name}": value for name, value in said.items()}


@given(st.integers(0, 253_402_300_799_999))
@example(951_868_799_999)  # The last moment of a leap day in a year that 400 divides.
@example(0)
def test_times_are_those_of_the_calendar(ms: int) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert rfc3339(ms, with_ms=True) == expected.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert rfc3339(ms, with_ms=False) == expected.replace(microsecond=0).isoformat().replace("+00:00", "Z")
