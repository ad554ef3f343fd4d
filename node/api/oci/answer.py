"""Run a handler and turn what it raises into an OCI error; the only place that does."""

from collections.abc import Callable

from node.api.oci.door import Handler
from node.http.message import Request, Response
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.errors import Busy, Damaged, Refusal
from protocol.oci.errors import error_body

VERSION = ("docker-distribution-api-version", "registry/2.0")
"""On every answer: old clients ask for it before they believe that this is a registry."""

_DAMAGED = b'{"errors":[{"code":"UNKNOWN","message":"what is stored here is damaged; the operator has been told"}]}'


async def answer(
    handler: Handler,
    registry: Registry,
    caller: Caller,
    request: Request,
    *,
    damaged: Callable[[Damaged], None],
    refuse: Callable[[Refusal], Response],
) -> Response:
    """Return what *handler* returns, or the error it raised; a bug passes through.

    Args:
        handler: of the route.
        registry: that the door belongs to.
        caller: who asks.
        request: what is asked.
        refuse: returns the answer for a refusal.
        damaged: told of stored bytes that failed their check; the client gets a 500 without details.
    """
    try:
        return await handler(registry, caller, request)
    except Refusal as refusal:
        return refuse(refusal)
    except Damaged as error:
        return hurt(error, damaged)


def hurt(error: Damaged, damaged: Callable[[Damaged], None]) -> Response:
    """Tell *damaged* of stored bytes that failed their check, and return what the client gets to see of it."""
    damaged(error)
    return Response(500, (("content-type", "application/json"), VERSION), _DAMAGED)


def refused(refusal: Refusal) -> Response:
    """Return the OCI error for *refusal*."""
    headers = [("content-type", "application/json"), VERSION, *refusal.headers]
    if isinstance(refusal, Busy):
        headers.append(("retry-after", str(refusal.retry_after)))
    return Response(refusal.status, tuple(headers), error_body(refusal))
