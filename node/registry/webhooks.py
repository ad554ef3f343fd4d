"""Webhooks: put, shown, changed, tried. What they are told is ``node.jobs.webhooks``' to send."""

from contextlib import suppress
from typing import Any

import msgspec
from cryptography import x509

from node.registry.deliveries import (
    MAX_ASIDE,
    Connect,
    Lag,
    StoredWebhook,
    Told,
    aside_refs,
    asides,
    forget_asides,
    forget_webhook,
    lag,
    load_checkpoint,
    lost_webhook,
    put_checkpoint,
    store_webhook,
    stored_webhook,
    stored_webhooks,
)
from node.registry.delivery import Delivery
from node.registry.events import event_at, position_from, require_position
from node.registry.registry import Registry
from node.registry.webhooksecrets import signing_keys
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Caller
from protocol.auth.secret import Secret, StoredSecret
from protocol.errors import Damaged, RuleInvalid, WebhookUnknown
from protocol.events.queue import Behind, Checkpoint
from protocol.events.request import ping_request
from protocol.events.signature import KEY_SIZE, format_secret
from protocol.events.webhook import MAX_WEBHOOKS, Webhook, checked, webhook_name

_CHANGE, _SEE = "ecr:PutRegistryPolicy", "ecr:GetRegistryPolicy"
_SHOWN_ASIDE = 100
_MAX_SECRETS = 4  # In force at once.
_SETTLED = 60.0  # Seconds that a webhook may fail before it is an alarm.


class WebhookPut(msgspec.Struct, frozen=True):
    """What a put or a rotation came to."""

    name: str
    secret: str | None = None  # Where it was made here: shown this once.


class WebhookShown(msgspec.Struct, frozen=True):
    """A webhook for people. Of its secrets it says only since when they are in force."""

    name: str
    webhook: Webhook  # Without what its URL's query may hold.
    state: str  # ``paused``, ``failing`` or ``ok``
    created: float
    secrets_since: tuple[float, ...]
    position: int  # All up to it is done, but for repositories that are behind.
    lag_records: int
    lag_seconds: float
    behind: tuple[Behind, ...]
    delivered: int  # Since the node started.
    failed: int
    last_delivered: float | None
    failing_since: float | None
    reason: str  # Of the last failure.
    aside: int  # Events that were set aside.


class EventAside(msgspec.Struct, frozen=True):
    """An event that is not tried any more, for people."""

    position: int
    index: int
    at: float
    tries: int
    reason: str
    repository: str | None = None
    action: str | None = None
    tag: str | None = None
    digest: str | None = None


async def put_webhook(
    registry: Registry, caller: Caller, name: str, webhook: Webhook, *, key: bytes | None, start: str | None
) -> WebhookPut:
    """Add a webhook, or change one: it keeps its place and its secrets then, unless told otherwise.

    Args:
        registry: where.
        caller: who asks.
        name: of the webhook.
        webhook: what it is told, where and how.
        key: signs what it is told; ``None`` makes one for a new webhook and shows it once.
        start: where to begin, as of ``position_from``; ``None``: with what happens from now on.

    Raises:
        Denied: without ``ecr:PutRegistryPolicy``.
        RuleInvalid: it makes no sense, or there are too many.
        ParameterInvalid, EventsGone: *start* is none.
    """
    registry.authorize(caller, _CHANGE, None)
    webhook_name(name)
    _require_authority(checked(webhook))
    after = None if start is None else position_from(registry, caller, start)
    made = registry.random(KEY_SIZE)

    def run(txn: WriteTxn) -> bool:
        is_anew = lost_webhook(registry, txn, name)  # It keeps its place.
        old = None if is_anew else stored_webhook(registry, txn, name)
        if old is None and len(stored_webhooks(registry, txn)) >= MAX_WEBHOOKS:
            raise RuleInvalid(f"there are {MAX_WEBHOOKS} webhooks already; delete one first")
        is_made = key is None and old is None
        secrets = () if old is None else old.secrets
        if key is not None or is_made:
            secrets = (_secret(registry, key or made),)
        created = registry.now() if old is None else old.created
        replay_until = 0 if old is None else old.replay_until
        is_paused = old is not None and old.is_paused
        epoch = 0 if old is None else old.epoch
        stored = StoredWebhook(webhook, secrets, 0, epoch, is_paused, created, replay_until)
        store_webhook(registry, txn, name, stored, moved=after is not None or (old is None and not is_anew))
        if after is not None:
            require_position(registry, txn, after)
            put_checkpoint(registry, txn, name, Checkpoint(after))
        elif old is None and not is_anew:
            put_checkpoint(registry, txn, name, Checkpoint(registry.store.meta.journal.last(txn)))
        return is_made

    is_made = await registry.store.writer.write(run)
    registry.webhooks.notify()
    return WebhookPut(name, format_secret(made) if is_made else None)


def list_webhooks(registry: Registry, caller: Caller) -> list[WebhookShown]:
    """Return all webhooks by name; ``Denied`` without ``ecr:GetRegistryPolicy``."""
    registry.authorize(caller, _SEE, None)
    with registry.store.meta.read() as txn:
        return [_shown(registry, txn, name, one) for name, one in stored_webhooks(registry, txn).items()]


def show_webhook(registry: Registry, caller: Caller, name: str) -> tuple[WebhookShown, list[EventAside]]:
    """Return one webhook, and the first events that were set aside.

    Raises:
        Denied: without ``ecr:GetRegistryPolicy``.
        WebhookUnknown: there is none.
    """
    registry.authorize(caller, _SEE, None)
    with registry.store.meta.read() as txn:
        shown = _shown(registry, txn, name, _required(registry, txn, name))
        rows = asides(registry, txn, name, limit=_SHOWN_ASIDE)
    found: list[EventAside] = []
    for ref, one in rows:
        event = event_at(registry, ref.position, ref.index)
        known: dict[str, Any] = (
            {}
            if event is None
            else {"repository": event.repository, "action": event.action, "tag": event.tag, "digest": event.digest}
        )
        found.append(EventAside(ref.position, ref.index, one.at, one.tries, one.reason, **known))
    return shown, found


async def delete_webhook(registry: Registry, caller: Caller, name: str) -> None:
    """Delete a webhook, its place and its secrets.

    Raises:
        Denied: without ``ecr:PutRegistryPolicy``.
        WebhookUnknown: there is none.
    """
    registry.authorize(caller, _CHANGE, None)

    def run(txn: WriteTxn) -> None:
        with suppress(Damaged):  # What nobody can read any more can go.
            _required(registry, txn, name)
        forget_webhook(registry, txn, name)

    await registry.store.writer.write(run)
    registry.webhooks.notify()


async def pause_webhook(registry: Registry, caller: Caller, name: str, *, paused: bool) -> None:
    """Stop telling a webhook, or go on where it stopped. Raises as ``delete_webhook``."""
    registry.authorize(caller, _CHANGE, None)

    def run(txn: WriteTxn) -> None:
        stored = _required(registry, txn, name)
        store_webhook(registry, txn, name, msgspec.structs.replace(stored, is_paused=paused))

    await registry.store.writer.write(run)
    registry.webhooks.notify()


async def clear_webhook(registry: Registry, caller: Caller, name: str) -> int:
    """Forget the events that were set aside; return how many. Raises as ``delete_webhook``."""
    registry.authorize(caller, _CHANGE, None)

    def run(txn: WriteTxn) -> int:
        stored = _required(registry, txn, name)
        cleared = forget_asides(registry, txn, name)
        store_webhook(registry, txn, name, stored)
        return cleared

    cleared = await registry.store.writer.write(run)
    registry.webhooks.notify()
    return cleared


async def rotate_secret(registry: Registry, caller: Caller, name: str, *, key: bytes | None, keep: float) -> WebhookPut:
    """Let a new secret sign what is told, and the old ones beside it for *keep* seconds.

    Raises as ``delete_webhook``; ``RuleInvalid`` where there are too many in force.
    """
    registry.authorize(caller, _CHANGE, None)
    made = registry.random(KEY_SIZE)

    def run(txn: WriteTxn) -> None:
        stored, now = _required(registry, txn, name), registry.now()
        old = tuple(
            msgspec.structs.replace(one, until=min(one.until or now + keep, now + keep))
            for one in stored.secrets
            if keep and (not one.until or one.until > now)
        )
        if len(old) >= _MAX_SECRETS:
            raise RuleInvalid(f"{len(old)} secrets are in force; wait until one runs out, or keep none")
        secrets = (_secret(registry, key or made), *old)
        store_webhook(registry, txn, name, msgspec.structs.replace(stored, secrets=secrets))

    await registry.store.writer.write(run)
    registry.webhooks.notify()
    return WebhookPut(name, format_secret(made) if key is None else None)


async def replay_events(registry: Registry, caller: Caller, name: str, start: str) -> int:
    """Tell a webhook again what happened from *start* on (as of ``position_from``); return the position before it.

    Raises as ``delete_webhook``; ``ParameterInvalid`` and ``EventsGone`` for *start*.
    """
    registry.authorize(caller, _CHANGE, None)
    wanted = position_from(registry, caller, start)

    def run(txn: WriteTxn) -> int:
        stored = _required(registry, txn, name)
        require_position(registry, txn, wanted)
        before = load_checkpoint(registry, txn, name)
        after = min(wanted, before.cursor)
        behind = tuple(one for one in before.behind if one.position < after)
        put_checkpoint(registry, txn, name, Checkpoint(after, behind))
        until = max(before.cursor, stored.replay_until)
        store_webhook(registry, txn, name, msgspec.structs.replace(stored, replay_until=until), moved=True)
        return after

    after = await registry.store.writer.write(run)
    registry.webhooks.notify()
    return after


async def try_webhook(registry: Registry, caller: Caller, name: str, connect: Connect) -> Told:
    """Send a webhook a request that tells of nothing; return what came back.

    Raises as ``show_webhook``, and ``RuleInvalid`` where its secrets do not open.
    """
    registry.authorize(caller, _CHANGE, None)
    with registry.store.meta.read() as txn:
        stored = _required(registry, txn, name)
    now, digits = registry.now(), registry.random(16).hex()
    request = ping_request(
        name,
        f"test-{digits}",
        signing_keys(registry, name, stored.secrets),
        timestamp=int(now),
        registry=(registry.name.account, registry.name.region),
    )
    async with connect(stored.webhook) as post:
        return await post(request)


def webhook_lags(registry: Registry) -> dict[str, Lag]:
    """Return what each webhook was not told yet, by name; it reads one record for each."""
    with registry.store.meta.read() as txn:
        return {name: lag(registry, txn, name) for name in stored_webhooks(registry, txn)}


def failing_webhooks(registry: Registry) -> str:
    """Return what is wrong with webhooks, for the alarm; ``""`` where nothing is."""
    with registry.store.meta.read() as txn:
        stored = stored_webhooks(registry, txn)
    said: list[str] = []
    for name, one in stored.items():
        delivery = registry.deliveries.get(name)
        if delivery is None:
            continue
        since = delivery.failing_since
        if since is not None and not one.is_paused and registry.now() - since >= _SETTLED:
            said.append(f"{name}: {delivery.reason}")
        if delivery.aside:
            more = " (no more room: they are tried on)" if len(delivery.aside) >= MAX_ASIDE else ""
            said.append(f"{name}: {len(delivery.aside)} events were set aside{more}")
    return "; ".join(said)


def _required(registry: Registry, txn: ReadTxn, name: str) -> StoredWebhook:
    stored = stored_webhook(registry, txn, name)
    if stored is None:
        raise WebhookUnknown(f"no webhook {name[:64]}")
    return stored


def _require_authority(webhook: Webhook) -> None:
    """Raise ``RuleInvalid`` where the authority is something else than certificates in PEM."""
    if webhook.authority:
        try:
            x509.load_pem_x509_certificates(webhook.authority.encode())
        except ValueError:
            raise RuleInvalid("the authority (ca-file) is not a certificate in PEM") from None


def _secret(registry: Registry, key: bytes) -> StoredSecret:
    return StoredSecret("plain", Secret(key), registry.now())


def _shown(registry: Registry, txn: ReadTxn, name: str, stored: StoredWebhook) -> WebhookShown:
    delivery = registry.deliveries.get(name, Delivery())
    checkpoint, behind = load_checkpoint(registry, txn, name), lag(registry, txn, name)
    is_failing = delivery.failing_since is not None
    url, mark, _ = stored.webhook.url.partition("?")
    now = registry.now()
    return WebhookShown(
        name,
        msgspec.structs.replace(stored.webhook, url=url + (mark and "?***")),
        "paused" if stored.is_paused else "failing" if is_failing else "ok",
        stored.created,
        tuple(one.since for one in stored.secrets if not one.until or one.until > now),
        checkpoint.cursor,
        behind.records,
        behind.seconds,
        checkpoint.behind,
        delivery.delivered,
        delivery.failed,
        delivery.last_delivered,
        delivery.failing_since,
        delivery.reason,
        len(aside_refs(registry, txn, name)),
    )
