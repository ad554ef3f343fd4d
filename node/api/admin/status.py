"""Is it up, and which version."""

from node.api.admin.answer import Admin, json
from node.http.message import Request, Response
from protocol.auth.caller import Caller


async def get_health(_admin: Admin, _caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/healthz``: the event loop turns."""
    return json({"status": "ok"})


async def get_version(admin: Admin, _caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/version``: what runs, and who it is."""
    name, node = admin.registry.name, admin.registry.author.node
    return json({"version": admin.version, "account": name.account, "region": name.region, "node": node})
