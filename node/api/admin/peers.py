"""Invitations, the authority, trust, other nodes. Source: peers.md 2."""

from node.api.admin.answer import Admin, json, read_decoded
from node.api.admin.control import InvitationAsked, PeersSeen, TrustAsked
from node.http.message import Request, Response
from protocol.auth.caller import Caller


async def post_invitation(admin: Admin, _caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/invitations``: 201 and the token."""
    return json(await admin.peers.invite(await read_decoded(request, InvitationAsked)), 201)


async def get_authority(admin: Admin, _caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/authority``."""
    return json(admin.peers.authority())


async def post_trust(admin: Admin, _caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/trust``: 201 and what is trusted now."""
    return json(await admin.peers.trust_add(await read_decoded(request, TrustAsked)), 201)


async def get_trust(admin: Admin, _caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/trust``."""
    return json({"trusted": admin.peers.trust_list()})


async def delete_trust(admin: Admin, _caller: Caller, request: Request) -> Response:
    """``DELETE /admin/v1/trust/<account>``: 204."""
    await admin.peers.trust_remove(request.params["account"])
    return Response(204)


async def get_peers(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/peers``, ``GET /api/v1/peers``."""
    admin.registry.authorize(caller, "entrepot:DescribePeers", None)
    return json(PeersSeen(tuple(admin.peers.peers())))
