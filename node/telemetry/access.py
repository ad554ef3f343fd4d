"""The access log: one line for each request that was answered.

It is written on the event loop for every pull, so a line costs about two microseconds and no system call of its own
(``lines`` gathers them). What the client chose is cut short and escaped; queries are not logged, for they may carry
tokens.
"""

import time
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from node.telemetry.lines import Lines
from node.telemetry.text import escaped

MAX_PATH = 640  # Characters: the longest repository name with the longest digest fits.
MAX_AGENT = 160


class Access(msgspec.Struct, frozen=True):
    """One answered request."""

    at: str  # UTC, when the response ended.
    id: str  # What ``x-request-id`` said.
    client: str  # Address; empty on a Unix socket.
    method: str
    path: str
    status: int
    sent: int  # Bytes of body.
    seconds: float
    version: str  # Of HTTP.
    agent: str
    event: str = "access"
    trace: str | msgspec.UnsetType = msgspec.UNSET  # Of which the request is a part, where that is kept.
    operation: str | msgspec.UnsetType = msgspec.UNSET  # Of an API whose calls all have one path.


Format: TypeAlias = Callable[[Access], bytes]
"""Turns a request into one line, with its line feed."""

_encode = msgspec.json.Encoder().encode


def json_line(access: Access) -> bytes:
    """Return one JSON object, with every control character escaped."""
    try:
        line = _encode(access)
    except UnicodeEncodeError:  # A path that is not UTF-8.
        line = _encode(_without_surrogates(access))
    if not line.isascii() or b"\x7f" in line:
        line = escaped(line.decode()).encode()
    return line + b"\n"


def text_line(access: Access) -> bytes:
    """Return a line for people: time, client, request, result."""
    milliseconds = access.seconds * 1000
    operation = "" if isinstance(access.operation, msgspec.UnsetType) else f" {access.operation}"
    text = (
        f"{access.at[11:19]} {access.status}  {access.method} {access.path}{operation}"
        f"  {access.sent} bytes in {milliseconds:.1f} ms  {access.client or 'control'} {access.agent}"
    )
    return escaped(text).encode("utf-8", "backslashreplace") + b"\n"


class AccessLog:
    """Writes a line for each request; for the event loop's thread only."""

    def __init__(self, lines: Lines, line: Format = json_line, *, now: Callable[[], float] = time.time) -> None:
        self.is_on = True
        """Whether whoever has requests to tell of should; it may change at any time."""
        self.line = line
        self._lines = lines
        self._now = now
        self._second = -1
        self._stamp = ""  # Date and time of that second: formatting it costs more than all the rest.

    def write(  # noqa: PLR0913 - plain values: telemetry does not know the engine's types.
        self,
        *,
        request_id: str,
        client: str,
        method: str,
        path: str,
        status: int,
        sent: int,
        seconds: float,
        version: str,
        agent: str,
        trace: str | msgspec.UnsetType = msgspec.UNSET,
        operation: str | msgspec.UnsetType = msgspec.UNSET,
    ) -> None:
        """Write one line. *sent* is bytes of body; *agent* is the client's ``user-agent``, or nothing."""
        now = self._now()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        at = f"{self._stamp}{int((now - second) * 1000):03d}Z"
        self._lines.write(
            self.line(
                Access(
                    at,
                    request_id,
                    client,
                    method[:16],
                    path[:MAX_PATH],
                    status,
                    sent,
                    round(seconds, 6),
                    version,
                    agent[:MAX_AGENT],
                    trace=trace,
                    operation=operation,
                )
            )
        )


def _without_surrogates(access: Access) -> Access:
    texts = {
        name: value.encode("utf-8", "backslashreplace").decode()
        for name, value in msgspec.structs.asdict(access).items()
        if isinstance(value, str)
    }
    return msgspec.structs.replace(access, **texts)
