"""Events, page by page; a page that would be empty waits for something to happen."""

from typing import Any

import trio

from node.api.admin.answer import Admin, json
from node.http.message import Request, Response
from node.registry.events import EventPage, position_before, position_from, read_events
from protocol.auth.caller import Caller
from protocol.errors import ParameterInvalid
from protocol.events.cloudevents import cloud_event
from protocol.events.ecr import ecr_event
from protocol.events.event import Event
from protocol.events.webhook import require_pattern
from protocol.oci.reference import single

MAX_WAIT = 30.0  # Seconds.
_RECORDS = 200  # Looked at for a page.


async def get_events(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/events``: a page of events, and ``after``, with which the next one is asked for.

    Parameters: ``after`` (a position), or ``from`` (a position, a time, how long ago), or ``last`` (how many records
    back); ``format`` (ecr, cloudevents); ``repository`` (a name or the beginning of one and ``*``, repeated); ``wait``
    (seconds).
    """
    patterns = tuple(request.parameters("repository"))
    for pattern in patterns:
        require_pattern(pattern)
    form = single("format", request.parameters("format")) or "plain"
    if form not in {"plain", "ecr", "cloudevents"}:
        raise ParameterInvalid(f"format {form[:20]!r} is not ecr or cloudevents")
    after = _after(admin, caller, request)
    with trio.move_on_after(min(_number(request, "wait") or 0, MAX_WAIT)):
        while True:
            changed = admin.registry.changes.next()
            found = read_events(admin.registry, caller, after=after, records=_RECORDS, repositories=patterns)
            if found.events or found.after > after:
                return _page(found, form)
            await changed.wait()
    return _page(EventPage([], after, after), form)


def _after(admin: Admin, caller: Caller, request: Request) -> int:
    after, back = _number(request, "after"), _number(request, "last")
    text = single("from", request.parameters("from"))
    if after is not None:
        return after
    if text is not None:
        return position_from(admin.registry, caller, text)
    return position_before(admin.registry, caller, back or 0)


def _number(request: Request, name: str) -> int | None:
    text = single(name, request.parameters(name))
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ParameterInvalid(f"{name} is not a number")
    return int(text)


def _page(found: EventPage, form: str) -> Response:
    return json(
        {
            "events": [_shown(event, form) for event in found.events],
            "after": found.after,
            "last": max(found.last, found.after),
        }
    )


def _shown(event: Event, form: str) -> dict[str, Any]:
    match form:
        case "ecr":
            return ecr_event(event)
        case "cloudevents":
            return cloud_event(event)
        case _:
            return {
                "position": event.position,
                "at": event.at / 1000,
                "kind": event.kind,
                "action": event.action,
                "repository": event.repository,
                "tag": event.tag,
                "digest": event.digest,
                "media_type": event.media_type,
                "artifact_type": event.artifact_type,
                "by": event.by,
                "source": None if event.arrival is None else event.arrival.source,
                "id": event.id,
            }
