"""Passwords for OCI clients: what ``aws ecr get-login-password`` prints."""

import base64
from typing import Any

from node.api.ecr.door import Door, Given
from node.registry.authentication.authorization import USER, Issued, issue_authorization_token
from protocol.auth.caller import Caller
from protocol.errors import ParameterInvalid

_PRIVATE = ("ecr:GetAuthorizationToken",)
_PUBLIC = ("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken")


async def get_token(door: Door, caller: Caller, given: Given) -> dict[str, Any]:
    """``GetAuthorizationToken`` of the private service: one element for each registry that was named, or one."""
    issued = issue_authorization_token(door.registry, caller, _PRIVATE)
    wanted = given.get("registryIds") or [door.account]
    if set(wanted) != {door.account}:
        raise ParameterInvalid(
            "Invalid parameter at 'registryIds' failed to satisfy constraint: "
            f"'This is the registry with id {door.account}'"
        )
    return {"authorizationData": [{**_shown(issued), "proxyEndpoint": door.url} for _ in wanted]}


async def get_public_token(door: Door, caller: Caller, _given: Given) -> dict[str, Any]:
    """``GetAuthorizationToken`` of the public service: no list, and no endpoint."""
    return {"authorizationData": _shown(issue_authorization_token(door.registry, caller, _PUBLIC))}


def _shown(issued: Issued) -> dict[str, Any]:
    text = base64.b64encode(f"{USER}:{issued.password}".encode()).decode()
    return {"authorizationToken": text, "expiresAt": issued.expires}
