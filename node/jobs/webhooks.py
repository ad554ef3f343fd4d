"""Tells webhooks what happened: one task for each, which waits, sends what its queue says, and writes how far it is.

What to send is decided by ``protocol.events.queue``; what was done is written a moment later, many at once, so a crash
repeats deliveries and skips none. A webhook that was changed begins anew from what is written.
"""

from collections.abc import Iterable
from contextlib import suppress
from random import Random

import msgspec
import structlog
import trio

from node.registry.damage import tell_damage
from node.registry.deliveries import (
    MAX_ASIDE,
    Aside,
    Connect,
    Post,
    StoredWebhook,
    Told,
    aside_refs,
    load_checkpoint,
    save_delivery,
    seal_webhooks,
    stored_webhooks,
)
from node.registry.delivery import Delivery
from node.registry.events import event_at, events_after, readable_from
from node.registry.registry import Changes, Registry
from node.registry.webhooks import failing_webhooks
from node.registry.webhooksecrets import signing_keys
from protocol.errors import Busy, Damaged, RuleInvalid
from protocol.events.event import Event
from protocol.events.queue import Checkpoint, Delivered, Outcome, Queue, Ref, Refused, Unreached
from protocol.events.request import webhook_request
from protocol.oci.names import RepositoryName

PAGE = 32  # Records that are read at once.
SAVE = 0.2  # Seconds between two writes of how far a webhook is.
_LOOK = 10.0  # Seconds between two looks at whether some fail,
_MENDED = 60.0  # and at whether one that was damaged is there again.
_PAUSE = 30.0  # Seconds after something went wrong here, not there.
_PARTING = 2.0  # Seconds to write how far it is when the node stops.

log = structlog.get_logger()


async def deliver_forever(registry: Registry, connect: Connect, random: Random) -> None:
    """Keep one task for each webhook that is not paused, for ever."""
    with suppress(Busy):  # Tried again at the next start.
        await seal_webhooks(registry)
    running: dict[str, _Task] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_forever, registry)
        while True:
            changed = registry.webhooks.next()
            with registry.store.meta.read() as txn:
                stored = stored_webhooks(registry, txn)
            for name in registry.deliveries.keys() - stored.keys():
                del registry.deliveries[name]
            for name in stored:
                registry.deliveries.setdefault(name, Delivery())
            for name in [name for name, task in running.items() if name not in stored and task.ended.is_set()]:
                del running[name]
            for name in running.keys() | stored.keys():
                before, one = running.get(name), stored.get(name)
                revision = 0 if one is None or one.is_paused else one.revision
                if before is not None and before.revision != revision:
                    before.scope.cancel()
                if one is not None and revision and (before is None or before.revision != revision):
                    running[name] = task = _Task(name, one, None if before is None else before.ended)
                    nursery.start_soon(task.run, registry, connect, random)
            with trio.move_on_after(_MENDED):
                await changed.wait()


async def _watch_forever(registry: Registry) -> None:
    while True:
        registry.alarms.keep("webhook-failing", failing_webhooks(registry))
        await trio.sleep(_LOOK)


class _Task:
    """What delivers to one webhook under one revision. It begins when the one before has written how far it is."""

    def __init__(self, name: str, stored: StoredWebhook, after: trio.Event | None) -> None:
        self.revision = stored.revision
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self._name = name
        self._stored = stored
        self._after = after

    async def run(self, registry: Registry, connect: Connect, random: Random) -> None:
        """Deliver until cancelled. Nothing that goes wrong here ends the others."""
        if self._after is not None:
            await self._after.wait()
        try:
            with self.scope:
                while True:
                    await self._deliver(registry, connect, random)
                    await trio.sleep(_PAUSE)
        finally:
            self.ended.set()

    async def _deliver(self, registry: Registry, connect: Connect, random: Random) -> None:
        try:
            async with connect(self._stored.webhook) as post:
                await Deliverer(registry, post, random, self._name, self._stored).run()
        except* Damaged as damages:
            for one in _leaves(damages):
                log.warning("webhook waits for the journal", webhook=self._name, reason=str(one))
                tell_damage(registry, one)
        except* Exception:
            log.exception("bug", webhook=self._name)


def _leaves(group: ExceptionGroup[Damaged]) -> list[Damaged]:
    found: list[Damaged] = []
    for one in group.exceptions:
        found += [one] if isinstance(one, Damaged) else _leaves(one)
    return found


class Deliverer:
    """Delivers to one webhook, as it was under one revision."""

    def __init__(self, registry: Registry, post: Post, random: Random, name: str, stored: StoredWebhook) -> None:
        self._registry = registry
        self._post = post
        self._name = name
        self._stored = stored
        self._news = Changes()  # Something was pushed, or a delivery ended.
        self._moved = Changes()  # The queue has taken what was new.
        self._live = registry.deliveries.setdefault(name, Delivery())
        with registry.store.meta.read() as txn:
            checkpoint = load_checkpoint(registry, txn, name)
            self._live.aside = aside_refs(registry, txn, name)
            start = readable_from(registry, txn)
        self._aside: dict[Ref, Aside] = {}  # Not written yet.
        self._made_good: set[Ref] = set()  # The same.
        self._saved = checkpoint
        checkpoint = self._readable(checkpoint, start)
        webhook = stored.webhook
        self._queue = Queue(
            checkpoint,
            attempts=webhook.attempts,
            patience=webhook.hours * 3600,
            draw=random.random,
            now=trio.current_time(),
        )

    def _readable(self, checkpoint: Checkpoint, start: int) -> Checkpoint:
        """Return the checkpoint with no place before *start*: only where a journal was cut that was still needed."""
        lost = min([checkpoint.cursor, *(one.position for one in checkpoint.behind)])
        if lost >= start:
            return checkpoint
        reason = f"the journal begins with position {start + 1}; what was from {lost + 1} on is gone"
        self._set_aside(Ref(lost + 1, 0), 0, reason)
        behind = (msgspec.structs.replace(one, position=max(one.position, start)) for one in checkpoint.behind)
        return Checkpoint(max(checkpoint.cursor, start), tuple(behind))

    async def run(self) -> None:
        """Deliver, until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_journal)
                nursery.start_soon(self._save_forever)
                while True:
                    news = self._news.next()
                    await self._read()
                    self._moved.notify()
                    now = trio.current_time()
                    for repository, ref in self._queue.due(now):
                        nursery.start_soon(self._send, repository, ref)
                    with trio.move_on_at(self._queue.deadline(now)):
                        await news.wait()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _PARTING), suppress(Busy):
                await self._save()

    async def _watch_journal(self) -> None:
        while True:
            changed = self._registry.changes.next()
            self._news.notify()
            await changed.wait()

    async def _read(self) -> None:
        """Feed the queue, a page at a time, until it has enough or the journal has no more."""
        queue = self._queue
        while True:
            hungry = queue.hungry
            if hungry is None and not queue.wants_more:
                return
            place = queue.read if hungry is None else hungry
            with self._registry.store.meta.read() as txn:
                page = events_after(self._registry, txn, place, limit=PAGE)
            if not page:
                return
            for position, events in page:
                if hungry is None:
                    queue.feed(position, self._wanted(events))
                elif position <= queue.read:
                    queue.feed_behind(position, self._wanted(events), before=place)
                else:
                    queue.feed_behind(queue.read, (), before=place)  # All that was between is missing.
                    break
                place = position
            await trio.lowlevel.checkpoint()  # A long backlog is read between requests.

    def _wanted(self, events: Iterable[Event]) -> list[tuple[RepositoryName, int]]:
        return [(event.repository, event.index) for event in events if self._stored.webhook.wants(event)]

    async def _send(self, repository: RepositoryName, ref: Ref) -> None:
        """Send one event, and take what came of it."""
        told = await self._tell(ref)
        now = self._registry.now()
        if isinstance(told.outcome, Delivered):
            self._live.delivered += 1
            self._live.last_delivered = now
            if ref in self._live.aside:
                self._live.aside.discard(ref)
                self._made_good.add(ref)
        else:
            self._live.failed += 1
            self._live.reason = told.outcome.reason
            log.info("webhook failed", webhook=self._name, position=ref.position, reason=told.outcome.reason)
        self._took(repository, ref, told.outcome)
        is_failing = bool(self._queue.failing or self._queue.is_unreached)
        self._live.failing_since = (self._live.failing_since or now) if is_failing else None
        self._news.notify()

    def _took(self, repository: RepositoryName, ref: Ref, outcome: Outcome) -> None:
        may = len(self._live.aside) < MAX_ASIDE
        over = self._queue.ended(repository, outcome, now=trio.current_time(), may_set_aside=may)
        if over is not None:
            log.error(
                "event set aside", webhook=self._name, position=ref.position, tries=over.tries, reason=over.reason
            )
            self._set_aside(over.ref, over.tries, over.reason)

    def _set_aside(self, ref: Ref, tries: int, reason: str) -> None:
        self._live.aside.add(ref)
        self._aside[ref] = Aside(self._registry.now(), tries, reason)

    async def _tell(self, ref: Ref) -> Told:
        registry, stored = self._registry, self._stored
        event = event_at(registry, ref.position, ref.index)
        if event is None:
            return Told(Refused("its record is no longer in the journal", is_lasting=True))
        try:
            keys = signing_keys(registry, self._name, stored.secrets)
        except RuleInvalid as error:
            return Told(Unreached(str(error)))
        request = webhook_request(
            event,
            stored.webhook.format,
            keys,
            timestamp=int(registry.now()),
            is_replay=ref.position <= stored.replay_until,
        )
        return await self._post(request)

    async def _save_forever(self) -> None:
        while True:
            try:
                await self._save()
            except Busy as error:  # The disk is full: deliveries go on, and may be repeated after a crash.
                log.warning("webhook's place not written", webhook=self._name, reason=str(error))
                await trio.sleep(_PAUSE)
            await trio.sleep(SAVE)
            await self._dirty()

    async def _dirty(self) -> None:
        while not self._unsaved():
            await self._moved.next().wait()

    def _unsaved(self) -> bool:
        return bool(self._aside or self._made_good or self._queue.checkpoint(trio.current_time()) != self._saved)

    async def _save(self) -> None:
        if not self._unsaved():
            return
        checkpoint = self._queue.checkpoint(trio.current_time())
        aside, made_good = dict(self._aside), set(self._made_good)
        await save_delivery(
            self._registry, self._name, self._stored.epoch, checkpoint, aside=aside, made_good=made_good
        )
        self._saved = checkpoint
        for ref in aside:
            del self._aside[ref]
        self._made_good -= made_good
