"""Webhooks: who is told of events. A secret comes in by these and goes out once, when it was made here."""

import msgspec

from node.api.admin.answer import Admin, json, read_decoded
from node.http.message import Request, Response
from node.registry.webhooks import (
    WebhookPut,
    clear_webhook,
    delete_webhook,
    list_webhooks,
    pause_webhook,
    put_webhook,
    replay_events,
    rotate_secret,
    show_webhook,
    try_webhook,
)
from protocol.auth.caller import Caller
from protocol.events.queue import Delivered
from protocol.events.signature import parse_secret
from protocol.events.webhook import Webhook

MAX_KEEP = 30 * 24.0  # Hours that an old secret is kept in force.


class WebhookAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """Body of ``PUT /admin/v1/webhooks/<name>``."""

    webhook: Webhook
    secret: str | None = None
    start: str | None = None

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # 3.12 has it.
        return f"WebhookAsked({self.webhook})"


class RotationAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /admin/v1/webhooks/<name>/rotate``."""

    secret: str | None = None
    keep_hours: float = msgspec.field(default=24.0)

    def __post_init__(self) -> None:
        """Check the hours: msgspec adds the place to a ``ValueError``."""
        if not 0 <= self.keep_hours <= MAX_KEEP:
            raise ValueError(f"keep_hours is from 0 to {MAX_KEEP:g}")

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # 3.12 has it.
        return "RotationAsked(***)"


class ReplayAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from"}):
    """Body of ``POST /admin/v1/webhooks/<name>/replay``."""

    start: str


class Tried(msgspec.Struct, frozen=True):
    """What came back from a receiver."""

    taken: bool
    status: int | None
    reason: str
    text: str


async def put_one(admin: Admin, caller: Caller, request: Request) -> Response:
    """``PUT /admin/v1/webhooks/<name>``: 201, with the secret where it was made here."""
    asked = await read_decoded(request, WebhookAsked)
    name, key = request.params["name"], _key(asked.secret)
    return _put(await put_webhook(admin.registry, caller, name, asked.webhook, key=key, start=asked.start))


async def get_all(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/webhooks``."""
    return json({"webhooks": list_webhooks(admin.registry, caller)})


async def get_one(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/webhooks/<name>``: with the first events that were set aside."""
    shown, aside = show_webhook(admin.registry, caller, request.params["name"])
    return json({"webhook": shown, "aside": aside})


async def delete_one(admin: Admin, caller: Caller, request: Request) -> Response:
    """``DELETE /admin/v1/webhooks/<name>``: 204."""
    await delete_webhook(admin.registry, caller, request.params["name"])
    return Response(204)


async def pause(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/webhooks/<name>/pause``: 204."""
    await pause_webhook(admin.registry, caller, request.params["name"], paused=True)
    return Response(204)


async def resume(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/webhooks/<name>/resume``: 204."""
    await pause_webhook(admin.registry, caller, request.params["name"], paused=False)
    return Response(204)


async def clear(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/webhooks/<name>/clear``: forgets what was set aside, answers how many events."""
    return json({"cleared": await clear_webhook(admin.registry, caller, request.params["name"])})


async def rotate(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/webhooks/<name>/rotate``: 201, with the secret where it was made here."""
    asked = await read_decoded(request, RotationAsked)
    key, keep = _key(asked.secret), asked.keep_hours * 3600
    return _put(await rotate_secret(admin.registry, caller, request.params["name"], key=key, keep=keep))


async def replay(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/webhooks/<name>/replay``: answers the position after which it begins."""
    asked = await read_decoded(request, ReplayAsked)
    return json({"after": await replay_events(admin.registry, caller, request.params["name"], asked.start)})


async def test(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/webhooks/<name>/test``: sends a request that tells of nothing, answers what came back."""
    told = await try_webhook(admin.registry, caller, request.params["name"], admin.connect)
    is_taken = isinstance(told.outcome, Delivered)
    return json(
        Tried(is_taken, told.status, "" if isinstance(told.outcome, Delivered) else told.outcome.reason, told.text)
    )


def _put(put: WebhookPut) -> Response:
    return json(put, 201)


def _key(secret: str | None) -> bytes | None:
    return None if secret is None else parse_secret(secret)
