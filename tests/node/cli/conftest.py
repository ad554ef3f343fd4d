"""A control socket that answers by a table and remembers what it was asked."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from node.cli.main import entrepot


@dataclass(slots=True)
class Node:
    """Answers *answers* [method and target], or 404."""

    data: Path
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    def refuse(self, request: str, status: int, message: str = "no") -> None:
        self.answers[request] = (status, {"error": {"code": "Code", "message": message}})

    def hang_up(self, request: str) -> None:
        """End the connection without an answer."""
        self.answers[request] = (0, None)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            request = f"{self.command} {self.path.removeprefix('/admin/v1/')}"
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            node.asked.append((request, body))
            unknown = (404, {"error": {"code": "NameUnknown", "message": f"unknown: {request}"}})
            status, value = node.answers.get(request, unknown)
            if not status:
                return
            answer = b"" if value is None else value if isinstance(value, bytes) else msgspec.json.encode(value)
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - the library's names.

        def address_string(self) -> str:
            return ""

        def log_message(self, *_: object) -> None:
            pass

    with UnixStreamServer(str(tmp_path / "control.sock"), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield node
        server.shutdown()
        thread.join()


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands as a shell would, without a terminal."""

    data: Path

    def __call__(self, *args: str, stdin: str | bytes = "") -> Result:
        result = CliRunner(env={"ENTREPOT_DATA": str(self.data), "COLUMNS": "100"}).invoke(entrepot, args, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result


@pytest.fixture
def run(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
