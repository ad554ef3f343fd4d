"""A small collector of traces: OTLP over HTTP, as OpenTelemetry's own would take it."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.e2e.processes import wait_until


@dataclass(frozen=True, slots=True)
class Span:
    """What arrived of one span."""

    service: str
    node: str
    trace: str
    id: str
    parent: str
    name: str
    attributes: dict[str, str]


@dataclass(slots=True)
class Collector:
    """Every span that came, and the text of each request: its headers and its body."""

    port: int
    spans: list[Span] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """What a node is told."""
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, name: str, *, number: int = 1) -> list[Span]:
        """Return the spans called *name*, once there are *number*."""
        arrived = wait_until(lambda: len(self.named(name)) >= number, patience=30, interval=0.1)
        assert arrived, f"{name} did not come; there are {sorted({span.name for span in self.spans})}"
        return self.named(name)

    def named(self, name: str) -> list[Span]:
        """Return the spans called *name* that have come."""
        return [span for span in list(self.spans) if span.name == name]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port of loopback for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
            collector.requests.append(f"{self.path}\n{self.headers}\n{body.decode()}")
            collector.spans += _spans(json.loads(body))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there.
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _spans(request: Any) -> Iterator[Span]:  # noqa: ANN401 - JSON.
    for resource in request["resourceSpans"]:
        about = _attributes(resource["resource"])
        for scope in resource["scopeSpans"]:
            for one in scope["spans"]:
                yield Span(
                    about["service.name"],
                    about["service.instance.id"],
                    one["traceId"],
                    one["spanId"],
                    one.get("parentSpanId", ""),
                    one["name"],
                    _attributes(one),
                )


def _attributes(holder: Any) -> dict[str, str]:  # noqa: ANN401 - JSON.
    return {one["key"]: str(next(iter(one["value"].values()))) for one in holder["attributes"]}
