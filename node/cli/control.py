"""Talks to the running node by the socket in its data directory: HTTP/1.1, JSON both ways.

The socket is the node's own and readable by its user only (0600), so that who may connect may do everything. A path
over 107 bytes does not fit into a socket address: then the directory is opened and the socket dialled through
``/proc/self/fd``.
"""

import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import msgspec

from node.cli.failures import Failed, NotRunning, Unreachable, failure

SOCKET = "control.sock"
PATIENCE = 60.0  # Seconds: a delete waits for a commit, an invitation for a node that holds the authority.
PAGE = 1000  # Rows asked for at once.
_NOBODY = (FileNotFoundError, NotADirectoryError, ConnectionRefusedError)
Parameter: TypeAlias = str | int | tuple[str, ...] | None
"""What a query has under a name: one value, several, none."""

_MAX_SOCKET_PATH = 107  # Bytes: sun_path of Linux, less the zero at its end.


class _Refused(msgspec.Struct):
    code: str
    message: str


class _ErrorBody(msgspec.Struct):
    error: _Refused


class Control:
    """The node that serves *data*."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._kept: _UnixConnection | None = None  # For many requests of one command: see ``send``.

    def running(self) -> bool:
        """Return whether a node answers there."""
        connection = self._connection()
        try:
            connection.connect()
        except _NOBODY:
            return False
        except OSError as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        return True

    def get(self, path: str, **query: str | int | None) -> Any:  # noqa: ANN401 - JSON.
        """Return the answer of ``GET /admin/v1/``*path*."""
        return self.call("GET", path, query=query)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Parameter] | None = None,
        body: bytes = b"",
        patience: float | None = PATIENCE,
    ) -> Any:  # noqa: ANN401 - JSON.
        """Send one request and return its decoded answer, ``None`` where there is none.

        Args:
            method: of the request.
            path: below ``/admin/v1/``.
            query: parameters; those that are ``None`` are left out.
            body: of the request.
            patience: seconds to wait for the answer; ``None``: as long as it takes.

        Raises:
            NotRunning: nobody answers at the socket.
            NotFound, Refused, Failed: the node's own answer, by its status.
        """
        named = {name: value for name, value in (query or {}).items() if value is not None}
        target = "/admin/v1/" + quote(path, safe="/:@") + (f"?{urlencode(named, doseq=True)}" if named else "")
        connection = _UnixConnection(self._data, patience)
        try:
            connection.request(method, target, body or None, {"content-type": "application/json"} if body else {})
            response = connection.getresponse()
            answer = response.read()
        except _NOBODY as error:
            raise self._nobody() from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        return decoded(response.status, answer)

    def pages(self, path: str, key: str, **query: str | None) -> Iterator[list[Any]]:
        """Yield the list under *key* of each page of *path*, until a page names no next one."""
        after: str | None = None
        while True:
            answer = self.get(path, after=after, limit=PAGE, **query)
            yield answer[key]
            after = answer.get("next")
            if after is None:
                return

    def send(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Send one of many requests over a connection that is kept, and return its answer as it came; as ``call``."""
        try:
            with self.streaming(method, path, body) as response:
                return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    @contextmanager
    def streaming(self, method: str, path: str, body: bytes = b"") -> Iterator[http.client.HTTPResponse]:
        """Send a request over the connection that is kept, and give its answer to be read piece by piece.

        Raises:
            NotRunning: nobody answers at the socket.
            NotFound, Refused, Failed: the node's own answer, by its status.
            http.client.IncompleteRead, OSError: the answer was broken off.
        """
        response = self._answer(method, path, body)
        if response.status >= 400:
            decoded(response.status, response.read())
        try:
            yield response
        finally:
            if not response.isclosed():
                self.close()  # What is left of it would be taken for the next answer.

    def close(self) -> None:
        """Close the connection that is kept."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _answer(self, method: str, path: str, body: bytes) -> http.client.HTTPResponse:
        fresh = self._kept is None
        try:
            if self._kept is None:
                self._kept = self._connection()
            headers = {"content-length": str(len(body))} if method == "POST" else {}
            self._kept.request(method, "/admin/v1/" + path, body or None, headers)
            return self._kept.getresponse()
        except _NOBODY as error:
            self.close()
            raise self._nobody() from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not fresh:  # The node ends what was idle for a while, as between two blobs that are hashed.
                return self._answer(method, path, body)
            raise self._unreachable(error) from error

    def _nobody(self) -> NotRunning:
        return NotRunning(f"no node is running on {self._data}; start one: entrepot serve --data {self._data}")

    def _unreachable(self, error: Exception) -> Failed:
        if isinstance(error, PermissionError):
            return Failed(f"{self._data / SOCKET} belongs to another user; run this as the user of the node")
        return Unreachable(
            f"the node on {self._data} did not answer: {str(error) or type(error).__name__}; its log says why"
        )

    def _connection(self) -> "_UnixConnection":
        return _UnixConnection(self._data, PATIENCE)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, directory: Path, patience: float | None) -> None:
        super().__init__("localhost", timeout=patience)
        self._directory = directory

    def connect(self) -> None:  # type: ignore[explicit-override]  # 3.12 has it.
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        path = self._directory / SOCKET
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            self.sock.connect(str(path))
            return
        directory = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{directory}/{SOCKET}")
        finally:
            os.close(directory)


def decoded(status: int, answer: bytes) -> Any:  # noqa: ANN401 - JSON.
    """Return an answer, or raise what its status means."""
    if status < 400:
        return msgspec.json.decode(answer) if answer else None
    try:
        refused = msgspec.json.decode(answer, type=_ErrorBody).error
    except msgspec.DecodeError as error:
        raise Failed(f"the node answered {status}; its log says why") from error
    raise failure(status, refused.message)
