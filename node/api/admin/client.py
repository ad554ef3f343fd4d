"""``/api/v1`` on the client port, for those who administrate from afar, and ``/api/openapi.json``, which describes it.

A caller is known as at every door, by a signature for the service ``entrepot`` or by name and password, and each use
case asks what it may. Where that fails the answer says which region a signature has to be for, as it says who it was
for: a client that knows the address alone can sign the second time.
"""

import msgspec

from node import __version__
from node.api.admin.answer import Admin, Handler, answer, failed
from node.api.admin.openapi import description
from node.api.admin.resources import RESOURCES
from node.http.entrance import Entrance
from node.http.message import Application, Request, Response
from node.http.router import MethodNotAllowed, NotFound, Route, Router
from node.registry.audit.notes import stranger
from protocol.auth.caller import Caller
from protocol.errors import ParameterInvalid, Refusal, SignatureMissing

PREFIX = "/api/"
REGION = "entrepot-region"
"""Header of a 401 and 403: the region of the registry."""
MAX_BODY = 256 * 1024  # Bytes: several times the longest policy document.

ROUTES: tuple[Route[Handler], ...] = tuple(
    Route(one.method, f"/api/v1{one.path}", one.action, one.handler) for one in RESOURCES
)

_ANYONE = "*"
_WITH_BODY = frozenset({"POST", "PUT"})


class _Kept:
    """A body that was read already."""

    def __init__(self, data: bytes) -> None:
        self.length: int | None = len(data)
        self._data = data

    async def receive(self) -> bytes:
        data, self._data = self._data, b""
        return data

    async def receive_into(self, buffer: memoryview) -> int:
        size = min(len(buffer), len(self._data))
        buffer[:size], self._data = self._data[:size], self._data[size:]
        return size


def client_api(admin: Admin, entrance: Entrance) -> Application:
    """Return what serves paths that begin with ``/api/`` on the client port."""
    router = Router(ROUTES)
    openapi = msgspec.json.format(msgspec.json.encode(description(RESOURCES, __version__)), indent=2)
    region = ((REGION, admin.registry.name.region),)

    def refused(refusal: Refusal, request: Request) -> Response:
        headers = (*refusal.headers, *(region if refusal.status in {401, 403} else ()))
        if refusal.status == 401:
            headers = (*headers, *entrance.challenge(request, ()))
        return failed(refusal.status, type(refusal).__name__, str(refusal), headers)

    async def application(request: Request) -> Response:
        try:
            body = await _received(request)
            caller = await entrance.identify(request, body)
        except Refusal as refusal:
            asking = stranger(request.client, request.id)
            admin.registry.notes_of_audit.refused(asking, "entrepot:*", request.path[:128], refusal)
            return refused(refusal, request)
        if caller.arn == _ANYONE:
            return refused(SignatureMissing("sign the request for the service entrepot, or log in"), request)
        if request.path == "/api/openapi.json":
            request.route = request.path
            return _described(request, openapi)
        return await _routed(router, admin, caller, request, body)

    return application


async def _routed(router: Router[Handler], admin: Admin, caller: Caller, request: Request, body: bytes) -> Response:
    match router.match(request.method, request.path):
        case NotFound():
            return failed(404, "NotFound", "no such path; GET /api/openapi.json has them all")
        case MethodNotAllowed(allowed):
            shown = ", ".join(allowed)
            return failed(405, "MethodNotAllowed", f"allowed here: {shown}", (("allow", shown),))
        case found:
            request.params, request.route, request.body = found.params, found.route.pattern, _Kept(body)
            return await answer(found.route, admin, caller, request)


async def _received(request: Request) -> bytes:
    body = bytearray()
    while part := await request.body.receive():
        body += part
        if len(body) > MAX_BODY:
            raise ParameterInvalid(f"the document has more than {MAX_BODY} bytes")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != "application/json":  # Which no form of a page can send.
        raise ParameterInvalid("the content-type is application/json")
    return bytes(body)


def _described(request: Request, openapi: bytes) -> Response:
    if request.method not in {"GET", "HEAD"}:
        return failed(405, "MethodNotAllowed", "allowed here: GET", (("allow", "GET"),))
    return Response(200, (("content-type", "application/json"),), openapi)
