"""An event as it is posted to a webhook: body and headers, signed."""

import msgspec

from protocol.events.cloudevents import STRUCTURED, binary_body, binary_headers, structured_body
from protocol.events.ecr import ecr_body
from protocol.events.event import Event
from protocol.events.signature import signature
from protocol.events.webhook import Format


class WebhookRequest(msgspec.Struct, frozen=True):
    """What is posted."""

    headers: tuple[tuple[str, str], ...]  # Lower-case names.
    body: bytes


def webhook_request(
    event: Event, form: Format, keys: tuple[bytes, ...], *, timestamp: int, is_replay: bool
) -> WebhookRequest:
    """Return the request that tells of *event*.

    Args:
        event: what happened.
        form: how it is written.
        keys: those in force, at least one.
        timestamp: now, in seconds since 1970.
        is_replay: whether somebody asked to have it told again.
    """
    if form == "ecr":
        body, headers = ecr_body(event), [("content-type", "application/json")]
    elif form == "cloudevents":
        body, headers = structured_body(event), [("content-type", STRUCTURED)]
    else:
        body, headers = binary_body(event), binary_headers(event)
    headers += _signed(event.id, keys, timestamp, body)
    headers.append(("entrepot-position", str(event.position)))
    if is_replay:
        headers.append(("entrepot-replay", "true"))
    return WebhookRequest(tuple(headers), body)


def ping_request(
    name: str, event_id: str, keys: tuple[bytes, ...], *, timestamp: int, registry: tuple[str, str]
) -> WebhookRequest:
    """Return a request that tells of nothing, to try a webhook: its ``detail-type`` is ``Entrepot Webhook Test``.

    Args:
        name: of the webhook.
        event_id: any that is new.
        keys: those in force.
        timestamp: now, in seconds since 1970.
        registry: account and region.
    """
    account, region = registry
    body = msgspec.json.encode(
        {
            "version": "0",
            "id": event_id,
            "detail-type": "Entrepot Webhook Test",
            "source": "entrepot",
            "account": account,
            "region": region,
            "resources": [],
            "detail": {"webhook": name},
        }
    )
    headers = [("content-type", "application/json"), *_signed(event_id, keys, timestamp, body)]
    return WebhookRequest(tuple(headers), body)


def _signed(event_id: str, keys: tuple[bytes, ...], timestamp: int, body: bytes) -> list[tuple[str, str]]:
    return [
        ("webhook-id", event_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", signature(keys, event_id, timestamp, body)),
    ]
