"""Operating the node: alarms, reload, read-only mode."""

import msgspec

from node.api.admin.answer import Admin, json, read_decoded
from node.http.message import Request, Response
from node.registry.condition import condition
from node.registry.readonly import clear_read_only, read_only_state, set_read_only
from protocol.auth.caller import Caller


class ReadOnlyAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``PUT /admin/v1/read-only``."""

    reason: str = ""


async def get_alarms(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/alarms``: what is raised, each with what to do, and whether pushes are taken."""
    admin.registry.authorize(caller, "ecr:DescribeRegistry", None)
    return json({"condition": condition(admin.registry), "alarms": admin.registry.alarms.raised()})


async def get_activity(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/activity``: what the node does at the moment."""
    return json(admin.node.activity(caller))


async def get_doctor(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/doctor``: all checks of this node; takes as long as a few syncs."""
    admin.registry.authorize(caller, "ecr:DescribeRegistry", None)
    return json({"checks": await admin.node.examine()})


async def post_reload(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``POST /admin/v1/reload``: 200 and what came of it; 422 and what is wrong, where nothing was changed."""
    admin.registry.authorize(caller, "ecr:PutAccountSetting", None)
    return json(await admin.node.reload())


async def get_read_only(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/read-only``."""
    return json(read_only_state(admin.registry, caller))


async def put_read_only(admin: Admin, caller: Caller, request: Request) -> Response:
    """``PUT /admin/v1/read-only``: no change of content from now on, with the reason that clients are told."""
    asked = await read_decoded(request, ReadOnlyAsked)
    return json(await set_read_only(admin.registry, caller, asked.reason))


async def delete_read_only(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``DELETE /admin/v1/read-only``: 200 and what holds now; 409 where the configuration says so, too."""
    return json(await clear_read_only(admin.registry, caller))
