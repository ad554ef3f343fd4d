"""What is counted, logged and traced of each request of a door: when it begins, and when its answer has ended."""

from collections.abc import Awaitable

import msgspec

from node.http.message import Answered, Application, Observe, Request, Response
from node.telemetry.access import MAX_AGENT, MAX_PATH, AccessLog
from node.telemetry.metrics import Metrics
from node.telemetry.text import escaped
from node.telemetry.tracing import Span, Tracer

_PEERS = "peers"


def counted(door: str, application: Application, metrics: Metrics, tracer: Tracer) -> Application:
    """Return *application*, each of whose requests is in flight, and perhaps traced, until it is observed."""

    def begin(request: Request) -> Awaitable[Response]:  # No coroutine of its own: this is called for every request.
        metrics.count_in_flight(door, 1)
        if tracer.is_on:
            request.span = _begun(door, tracer, request.headers.get("traceparent", ""))
            if request.span is not None:
                return _traced(application, request, request.span)
        return application(request)

    return begin


def observer(door: str, metrics: Metrics, access: AccessLog | None) -> Observe:
    """Return what is told of each answer."""
    count = metrics.observe_request

    def observe(answered: Answered) -> None:
        request = answered.request
        if not answered.refused:
            metrics.count_in_flight(door, -1)
        count(
            door,
            request.method,
            answered.status,
            sent=answered.sent,
            received=request.body.length or 0,
            seconds=answered.seconds,
        )
        span = request.span
        if span is not None:
            _end(span, answered)
        if access is not None and access.is_on:
            access.write(
                request_id=request.id,
                client=request.client,
                method=request.method,
                path=request.path,
                status=answered.status,
                sent=answered.sent,
                seconds=answered.seconds,
                version=request.version,
                agent=request.headers.get("user-agent", ""),
                trace=msgspec.UNSET if span is None else span.context.trace.hex(),
                operation=request.route if request.path == "/" and request.route else msgspec.UNSET,
            )

    return observe


def _begun(door: str, tracer: Tracer, told: str) -> Span | None:
    """Begin at *door*. Nodes ask each other all day: of that only what belongs to a trace is one."""
    if door == _PEERS:
        return tracer.begin(door, "server", told=told, is_stranger=False) if told else None
    return tracer.begin(door, "server", told=told)


async def _traced(application: Application, request: Request, span: Span) -> Response:
    with span.active():
        return await application(request)


def _end(span: Span, answered: Answered) -> None:
    request = answered.request
    span.name = f"{request.method} {request.route}" if request.route else f"{request.method} ({span.name})"
    span.failed = answered.status >= 500
    span.attributes |= {
        "http.request.method": request.method,
        "http.route": request.route,
        "url.path": escaped(request.path[:MAX_PATH]),
        "url.scheme": request.scheme,
        "http.response.status_code": answered.status,
        "http.response.body.size": answered.sent,
        "network.protocol.version": request.version,
        "client.address": request.client,
        "user_agent.original": escaped(request.headers.get("user-agent", "")[:MAX_AGENT]),
        "entrepot.request_id": request.id,
    }
    span.end()
