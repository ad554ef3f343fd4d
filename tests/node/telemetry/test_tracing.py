"""Spans: parts of one trace across tasks, kept or not as it was decided where the trace began."""

from random import Random

import pytest
import trio
from trio.testing import MockClock

from node.telemetry.tracing import ASKED, Span, Tracer, no_traces, outgoing, span
from protocol.wire.traceparent import TraceParent, parse_traceparent

TOLD = TraceParent(b"t" * 16, b"s" * 8, is_sampled=True)


@pytest.fixture
def ended() -> list[Span]:
    return []


@pytest.fixture
def tracer(ended: list[Span]) -> Tracer:
    return Tracer(1.0, ended.append, Random(1))


def test_a_block_is_a_part_of_the_block_around_it(tracer: Tracer, ended: list[Span]) -> None:
    with tracer.root("outer", image="x") as outer, span("inner", "client", store="meta"):
        pass
    assert outer is not None
    inner, root = ended
    assert (inner.name, inner.kind, inner.attributes) == ("inner", "client", {"store": "meta"})
    assert (root.name, root.kind, root.attributes, root.parent) == ("outer", "internal", {"image": "x"}, b"")
    assert inner.parent == root.context.span != inner.context.span
    assert inner.context.trace == root.context.trace
    assert root.nanoseconds >= inner.nanoseconds > 0


async def test_a_task_belongs_to_the_span_in_which_it_was_started(tracer: Tracer, ended: list[Span]) -> None:
    async def work() -> None:
        with span("later"):
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        with tracer.root("request"):
            nursery.start_soon(work)
    request, later = ended
    assert later.parent == request.context.span


def test_outside_of_a_trace_nothing_happens(tracer: Tracer, ended: list[Span]) -> None:
    with tracer.root("before"):
        pass
    ended.clear()
    with span("commit") as nothing:
        assert nothing is None
    assert outgoing() == ()
    assert ended == []


def test_the_next_node_goes_on_with_the_trace(tracer: Tracer, ended: list[Span]) -> None:
    with tracer.root("request") as request:
        [(name, told)] = outgoing()
    assert request is not None
    assert name == "traceparent"
    assert parse_traceparent(told) == request.context
    with tracer.part("answer", told, method="map"):
        pass
    assert ended[-1].context.trace == request.context.trace
    assert ended[-1].parent == request.context.span
    with tracer.part("answer", "") as nothing:
        assert nothing is None, "a node that says no trace begins none here"


@pytest.mark.parametrize(("ratio", "kept"), [(0.0, 0), (0.25, 250), (1.0, 1000)])
def test_as_many_traces_are_kept_as_the_ratio_says(ratio: float, kept: int) -> None:
    tracer = Tracer(ratio, lambda _: None, Random(3))
    assert sum(tracer.begin("request") is not None for _ in range(1000)) == pytest.approx(
        kept, abs=50 * (0 < ratio < 1)
    )


async def test_who_began_the_trace_says_whether_it_is_kept(ended: list[Span]) -> None:
    never, always = Tracer(0.0, ended.append, Random(1)), Tracer(1.0, ended.append, Random(1))
    begun = never.begin("request", told=str(TOLD))
    assert begun is not None
    assert (begun.context.trace, begun.parent) == (TOLD.trace, TOLD.span)
    assert always.begin("request", told=str(TraceParent(TOLD.trace, TOLD.span, is_sampled=False))) is None


async def test_strangers_cannot_have_all_kept(tracer: Tracer, autojump_clock: MockClock) -> None:
    assert sum(tracer.begin("request", told=str(TOLD)) is not None for _ in range(5 * ASKED)) == ASKED
    assert tracer.begin("request", told=str(TOLD), is_stranger=False) is not None
    await trio.sleep(1)
    assert tracer.begin("request", told=str(TOLD)) is not None


def test_a_block_that_raises_has_failed(tracer: Tracer, ended: list[Span]) -> None:
    with pytest.raises(LookupError), tracer.root("request"):
        raise LookupError
    assert ended[0].failed


async def test_a_block_that_is_cancelled_has_not(tracer: Tracer, ended: list[Span], autojump_clock: MockClock) -> None:
    with trio.move_on_after(1), tracer.root("request"):
        await trio.sleep_forever()
    assert not ended[0].failed
    assert ended[0].attributes == {"cancelled": "true"}


def test_where_tracing_is_off_none_begins() -> None:
    tracer = no_traces()
    assert not tracer.is_on
    assert tracer.begin("request", told=str(TOLD)) is None
    with tracer.root("collect") as nothing:
        assert nothing is None
        assert outgoing() == ()
