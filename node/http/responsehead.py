"""The head of a response: what both protocols say of the body, and HTTP/1.1's bytes."""

import time
from http import HTTPStatus

from node.http.message import Response

_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_BODILESS = frozenset({204, 304})
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class _Clock:
    """Formats a second once: at 20 000 responses a second it is most of the cost of a head."""

    second = 0
    text = ""


def http_date() -> str:
    """Return the time as ``Date`` has it; not by ``strftime``, which speaks the language of the machine."""
    second = int(time.time())
    if second != _Clock.second:
        now = time.gmtime(second)
        _Clock.text = (
            f"{_DAYS[now.tm_wday]}, {now.tm_mday:02} {_MONTHS[now.tm_mon - 1]} {now.tm_year} "
            f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} GMT"
        )
        _Clock.second = second
    return _Clock.text


def is_bodiless(method: str, status: int) -> bool:
    """Whether a response has no body, whatever its headers say. Source: RFC 9110, 6.4.1."""
    return method == "HEAD" or status in _BODILESS


def stated(method: str, response: Response) -> tuple[tuple[tuple[str, str], ...], int | None]:
    """Return the handler's headers and the length that the engine states beside them, ``None`` for none.

    Where there is a body the engine knows its length better; where there is none the handler's word stands.
    """
    headers, body = response.headers, response.body
    length = len(body) if isinstance(body, bytes) else body.length
    for name, _ in headers:
        if name == "content-length":
            if is_bodiless(method, response.status):
                return headers, None
            return tuple(header for header in headers if header[0] != "content-length"), length
    return headers, None if response.status in _BODILESS else length


def encode_head(status: int, headers: tuple[tuple[str, str], ...], framing: str, request_id: str) -> bytes:
    """Return the head; *framing* is whole lines of our own, such as ``content-length: 0`` with its CRLF.

    Raises:
        ValueError: a header could be read as two, or is no text of HTTP. The handler let a client's text through.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers) or "\0" in lines:
        raise ValueError("a header of a response has a line end in it")
    line = _LINES.get(status) or f"HTTP/1.1 {status} \r\n"
    return f"{line}{lines}{framing}date: {http_date()}\r\nx-request-id: {request_id}\r\n\r\n".encode("latin-1")
