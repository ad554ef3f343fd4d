"""Spans as OpenTelemetry collectors take them: the JSON form of ``ExportTraceServiceRequest``.

Written by hand because it is one document with a dozen fields, and the client library would bring protobuf, requests
and a thread of its own, which neither ends with our nurseries nor is told when to wait. Trace and span ids are hex and
64-bit numbers are text, as OTLP says and JSON needs.

Source: opentelemetry.io, "OTLP Specification 1.x", sections 4.2 and "JSON Protobuf Encoding";
opentelemetry-proto, trace/v1/trace.proto.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from node.telemetry.tracing import Attribute, Kind, Span

_KINDS: Mapping[Kind, int] = {"internal": 1, "server": 2, "client": 3}
_ERROR = 2


class _Value(msgspec.Struct, rename="camel", omit_defaults=True):
    string_value: str | None = None
    int_value: str | None = None


class _KeyValue(msgspec.Struct):
    key: str
    value: _Value


class _Status(msgspec.Struct, frozen=True, omit_defaults=True):
    code: int = 0


class _Span(msgspec.Struct, rename="camel", omit_defaults=True):
    trace_id: str
    span_id: str
    name: str
    kind: int
    start_time_unix_nano: str
    end_time_unix_nano: str
    attributes: list[_KeyValue]
    flags: int
    status: _Status = _Status()
    parent_span_id: str = ""


class _Scope(msgspec.Struct):
    version: str
    name: Literal["entrepot"] = "entrepot"


class _ScopeSpans(msgspec.Struct):
    scope: _Scope
    spans: list[_Span]


class _Resource(msgspec.Struct):
    attributes: list[_KeyValue]


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: _Resource
    scope_spans: list[_ScopeSpans]


class _Request(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans]


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_spans: int | str = 0  # A 64-bit number: text, by the letter.


class _Reply(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess | None = None


def encode_spans(spans: Sequence[Span], resource: Mapping[str, str], version: str) -> bytes:
    """Return the body of the POST that exports *spans*; *resource* says who we are."""
    scoped = _ScopeSpans(_Scope(version), [_encoded(span) for span in spans])
    request = _Request([_ResourceSpans(_Resource(_attributes(resource)), [scoped])])
    return msgspec.json.encode(request)


def rejected_spans(reply: bytes) -> int:
    """Return how many spans the collector says that it did not take, in its answer to a POST that it took."""
    try:
        partial = msgspec.json.decode(reply or b"{}", type=_Reply).partial_success
        return 0 if partial is None else max(0, int(partial.rejected_spans))
    except (msgspec.MsgspecError, ValueError, RecursionError):  # It speaks protobuf all the same, or nonsense.
        return 0


def _encoded(span: Span) -> _Span:
    return _Span(
        span.context.trace.hex(),
        span.context.span.hex(),
        _text(span.name),
        _KINDS[span.kind],
        str(span.began),
        str(span.began + span.nanoseconds),
        _attributes(span.attributes),
        int(span.context.is_sampled),
        _Status(_ERROR) if span.failed else _Status(),
        span.parent.hex(),
    )


def _attributes(attributes: Mapping[str, Attribute]) -> list[_KeyValue]:
    return [
        _KeyValue(key, _Value(int_value=str(value)) if isinstance(value, int) else _Value(string_value=_text(value)))
        for key, value in attributes.items()
    ]


def _text(value: str) -> str:
    """Return *value* without lone surrogates, which a path that is not UTF-8 has."""
    return value.encode("utf-8", "backslashreplace").decode()
