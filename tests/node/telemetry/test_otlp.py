"""What is exported is an ``ExportTraceServiceRequest``, by OpenTelemetry's own definition of it."""

import base64
import json
from random import Random
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from node.telemetry.otlp import encode_spans, rejected_spans
from node.telemetry.tracing import Span, Tracer

TRACER = Tracer(1.0, lambda _: None, Random(1))


def parsed(body: bytes) -> ExportTraceServiceRequest:
    """Read OTLP's JSON strictly. It is protobuf's, but for the ids, which are hex and not base64."""
    document = json.loads(body)
    for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    message: Any = json_format.ParseDict(document, ExportTraceServiceRequest())
    assert isinstance(message, ExportTraceServiceRequest)
    return message


def test_a_span_arrives_as_it_was() -> None:
    root = Span(TRACER, "GET /v2/{name}", "server", b"t" * 16, b"")
    part = root.child("commit", "internal")
    part.attributes |= {"store": "meta", "bytes": 2**40, "path": "/v2/\udcff"}
    part.failed = True
    part.end()
    root.end()
    message = parsed(encode_spans([part, root], {"service.name": "entrepot"}, "1.2.3"))
    [resource] = message.resource_spans
    assert {one.key: one.value.string_value for one in resource.resource.attributes} == {"service.name": "entrepot"}
    [scope] = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("entrepot", "1.2.3")
    first, second = scope.spans
    assert (first.name, first.kind, first.trace_id) == ("commit", OtlpSpan.SPAN_KIND_INTERNAL, b"t" * 16)
    assert (second.span_id, second.parent_span_id) == (root.context.span, b"")
    assert (first.span_id, first.parent_span_id) == (part.context.span, root.context.span)
    assert (first.status.code, second.status.code) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET)
    assert first.end_time_unix_nano - first.start_time_unix_nano == part.nanoseconds > 0
    values = {one.key: one.value for one in first.attributes}
    assert (values["store"].string_value, values["bytes"].int_value) == ("meta", 2**40)
    assert values["path"].string_value == "/v2/\\udcff"


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        (b"", 0),
        (b"{}", 0),
        (b'{"partialSuccess":{}}', 0),
        (b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}', 3),
        (b'{"partialSuccess":{"rejectedSpans":3}}', 3),
        (b'{"partialSuccess":{"rejectedSpans":"many"}}', 0),
        (b"\x0a\x02\x08\x01", 0),  # Protobuf.
    ],
)
def test_what_the_collector_says_that_it_did_not_keep(reply: bytes, count: int) -> None:
    assert rejected_spans(reply) == count
