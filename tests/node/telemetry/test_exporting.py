"""A collector gets every span once while it answers, and can do no harm while it does not."""

from collections.abc import Sequence
from random import Random

import pytest
import structlog.testing
import trio
from trio.testing import MockClock

from node.telemetry.exporting import BATCH, INTERVAL, MAX_QUEUE, PATIENCE, Exporter, Sent
from node.telemetry.tracing import Span, Tracer

TRACER = Tracer(1.0, lambda _: None, Random(1))
OK = Sent(200)


class Collector:
    """Answers as it is told, the last answer for ever."""

    def __init__(self, *answers: Sent) -> None:
        self.answers = list(answers)
        self.batches: list[tuple[float, list[Span]]] = []

    async def send(self, spans: Sequence[Span]) -> Sent:
        self.batches.append((trio.current_time(), list(spans)))
        await trio.lowlevel.checkpoint()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.batches]


def spans(number: int) -> list[Span]:
    return [Span(TRACER, f"span {index}", "internal", b"t" * 16, b"") for index in range(number)]


async def run(exporter: Exporter, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await exporter.export_forever()


async def test_spans_are_gathered_and_sent_once_in_order(autojump_clock: MockClock) -> None:
    collector, all_spans = Collector(OK), spans(3)
    exporter = Exporter(collector.send)
    for span in all_spans:
        exporter.take(span)
    await run(exporter, 10 * INTERVAL)
    assert [batch for _, batch in collector.batches] == [all_spans]
    assert exporter.outcomes == {"exported": 3, "dropped": 0}


async def test_many_spans_go_at_once_and_in_batches(autojump_clock: MockClock) -> None:
    collector, all_spans = Collector(OK), spans(2 * BATCH + 1)
    exporter = Exporter(collector.send)
    for span in all_spans:
        exporter.take(span)
    begun = trio.current_time()
    await run(exporter, INTERVAL / 2)
    assert [len(batch) for _, batch in collector.batches] == [BATCH, BATCH, 1]
    assert collector.times[0] == begun


async def test_a_collector_that_is_away_is_asked_less_and_less_often(autojump_clock: MockClock) -> None:
    collector = Collector(Sent(0, "refused"), Sent(503), Sent(503, retry_after=20.0), Sent(429), OK)
    exporter = Exporter(collector.send)
    for span in spans(2):
        exporter.take(span)
    with structlog.testing.capture_logs() as logs:
        await run(exporter, 100)
    begun = collector.times[0]
    assert [round(at - begun) for at in collector.times] == [0, 1, 3, 23, 31]
    assert exporter.outcomes == {"exported": 2, "dropped": 0}
    assert [line["event"] for line in logs] == ["traces are not exported", "traces are exported again"]


async def test_what_the_collector_calls_wrong_is_not_sent_twice(autojump_clock: MockClock) -> None:
    collector = Collector(Sent(400), OK)
    exporter = Exporter(collector.send)
    exporter.take(spans(1)[0])
    await run(exporter, 60)
    assert len(collector.batches) == 1
    assert exporter.outcomes == {"exported": 0, "dropped": 1}


async def test_what_it_took_and_does_not_keep_counts_as_dropped(autojump_clock: MockClock) -> None:
    exporter = Exporter(Collector(Sent(200, rejected=2)).send)
    for span in spans(5):
        exporter.take(span)
    await run(exporter, 60)
    assert exporter.outcomes == {"exported": 3, "dropped": 2}


async def test_the_queue_is_bounded(autojump_clock: MockClock) -> None:
    exporter = Exporter(Collector(Sent(0)).send)
    for span in spans(MAX_QUEUE + 7):
        exporter.take(span)
    await run(exporter, 200)
    assert exporter.outcomes == {"exported": 0, "dropped": 7}


@pytest.mark.parametrize("is_away", [False, True])
async def test_the_node_stops_at_once(autojump_clock: MockClock, is_away: bool) -> None:
    async def send(_: Sequence[Span]) -> Sent:
        if is_away:
            await trio.sleep_forever()
        return OK

    exporter = Exporter(send)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exporter.export_forever)
            await trio.sleep(INTERVAL / 2)
            exporter.take(spans(1)[0])
            begun = trio.current_time()
            scope.cancel()
    assert trio.current_time() - begun <= 2
    assert exporter.outcomes["exported"] == (not is_away), "the last spans go out on the way"


async def test_a_collector_that_hangs_is_given_up(autojump_clock: MockClock) -> None:
    asked: list[float] = []

    async def send(_: Sequence[Span]) -> Sent:
        asked.append(trio.current_time())
        await trio.sleep_forever()

    exporter = Exporter(send)
    exporter.take(spans(1)[0])
    await run(exporter, PATIENCE * 3)
    assert asked[1] - asked[0] == pytest.approx(PATIENCE + 1)
