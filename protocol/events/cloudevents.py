"""An event as a CloudEvent: ECR's ``detail`` as the data, with attributes of the specification around it.

In *structured* mode the body is the whole event; in *binary* mode the attributes are ``ce-`` headers and the body is
the data alone. ``sequence`` (an extension of the specification) orders the events of one node: its text order is the
order in which they happened there.

Source: CloudEvents 1.0.2; HTTP Protocol Binding 1.0.2, 3.1 and 3.2; JSON Event Format 1.0.2; extension "Sequence".
"""

from typing import Any

import msgspec

from protocol.events.ecr import ecr_detail, is_whole_repository
from protocol.events.event import Event, Kind
from protocol.moment import rfc3339

STRUCTURED = "application/cloudevents+json"

_TYPES: dict[tuple[Kind, str], str] = {
    ("push", "PUSH"): "entrepot.image.pushed",
    ("delete", "DELETE"): "entrepot.image.deleted",
    ("replication", "REPLICATE"): "entrepot.image.replicated",
    ("pull-through", "PULL_THROUGH"): "entrepot.image.pulled-through",
    ("repository", "PUT"): "entrepot.repository.put",
    ("storage", "UPDATE_STORAGE_CLASS"): "entrepot.image.moved",
}
_encode = msgspec.json.Encoder().encode


def attributes(event: Event) -> dict[str, str]:
    """Return the attributes of the event without its data. All are ASCII: names of a registry are."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": f"entrepot://{event.account}/{event.region}",
        "type": "entrepot.repository.deleted" if is_whole_repository(event) else _TYPES[event.kind, event.action],
        "subject": _subject(event),
        "time": rfc3339(event.at, with_ms=True),
        "datacontenttype": "application/json",
        "sequence": f"{event.position:020d}.{event.index:06d}",
    }


def cloud_event(event: Event) -> dict[str, Any]:
    """Return the event in structured mode, ready for JSON."""
    return {**attributes(event), "data": ecr_detail(event)}


def structured_body(event: Event) -> bytes:
    """Return the body of structured mode."""
    return _encode(cloud_event(event))


def binary_body(event: Event) -> bytes:
    """Return the body of binary mode."""
    return _encode(ecr_detail(event))


def binary_headers(event: Event) -> list[tuple[str, str]]:
    """Return the headers of binary mode; the content type is the data's."""
    named = attributes(event)
    content_type = named.pop("datacontenttype")
    return [("content-type", content_type), *((f"ce-{name}", value) for name, value in named.items())]


def _subject(event: Event) -> str:
    if event.tag is not None:
        return f"{event.repository}:{event.tag}"
    return event.repository if event.digest is None else f"{event.repository}@{event.digest}"
