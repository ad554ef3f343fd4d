"""Spans: what one request did and how long each part took, here and at the nodes that it asked.

A trace begins at a door or with a piece of work of the node's own, or is gone on with where a request says so
(``traceparent``). Whether it is kept is decided once, where it begins; all parts of it keep to that. What is not kept
costs a look at a context variable, and where tracing is off not even a trace is begun.

    with span("commit", store="meta"):      # Part of whatever is under way in this task; nothing where nothing is.
        ...

Tasks inherit the span in which they were started, so a fetch that outlives its request still belongs to it. A span
holds what the access log holds: no header but the user agent, no query, no body.

Source: opentelemetry.io, "Trace API", "Trace SDK: TraceIdRatioBased", and "Semantic conventions for HTTP spans".
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from random import Random, SystemRandom
from time import perf_counter_ns, time_ns
from typing import Literal, TypeAlias

import trio

from protocol.wire.traceparent import TraceParent, parse_traceparent

Kind: TypeAlias = Literal["internal", "server", "client"]
Attribute: TypeAlias = str | int

ASKED = 100  # Traces a second that are kept because a stranger asks for it, whatever the ratio is.

_current: ContextVar["Span | None"] = ContextVar("span", default=None)
_NOTHING: AbstractContextManager[None] = nullcontext()


class Span:
    """One part of a trace, from when it was made until ``end``."""

    __slots__ = (
        "_began",
        "_tracer",
        "attributes",
        "began",
        "context",
        "failed",
        "kind",
        "name",
        "nanoseconds",
        "parent",
    )

    def __init__(self, tracer: "Tracer", name: str, kind: Kind, trace: bytes, parent: bytes) -> None:
        self._tracer = tracer
        self.context = TraceParent(trace, tracer.new_span_id(), is_sampled=True)
        self.parent = parent
        """The span id of what this is a part of; empty for the first of a trace."""
        self.name = name
        self.kind: Kind = kind
        self.attributes: dict[str, Attribute] = {}
        self.failed = False
        self.began = time_ns()
        self.nanoseconds = 0
        self._began = perf_counter_ns()

    def child(self, name: str, kind: Kind) -> "Span":
        """Begin a part of it."""
        return Span(self._tracer, name, kind, self.context.trace, self.context.span)

    def end(self) -> None:
        """It has ended: hand it on."""
        self.nanoseconds = perf_counter_ns() - self._began
        self._tracer.export(self)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make what happens in the block part of it; does not end it."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


Export: TypeAlias = Callable[[Span], None]


class Tracer:
    """Begins traces.

    Args:
        sample_ratio: which part of the traces that begin here is kept, 0 to 1.
        export: takes each span that has ended; ``None`` where tracing is off.
        random: of ids.
    """

    def __init__(self, sample_ratio: float, export: Export | None, random: Random) -> None:
        self.is_on = export is not None
        self.export: Export = export or _nowhere
        self._below = int(sample_ratio * 2**64)
        self._random = random
        self._second = 0.0
        self._asked = 0  # Traces that strangers asked for in this second.

    def new_span_id(self) -> bytes:
        """Return 8 bytes, not all zero."""
        return (self._random.getrandbits(64) or 1).to_bytes(8, "big")

    def begin(self, name: str, kind: Kind = "internal", *, told: str = "", is_stranger: bool = True) -> Span | None:
        """Return the first span of this node in a trace, or ``None`` where the trace is not kept.

        Args:
            name: a constant of the code.
            kind: ``server`` where somebody waits for the answer.
            told: the ``traceparent`` of the request: then it is for who sent it to say whether the trace is kept.
            is_stranger: who sent it is no node of ours, so he is listened to ``ASKED`` times a second.
        """
        if not self.is_on:
            return None
        parent = parse_traceparent(told) if told else None
        if parent is None:
            trace = (self._random.getrandbits(128) or 1).to_bytes(16, "big")
            is_kept = int.from_bytes(trace[8:], "big") < self._below
            return Span(self, name, kind, trace, b"") if is_kept else None
        if not parent.is_sampled or (is_stranger and not self._may_ask()):
            return None
        return Span(self, name, kind, parent.trace, parent.span)

    def root(self, name: str, **attributes: Attribute) -> AbstractContextManager[Span | None]:
        """Make the block a trace of its own: a piece of work that nobody asked for."""
        begun = self.begin(name)
        return _NOTHING if begun is None else _block(begun, attributes)

    def part(self, name: str, told: str, **attributes: Attribute) -> AbstractContextManager[Span | None]:
        """Make the block a part of the trace that another node of ours *told*; of none, where it told none."""
        begun = self.begin(name, "server", told=told, is_stranger=False) if told else None
        return _NOTHING if begun is None else _block(begun, attributes)

    def _may_ask(self) -> bool:
        now = trio.current_time()
        if now - self._second >= 1:
            self._second, self._asked = now, 0
        self._asked += 1
        return self._asked <= ASKED


def span(name: str, kind: Kind = "internal", **attributes: Attribute) -> AbstractContextManager[Span | None]:
    """Make the block a part of what is under way in this task; where that is no trace, nothing happens."""
    parent = _current.get()
    return _NOTHING if parent is None else _block(parent.child(name, kind), attributes)


def outgoing() -> tuple[tuple[str, str], ...]:
    """Return the header that tells another node to which trace a request of this task belongs; none where to none."""
    current = _current.get()
    return () if current is None else (("traceparent", str(current.context)),)


@contextmanager
def _block(begun: Span, attributes: dict[str, Attribute]) -> Iterator[Span]:
    begun.attributes |= attributes
    try:
        with begun.active():
            yield begun
    except trio.Cancelled:
        begun.attributes["cancelled"] = "true"
        raise
    except BaseException:
        begun.failed = True
        raise
    finally:
        begun.end()


def _nowhere(_: Span) -> None:
    """Tracing is off."""


def no_traces() -> Tracer:
    """Return a tracer that keeps nothing."""
    return Tracer(0.0, None, SystemRandom())
