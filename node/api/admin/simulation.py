"""What policies would decide."""

import msgspec

from node.api.admin.answer import Admin, json, read_decoded
from node.http.message import Request, Response
from node.registry.simulation import simulate
from protocol.auth.caller import Caller


class SimulationAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST .../policy-simulation``."""

    principal: str
    action: str
    resource: str = "*"
    keys: dict[str, tuple[str, ...]] = {}


async def post_simulation(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST .../policy-simulation``: the decision, and why."""
    asked = await read_decoded(request, SimulationAsked)
    return json(simulate(admin.registry, caller, asked.principal, asked.action, asked.resource, asked.keys))
