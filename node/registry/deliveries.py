"""How far each webhook is, durably: its cursors, what was set aside, and what ``node.jobs.webhooks`` reads and writes.

Kept as documents: ``webhook/NAME`` is the webhook itself, ``webhook-behind/NAME`` its lanes that are behind, and
``webhook-aside/NAME/POSITION.INDEX`` each event that was set aside. The main cursor is a follower's, ``webhook/NAME``.
What changes a webhook gives it a new *revision*. What changes its place gives it a new *epoch* as well: how far it came
under an older one is not written any more, so a replay is never undone by a delivery that was under way.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import msgspec

from node.registry.damage import is_lost
from node.registry.registry import Registry
from node.registry.webhooksecrets import is_sealed, sealed_secrets
from node.store.damage import Place
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.secret import StoredSecret
from protocol.events.queue import Behind, Checkpoint, Outcome, Ref
from protocol.events.request import WebhookRequest
from protocol.events.webhook import MAX_WEBHOOKS, Webhook
from protocol.sync.clock import stamp_ms
from protocol.sync.record import read_record

MAX_ASIDE = 10_000  # Events of one webhook; beyond, one that is refused is tried on instead.
_PLACE = re.compile(r"[0-9]{20}\.[0-9]{8}", re.ASCII)
_ROW, _BEHIND, _ASIDE = "webhook/", "webhook-behind/", "webhook-aside/"


class StoredWebhook(msgspec.Struct, frozen=True, array_like=True):
    """A webhook as it is kept."""

    webhook: Webhook
    secrets: tuple[StoredSecret, ...]  # The newest first.
    revision: int
    epoch: int
    is_paused: bool
    created: float  # Seconds since 1970, UTC.
    replay_until: int = 0  # Position up to which events were told before somebody asked for them again.


class Aside(msgspec.Struct, frozen=True, array_like=True):
    """An event that is not tried any more."""

    at: float  # When it was given up; seconds since 1970, UTC.
    tries: int
    reason: str


class Told(msgspec.Struct, frozen=True):
    """What came back from a receiver."""

    outcome: Outcome
    status: int | None = None
    text: str = ""  # The beginning of its answer.


Post: TypeAlias = Callable[[WebhookRequest], Awaitable[Told]]
"""Sends one request and says what came of it, in the webhook's time; raises nothing of its own."""

Connect: TypeAlias = Callable[[Webhook], AbstractAsyncContextManager[Post]]
"""What sends requests to a webhook, for as long as the block."""


class Lag(msgspec.Struct, frozen=True):
    """What a webhook was not told yet, at most: records that do not concern it count too until they are read."""

    records: int
    seconds: float  # Age of the oldest.


def stored_webhooks(registry: Registry, txn: ReadTxn) -> dict[str, StoredWebhook]:
    """Return all webhooks by name, in order, but for those that are damaged."""
    rows = registry.store.meta.documents.under(txn, _ROW, limit=MAX_WEBHOOKS)
    return {name: _decode(data) for name, data in rows}


def stored_webhook(registry: Registry, txn: ReadTxn, name: str) -> StoredWebhook | None:
    """Return one webhook."""
    data = registry.store.meta.documents.get(txn, _ROW + name)
    return None if data is None else _decode(data)


def lost_webhook(registry: Registry, txn: ReadTxn, name: str) -> bool:
    """Whether the webhook itself is damaged for good; how far it is may be known all the same."""
    return is_lost(registry, txn, Place("documents", (_ROW + name).encode()))


def store_webhook(registry: Registry, txn: WriteTxn, name: str, stored: StoredWebhook, *, moved: bool = False) -> None:
    """Add or replace a webhook, under a new revision; *moved*: with another place, under a new epoch too.

    Its secrets are sealed, whoever made them.
    """
    documents = registry.store.meta.documents
    revision = documents.number(txn, "webhook-revision") + 1
    documents.put_number(txn, "webhook-revision", revision)
    epoch = revision if moved else stored.epoch
    secrets = sealed_secrets(registry, name, stored.secrets)
    replaced = msgspec.structs.replace(stored, secrets=secrets, revision=revision, epoch=epoch)
    documents.put(txn, _ROW + name, _encode(replaced))


async def seal_webhooks(registry: Registry) -> None:
    """Seal the secrets of webhooks that an early version kept as they are."""
    with registry.store.meta.read() as txn:
        if all(is_sealed(one.secrets) for one in stored_webhooks(registry, txn).values()):
            return

    def run(txn: WriteTxn) -> None:
        for name, stored in stored_webhooks(registry, txn).items():
            if not is_sealed(stored.secrets):
                store_webhook(registry, txn, name, stored)

    await registry.store.writer.write(run)


def forget_webhook(registry: Registry, txn: WriteTxn, name: str) -> None:
    """Delete a webhook with all that is kept of it."""
    documents = registry.store.meta.documents
    documents.delete(txn, _ROW + name)
    documents.delete(txn, _BEHIND + name)
    forget_asides(registry, txn, name)
    registry.store.meta.journal.drop(txn, _ROW + name)


def forget_asides(registry: Registry, txn: WriteTxn, name: str) -> int:
    """Forget the events of a webhook that were set aside; return how many there were."""
    documents = registry.store.meta.documents
    found = documents.names(txn, f"{_ASIDE}{name}/", limit=2 * MAX_ASIDE)
    for place in found:
        documents.delete(txn, f"{_ASIDE}{name}/{place}")
    return len(found)


def load_checkpoint(registry: Registry, txn: ReadTxn, name: str) -> Checkpoint:
    """Return how far a webhook is."""
    behind = registry.store.meta.documents.get(txn, _BEHIND + name)
    cursor = registry.store.meta.journal.cursor(txn, _ROW + name)
    return Checkpoint(cursor, () if behind is None else _decode_behind(behind))


def put_checkpoint(registry: Registry, txn: WriteTxn, name: str, checkpoint: Checkpoint) -> None:
    """Say how far a webhook is."""
    documents = registry.store.meta.documents
    registry.store.meta.journal.move(txn, _ROW + name, checkpoint.cursor)
    if checkpoint.behind:
        documents.put(txn, _BEHIND + name, _encode(checkpoint.behind))
    else:
        documents.delete(txn, _BEHIND + name)


async def save_delivery(
    registry: Registry,
    name: str,
    epoch: int,
    checkpoint: Checkpoint,
    *,
    aside: dict[Ref, Aside],
    made_good: set[Ref],
) -> None:
    """Write how far a webhook is, unless it was given another place since *epoch*.

    Args:
        registry: where it is.
        name: of the webhook.
        epoch: under which all of this came about.
        checkpoint: how far it is.
        aside: events that were set aside.
        made_good: events that were set aside before and were taken now.
    """
    documents = registry.store.meta.documents

    def run(txn: WriteTxn) -> None:
        stored = stored_webhook(registry, txn, name)
        if stored is None or stored.epoch != epoch:
            return
        put_checkpoint(registry, txn, name, checkpoint)
        for ref, one in aside.items():
            documents.put(txn, _aside_name(name, ref), _encode(one))
        for ref in made_good:
            documents.delete(txn, _aside_name(name, ref))

    await registry.store.writer.write(run)


def asides(registry: Registry, txn: ReadTxn, name: str, *, limit: int) -> list[tuple[Ref, Aside]]:
    """Return the first events that were set aside, by place."""
    rows = registry.store.meta.documents.under(txn, f"{_ASIDE}{name}/", limit=limit)
    return [(_ref(place), _decode_aside(data)) for place, data in rows]


def aside_refs(registry: Registry, txn: ReadTxn, name: str) -> set[Ref]:
    """Return the places of all events that were set aside, but for those whose key is damaged."""
    places = registry.store.meta.documents.names(txn, f"{_ASIDE}{name}/", limit=MAX_ASIDE)
    return {_ref(one) for one in places if _PLACE.fullmatch(one)}


def lag(registry: Registry, txn: ReadTxn, name: str) -> Lag:
    """Return what a webhook was not told yet."""
    journal = registry.store.meta.journal
    checkpoint = load_checkpoint(registry, txn, name)
    place = min((one.position for one in checkpoint.behind), default=checkpoint.cursor)
    place = min(place, checkpoint.cursor)
    data = journal.at(txn, place + 1)
    age = 0.0 if data is None else max(0.0, registry.now() - stamp_ms(read_record(data).hlc) / 1000)
    return Lag(journal.last(txn) - place, age)


def _aside_name(name: str, ref: Ref) -> str:
    return f"{_ASIDE}{name}/{_place(ref)}"


def _place(ref: Ref) -> str:
    return f"{ref.position:020d}.{ref.index:08d}"


def _ref(place: str) -> Ref:
    position, _, index = place.partition(".")
    return Ref(int(position), int(index))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StoredWebhook).decode
_decode_behind = msgspec.msgpack.Decoder(tuple[Behind, ...]).decode
_decode_aside = msgspec.msgpack.Decoder(Aside).decode
