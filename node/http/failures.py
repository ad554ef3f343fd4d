"""Requests that the engine refuses before a handler sees them, and what it answers.

The body has the shape of an OCI error, which every client of a registry prints.
"""

import msgspec
import trio

from node.http.message import Response


class Rejected(Exception):
    """A request that breaks a rule of HTTP or a limit of ours. After it, nothing on the connection can be trusted."""

    def __init__(self, status: int, message: str, limit: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message  # One sentence, without anything that the client sent.
        self.limit = limit  # Name under which the limit that was hit is counted; empty: a breach of protocol.


class NotHttp(Exception):
    """A client speaks something else: no answer of ours is one to it, so the connection is closed without any."""


class ClientGone(trio.BrokenResourceError):
    """The client closed or reset the connection or the stream: nobody is left to answer."""


def is_gone(error: BaseException) -> bool:
    """Whether *error* says that the client went away and nothing else; groups are opened."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_gone(one) for one in error.exceptions)
    return isinstance(error, ClientGone)


OUR_FAULT = "an error of ours, which is in the log"
_CODES = {403: "DENIED", 413: "SIZE_INVALID", 429: "TOOMANYREQUESTS", 500: "UNKNOWN", 503: "TOOMANYREQUESTS"}


def error_body(status: int, message: str) -> bytes:
    """Return a short JSON error."""
    error = {"code": _CODES.get(status, "UNSUPPORTED"), "message": message}
    return msgspec.json.encode({"errors": [error]})


def error_response(status: int, message: str) -> Response:
    """Return ``error_body`` with its headers; 503 tells the client to come back in a second."""
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    if status == 503:
        headers += (("retry-after", "1"),)
    return Response(status, headers, error_body(status, message))
