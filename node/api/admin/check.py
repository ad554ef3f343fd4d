"""Checking the store of this node while it runs."""

from node.api.admin.answer import Admin, json
from node.http.message import Request, Response
from node.registry.check.running import check_node
from protocol.auth.caller import Caller
from protocol.oci.reference import single


async def post_check(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/check?deep=1``: what was found, when all of it was looked at."""
    return json(await check_node(admin.registry, caller, deep=single("deep", request.parameters("deep")) == "1"))


async def get_check(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/check``: how far the check that is made is, ``null`` where none is."""
    admin.registry.authorize(caller, "entrepot:Check", None)
    return json(admin.registry.checking.progress)
