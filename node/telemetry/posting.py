"""Spans to a collector, by one POST of the standard library's client on a thread.

A thread of its own, one at a time: a collector that hangs holds that one and no more, also when it is given up. No
redirect is followed and no proxy is asked: what is sent goes where the configuration says. At most 64 KiB of an answer
are read.
"""

import gzip
import http.client
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

import trio

from node.telemetry.exporting import Send, Sent
from node.telemetry.otlp import rejected_spans
from node.telemetry.tracing import Span

_STEP = 5.0  # Seconds for each step of a connection.
_MAX_REPLY = 64 * 1024  # Bytes.
_PATH = "/v1/traces"
_HEADER = re.compile(r"([A-Za-z0-9-]+):[ \t]*([\x20-\x7e]+)", re.ASCII)


def sender(endpoint: str, headers: Mapping[str, str], encode: Callable[[Sequence[Span]], bytes]) -> Send:
    """Return what sends spans to *endpoint*, a URL that was checked; ``/v1/traces`` is added where it lacks that."""
    parts = urlsplit(endpoint)
    assert parts.hostname is not None
    host, port = parts.hostname, parts.port
    path = parts.path if parts.path.endswith(_PATH) else parts.path.rstrip("/") + _PATH
    context = ssl.create_default_context() if parts.scheme == "https" else None
    fields = {"content-type": "application/json", "content-encoding": "gzip", **headers}
    thread = trio.CapacityLimiter(1)

    def post(spans: Sequence[Span]) -> Sent:
        client = (
            http.client.HTTPConnection(host, port, timeout=_STEP)
            if context is None
            else http.client.HTTPSConnection(host, port, timeout=_STEP, context=context)
        )
        try:
            client.request("POST", path, gzip.compress(encode(spans), 1), fields)
            answer = client.getresponse()
            rejected = rejected_spans(answer.read(_MAX_REPLY))
            return Sent(answer.status, answer.reason, rejected, _seconds(answer.headers.get("retry-after", "")))
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            return Sent(0, f"{type(error).__name__}: {error}"[:200])
        finally:
            client.close()

    async def send(spans: Sequence[Span]) -> Sent:
        return await trio.to_thread.run_sync(post, spans, abandon_on_cancel=True, limiter=thread)

    return send


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def header_lines(text: str) -> Mapping[str, str]:
    """Return the headers of a file with one ``Name: value`` a line; ``ValueError`` where a line is none.

    The message does not repeat the line: it may hold a secret.
    """
    headers: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _HEADER.fullmatch(line.strip())
        if found is None:
            raise ValueError(f"line {number} is not of the form Name: value")
        headers[found[1]] = found[2]
    return headers
