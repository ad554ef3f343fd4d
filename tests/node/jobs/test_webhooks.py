"""Deliveries: all of it, in order for each repository, whatever the receiver does and whenever the node dies."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TypeAlias

import msgspec
import pytest
import trio

from node.jobs import webhooks as job
from node.jobs.webhooks import deliver_forever
from node.registry.deliveries import Connect, Post, Told, load_checkpoint, put_checkpoint
from node.registry.registry import Registry
from node.registry.webhooks import (
    delete_webhook,
    failing_webhooks,
    pause_webhook,
    put_webhook,
    replay_events,
    show_webhook,
)
from node.store.table import WriteTxn
from protocol.events.queue import Behind, Checkpoint, Delivered, Refused, Unreached
from protocol.events.request import WebhookRequest
from protocol.events.webhook import Webhook
from protocol.oci.names import RepositoryName
from tests.node.registry.world import ALICE, World, opened, push_image

KEY = b"0123456789abcdef"
HOOK = Webhook("https://ci.example/hook", attempts=2)
A, B = RepositoryName("a"), RepositoryName("b")
OK = Told(Delivered(), 200)
Answer: TypeAlias = Callable[["Receiver", str], Awaitable[Told]]


class Receiver:
    """Remembers what it took, by repository: (tag, whether it was a replay)."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.taken: dict[str, list[str]] = defaultdict(list)
        self.replays: list[str] = []
        self.answer = answer
        self.news = trio.Event()
        self.under_way = 0
        self.connects = 0

    @asynccontextmanager
    async def connect(self, _webhook: Webhook) -> AsyncIterator[Post]:
        self.connects += 1
        yield self.post

    async def post(self, request: WebhookRequest) -> Told:
        detail = msgspec.json.decode(request.body)["detail"]
        what = f"{detail['repository-name']}:{detail.get('image-tag', '')}"
        self.under_way += 1
        try:
            told = OK if self.answer is None else await self.answer(self, what)
        finally:
            self.under_way -= 1
        if told is OK:
            self.taken[detail["repository-name"]].append(detail.get("image-tag", ""))
            if dict(request.headers).get("entrepot-replay"):
                self.replays.append(what)
        self.tell()
        return told

    def tell(self) -> None:
        self.news.set()
        self.news = trio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(10):
            while not condition():
                with trio.move_on_after(0.05):  # Some conditions are about what is written.
                    await self.news.wait()


@asynccontextmanager
async def delivering(registry: Registry, connect: Connect) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliver_forever, registry, connect, Random(1))
        yield
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SAVE", 0.01)
    monkeypatch.setattr("protocol.events.queue._FIRST_DELAY", 0.02)


async def put(registry: Registry, name: str = "ci", hook: Webhook = HOOK) -> None:
    await put_webhook(registry, ALICE, name, hook, key=KEY, start=None)


async def push(registry: Registry, name: RepositoryName, *tags: str) -> None:
    for tag in tags:
        await push_image(registry, tag.encode(), tags=(tag,), name=name)


def place(registry: Registry, name: str = "ci") -> Checkpoint:
    with registry.store.meta.read() as txn:
        return load_checkpoint(registry, txn, name)


async def test_what_is_pushed_is_told_in_order(registry: Registry) -> None:
    receiver = Receiver()
    await put(registry)
    await push(registry, A, "1")  # Before anybody delivers.
    async with delivering(registry, receiver.connect):
        await push(registry, B, "1")
        await push(registry, A, "2", "3")
        await receiver.until(lambda: len(receiver.taken[A]) == 3 and len(receiver.taken[B]) == 1)
        await receiver.until(lambda: place(registry).cursor == 6)
    assert dict(receiver.taken) == {A: ["1", "2", "3"], B: ["1"]}
    async with delivering(registry, receiver.connect):  # Started anew, it tells nothing again.
        await push(registry, B, "2")
        await receiver.until(lambda: receiver.taken[B] == ["1", "2"])
    assert receiver.taken[A] == ["1", "2", "3"]
    assert registry.deliveries["ci"].delivered == 5


async def test_a_repository_that_is_refused_is_set_aside_and_holds_up_none(registry: Registry) -> None:
    async def answer(_: Receiver, what: str) -> Told:
        return Told(Refused("status 422", is_lasting=True), 422) if what == "a:1" else OK

    receiver = Receiver(answer)
    await put(registry)
    async with delivering(registry, receiver.connect):
        await push(registry, A, "1", "2")
        await push(registry, B, "1")
        await receiver.until(lambda: receiver.taken[A] == ["2"] and receiver.taken[B] == ["1"])
        await receiver.until(lambda: show_webhook(registry, ALICE, "ci")[0].aside == 1)
        assert "1 events were set aside" in failing_webhooks(registry)
        ((aside,), shown) = (show_webhook(registry, ALICE, "ci")[1], show_webhook(registry, ALICE, "ci")[0])
        assert (aside.tag, aside.tries, aside.reason) == ("1", 2, "status 422")
        assert (shown.state, shown.failed, shown.delivered) == ("ok", 2, 2)
        receiver.answer = None
        await receiver.until(lambda: place(registry) == Checkpoint(5))
        await replay_events(registry, ALICE, "ci", "1")
        await receiver.until(lambda: sorted(receiver.replays) == ["a:1", "a:2", "b:1"])
        await receiver.until(lambda: show_webhook(registry, ALICE, "ci")[0].aside == 0)
    assert receiver.taken[A] == ["2", "1", "2"]
    assert failing_webhooks(registry) == ""


async def test_what_is_told_after_a_pause_is_written_too(registry: Registry) -> None:
    failed: list[str] = []

    async def answer(_: Receiver, what: str) -> Told:
        failed.append(what)
        return OK if len(failed) > 4 else Told(Refused("status 503", is_lasting=False), 503)

    receiver = Receiver(answer)
    await put(registry)
    async with delivering(registry, receiver.connect):
        await push(registry, A, "1")
        await receiver.until(lambda: receiver.taken[A] == ["1"])
        await receiver.until(lambda: place(registry) == Checkpoint(2))
    assert len(failed) == 5


async def test_records_that_are_missing_hold_up_none(registry: Registry) -> None:
    """A damaged key leaves a hole in the journal; one before a place that was reached, and one behind it."""
    receiver, journal = Receiver(), registry.store.meta.journal
    await put(registry)
    await push(registry, A, "1", "2", "3", "4")
    with registry.store.meta.read() as txn:
        last = journal.last(txn)
    behind = Checkpoint(last, (Behind(A, last - 4),))

    def run(txn: WriteTxn) -> None:
        put_checkpoint(registry, txn, "ci", behind)
        for position in (last - 2, last):
            journal.records.delete(txn, position.to_bytes(8, "big"))

    await registry.store.writer.write(run)
    async with delivering(registry, receiver.connect):
        await push(registry, A, "5")
        await receiver.until(lambda: receiver.taken[A] == ["1", "3", "5"])
        await receiver.until(lambda: place(registry) == Checkpoint(last + 1))


async def test_one_that_stalls_does_not_slow_the_others(registry: Registry) -> None:
    async def answer(_: Receiver, what: str) -> Told:
        if what.startswith("a"):
            await trio.sleep(1)
            return Told(Refused("no answer in 1 s", is_lasting=False))
        return OK

    stalling, good = Receiver(answer), Receiver()

    @asynccontextmanager
    async def connect(webhook: Webhook) -> AsyncIterator[Post]:
        yield (stalling if "stalling" in webhook.url else good).post

    await put(registry, "good")
    await put(registry, "stalling", Webhook("https://stalling.example/", timeout=1))
    async with delivering(registry, connect):
        await push(registry, A, "1")
        await push(registry, B, *map(str, range(20)))
        with trio.fail_after(3):
            await good.until(lambda: len(good.taken[B]) == 20 and good.taken[A] == ["1"])
            await stalling.until(lambda: len(stalling.taken[B]) == 20)
        await stalling.until(lambda: registry.deliveries["stalling"].failed > 0)
        assert registry.deliveries["stalling"].reason == "no answer in 1 s"
        await stalling.until(lambda: [one.repository for one in place(registry, "stalling").behind] == [A])


async def test_a_receiver_that_is_away_costs_nothing_but_the_lag(registry: Registry, world: World) -> None:
    async def answer(_: Receiver, __: str) -> Told:
        return Told(Unreached("no connection"))

    receiver = Receiver(answer)
    await put(registry)
    async with delivering(registry, receiver.connect):
        for number in range(30):
            await push(registry, RepositoryName(f"r{number}"), "1")
        await receiver.until(lambda: registry.deliveries["ci"].failed > 3)
        assert place(registry).cursor <= 1  # Of the record that makes the first repository.
        assert failing_webhooks(registry) == ""
        world.now += 61
        assert failing_webhooks(registry) == "ci: no connection"
        assert show_webhook(registry, ALICE, "ci")[0].state == "failing"
        receiver.answer = None
        await receiver.until(lambda: len(receiver.taken) == 30)
        assert failing_webhooks(registry) == ""
        assert show_webhook(registry, ALICE, "ci")[0].state == "ok"


async def test_a_webhook_that_is_paused_or_deleted_is_told_nothing(registry: Registry) -> None:
    receiver = Receiver()
    await put(registry)
    async with delivering(registry, receiver.connect):
        await push(registry, A, "1")
        await receiver.until(lambda: receiver.taken[A] == ["1"])
        await pause_webhook(registry, ALICE, "ci", paused=True)
        await push(registry, A, "2")
        await put(registry, "other", Webhook("https://other.example/", events=("delete",)))
        await receiver.until(lambda: receiver.connects == 2)
        await push(registry, A, "3")
        await receiver.until(lambda: place(registry, "other").cursor == 4)
        assert receiver.taken[A] == ["1"]
        await pause_webhook(registry, ALICE, "ci", paused=False)
        await receiver.until(lambda: receiver.taken[A] == ["1", "2", "3"])
        await delete_webhook(registry, ALICE, "ci")
        await push(registry, A, "4")
        await receiver.until(lambda: place(registry, "other").cursor == 5)
        await receiver.until(lambda: "ci" not in registry.deliveries)
    assert receiver.taken[A] == ["1", "2", "3"]


async def test_only_what_it_asked_for(registry: Registry) -> None:
    receiver = Receiver()
    await put(registry, hook=Webhook("https://ci.example/", repositories=("b*",)))
    async with delivering(registry, receiver.connect):
        await push(registry, A, "1")
        await push(registry, B, "1")
        await receiver.until(lambda: receiver.taken[B] == ["1"])
        await receiver.until(lambda: place(registry) == Checkpoint(4))
    assert A not in receiver.taken


async def test_after_any_kill_all_is_told_in_order(tmp_path: Path) -> None:
    """The node ends at random under a receiver that fails at random."""
    world, random = World(), Random(5)
    pushed: dict[str, list[str]] = defaultdict(list)

    async def answer(receiver: Receiver, what: str) -> Told:
        await trio.sleep(random.uniform(0, 0.003))
        if random.random() < 0.2:
            return Told(Refused("status 503", is_lasting=False), 503)
        return OK

    receiver = Receiver(answer)
    for life in range(12):
        async with opened(tmp_path / "data", world) as registry:
            if life == 0:
                await put(registry)
            with trio.move_on_after(random.uniform(0.01, 0.2)):
                async with delivering(registry, receiver.connect):
                    while True:
                        name = random.choice([A, B])
                        tag = str(len(pushed[name]))
                        with trio.CancelScope(shield=True):
                            await push(registry, name, tag)
                        pushed[name].append(tag)
                        await trio.lowlevel.checkpoint()
    async with opened(tmp_path / "data", world) as registry, delivering(registry, receiver.connect):
        await receiver.until(lambda: all(set(receiver.taken[name]) == set(pushed[name]) for name in (A, B)))
    assert sum(map(len, pushed.values())) >= 12  # One in each life, however slow the machine is.
    for name in (A, B):
        assert list(dict.fromkeys(receiver.taken[name])) == pushed[name]
