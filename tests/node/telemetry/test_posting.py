"""What goes to a collector over HTTP, and the file of headers that goes with it."""

import gzip
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
import trio

from node.telemetry.exporting import Sent
from node.telemetry.posting import header_lines, sender


@pytest.mark.parametrize(
    ("base", "path"), [("", "/v1/traces"), ("/", "/v1/traces"), ("/otlp", "/otlp/v1/traces"), ("/v1/traces", None)]
)
async def test_one_post_of_json_and_what_was_answered(base: str, path: str | None) -> None:
    seen: list[tuple[str, str | None, str | None, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
            seen.append((self.path, self.headers["content-type"], self.headers["x-key"], body))
            self.send_response(503, "busy")
            self.send_header("retry-after", "7")
            self.send_header("location", "http://elsewhere.invalid/")
            self.end_headers()
            self.wfile.write(b'{"partialSuccess":{"rejectedSpans":"2"}}')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there.
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        send = sender(f"http://127.0.0.1:{server.server_port}{base}", {"x-key": "k"}, lambda _: b"[]")
        sent = await send([])
        await trio.to_thread.run_sync(thread.join)
    assert sent == Sent(503, "busy", 2, 7.0)
    assert seen == [(path or "/v1/traces", "application/json", "k", b"[]")]


async def test_nobody_is_there() -> None:
    for endpoint in ("http://127.0.0.1:1", "https://127.0.0.1:1", "http://nobody.invalid:4318"):
        sent = await sender(endpoint, {}, lambda _: b"")([])
        assert sent.status == 0
        assert sent.reason


def test_a_file_of_headers() -> None:
    text = "# For the collector.\n\nAuthorization: Bearer a:b\nX-Scope-OrgID:  7 \n"
    assert header_lines(text) == {"Authorization": "Bearer a:b", "X-Scope-OrgID": "7"}


@pytest.mark.parametrize("text", ["hunter2", "a\nhunter2: \x1b", ": hunter2", "two words: hunter2", "a: hünter2"])
def test_a_line_that_is_no_header_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"line \d is not of the form") as caught:
        header_lines(text)
    assert "unter2" not in str(caught.value)
