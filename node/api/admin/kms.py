"""KMS keys, and the rotation of the master key."""

import msgspec

from node.api.admin.answer import Admin, json, read_decoded
from node.http.message import Request, Response
from node.registry.kms.managing import (
    create_key,
    disable_key,
    enable_key,
    list_keys,
    rotate_key,
    schedule_deletion,
)
from node.registry.rewrapping import rotate_master_key
from protocol.auth.caller import Caller


class _New(msgspec.Struct, forbid_unknown_fields=True):
    alias: str = ""
    description: str = ""


class _Which(msgspec.Struct, forbid_unknown_fields=True):
    key: str  # Its id, alias or ARN.
    days: int = 30


async def get_keys(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/kms/keys``: all of them."""
    return json({"keys": await list_keys(admin.registry, caller)})


async def post_key(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/kms/keys``: make one."""
    new = await read_decoded(request, _New)
    return json(await create_key(admin.registry, caller, alias=new.alias, description=new.description), 201)


async def post_rotate(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/kms/rotate``: draw a new version."""
    return json(await rotate_key(admin.registry, caller, (await read_decoded(request, _Which)).key))


async def post_disable(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/kms/disable``: let nobody use it."""
    return json(await disable_key(admin.registry, caller, (await read_decoded(request, _Which)).key))


async def post_enable(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/kms/enable``: let it be used again."""
    return json(await enable_key(admin.registry, caller, (await read_decoded(request, _Which)).key))


async def post_deletion(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/kms/schedule-deletion``: have it deleted after some days."""
    which = await read_decoded(request, _Which)
    return json(await schedule_deletion(admin.registry, caller, which.key, days=which.days))


async def post_master(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``POST /admin/v1/master-key/rotate``: 202; what is under the old one is wrapped anew after that."""
    await rotate_master_key(admin.registry, caller)
    return json({"wrapped_anew": False}, 202)
