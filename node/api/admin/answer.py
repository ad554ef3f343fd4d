"""Run a handler and turn a ``Refusal`` into JSON; the only place of this door that does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import msgspec
import structlog

from node.api.admin.control import BackupControl, NodeControl, PeerControl
from node.http.message import Request, Response
from node.http.router import Route
from node.registry.deliveries import Connect
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.errors import Busy, Damaged, ParameterInvalid, Refusal
from protocol.oci.reference import MAX_PAGE, single

Document = TypeVar("Document")

MAX_BODY = 4 * 1024 * 1024  # Bytes; what is too large for a document of its kind is refused by who reads it.
_JSON = ("content-type", "application/json")


def _log_damage(error: Damaged) -> None:
    structlog.get_logger().error("damaged", what=str(error))


@dataclass(frozen=True, slots=True)
class Admin:
    """What this door is given."""

    registry: Registry
    peers: PeerControl
    node: NodeControl
    backup: BackupControl
    connect: Connect  # For what tries webhooks.
    version: str
    damaged: Callable[[Damaged], None] = _log_damage
    """Told of stored bytes that failed their check."""


Handler: TypeAlias = Callable[[Admin, Caller, Request], Awaitable[Response]]


async def answer(route: Route[Handler], admin: Admin, caller: Caller, request: Request) -> Response:
    """Return what the handler returns, or the error that it raised; a bug passes through. The audit is told of it."""
    notes, resource = admin.registry.notes_of_audit, "/".join(request.params.values())
    try:
        response = await route.handler(admin, caller, request)
    except Refusal as refusal:
        notes.refused(caller, route.action, resource, refusal)
        headers = (("retry-after", str(refusal.retry_after)),) if isinstance(refusal, Busy) else ()
        return failed(refusal.status, type(refusal).__name__, str(refusal), headers)
    except Damaged as error:
        admin.damaged(error)
        return failed(500, "Damaged", f"what is stored here is damaged: {error}")
    if request.method != "GET" or caller.address:  # What commands here look at again and again is no event.
        notes.note(caller, route.action, resource)
    return response


def failed(status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return an error as this door shows it."""
    return Response(status, (_JSON, *headers), msgspec.json.encode({"error": {"code": code, "message": message}}))


def json(value: Any, status: int = 200) -> Response:  # noqa: ANN401 - structs, or anything made of JSON's types.
    """Return *value* as JSON."""
    return Response(status, (_JSON,), msgspec.json.encode(value))


async def read_body(request: Request) -> bytes:
    """Return the whole body, or raise ``ParameterInvalid`` where it is too large."""
    body = bytearray()
    while part := await request.body.receive():
        body += part
        if len(body) > MAX_BODY:
            raise ParameterInvalid(f"the document has more than {MAX_BODY} bytes")
    return bytes(body)


async def read_decoded(request: Request, kind: type[Document]) -> Document:
    """Return the body as a *kind*, or raise ``ParameterInvalid`` with the place that is wrong."""
    try:
        return msgspec.json.decode(await read_body(request), type=kind)
    except msgspec.MsgspecError as error:
        raise ParameterInvalid(f"the document is not what it has to be: {error}") from error


def page(request: Request) -> tuple[str | None, int]:
    """Return what ``after`` and ``limit`` say: where the page begins and how many rows it has at most."""
    try:
        limit = int(single("limit", request.parameters("limit")) or MAX_PAGE)
    except ValueError as error:
        raise ParameterInvalid("limit is not a number") from error
    if limit < 1:
        raise ParameterInvalid("limit is at least 1")
    return single("after", request.parameters("after")), min(limit, MAX_PAGE)
