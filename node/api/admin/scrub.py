"""Scrub: begin one, how it stands, what is damaged."""

import msgspec

from node.api.admin.answer import Admin, json, page, read_decoded
from node.http.message import Request, Response
from node.registry.damage import list_damage
from node.registry.scrub import scrub_status, start_scrub
from protocol.auth.caller import Caller


class ScrubAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /admin/v1/scrub``."""

    rate: int = 0  # Bytes a second; 0: as configured.
    backup: str = ""  # Absolute path of a backup of this node, to mend from.


async def post_scrub(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/scrub``: a pass begins, or the one under way goes on; 202 and how it stands."""
    asked = await read_decoded(request, ScrubAsked)
    await start_scrub(admin.registry, caller, rate=asked.rate, backup=asked.backup)
    return json(scrub_status(admin.registry, caller), 202)


async def get_scrub(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/scrub``: how it stands."""
    return json(scrub_status(admin.registry, caller))


async def get_damage(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/damage``: a page of what is known to be damaged."""
    after, limit = page(request)
    return json(list_damage(admin.registry, caller, after=after, limit=limit))
