"""``/token``: a bearer token for a name and a password, for a refresh token, or for nobody.

Source: Docker registry token authentication, "Token Authentication Specification" (GET) and "OAuth2 Token
Authentication" (POST).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from node.api.login.credentials import Basic
from node.api.login.entrance import client_of
from node.http.entrance import Entrance
from node.http.message import Application, Request, Response
from node.registry.audit.notes import stranger
from node.registry.authentication.bearer import BearerTokens
from node.registry.authentication.passwords import Passwords
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.auth.challenge import Scope, parse_scopes
from protocol.auth.public import inside
from protocol.errors import ParameterInvalid, Refusal
from protocol.oci.errors import error_body

_JSON = (("content-type", "application/json"), ("cache-control", "no-store"))
_MAX_FORM = 64 * 1024  # Bytes.
_DOCKER = "docker"
"""Its daemon answers each challenge of a 401, and would have no password for Basic if it had a refresh token instead:
"no basic auth credentials", by docker 20.10 up to 28."""


def token_application(
    registry: Registry, entrance: Entrance, bearer: BearerTokens, passwords: Passwords
) -> Application:
    """Return what serves ``/token``."""

    async def application(request: Request) -> Response:
        request.route = "/token"
        try:
            if request.method in {"GET", "HEAD"}:
                return await _get(registry, entrance, bearer, request)
            if request.method == "POST":
                return await _post(registry, bearer, passwords, request)
        except Refusal as refusal:
            asking = stranger(request.client, request.id)
            registry.notes_of_audit.refused(asking, "ecr:GetAuthorizationToken", "", refusal)
            headers = entrance.challenge(request, ()) if refusal.status == 401 else ()
            return Response(refusal.status, (*_JSON, *headers, *refusal.headers), error_body(refusal))
        return Response(405, (*_JSON, ("allow", "GET, HEAD, POST")), b"{}")

    return application


async def _get(registry: Registry, entrance: Entrance, bearer: BearerTokens, request: Request) -> Response:
    caller = await entrance.identify(request, b"")
    offline = request.parameters("offline_token") == ["true"] and request.parameters("client_id") != [_DOCKER]
    return _answer(
        registry, bearer, caller, _scopes(registry, request, request.parameters("scope")), is_refreshed=offline
    )


async def _post(registry: Registry, bearer: BearerTokens, passwords: Passwords, request: Request) -> Response:
    form = await _form(request)
    scopes = _scopes(registry, request, (value for name, value in form if name == "scope"))
    fields = dict(form)
    client, grant = client_of(request), fields.get("grant_type", "")
    if grant == "refresh_token":
        refresh = fields.get("refresh_token", "")
        return _answer(registry, bearer, bearer.authenticate_refresh(refresh, client), scopes, kept=refresh)
    if grant != "password":
        raise ParameterInvalid("grant_type is password or refresh_token")
    given = Basic(fields.get("username", ""), fields.get("password", ""))
    caller = await passwords.authenticate(given.name, given.password, client)
    return _answer(registry, bearer, caller, scopes, is_refreshed=fields.get("access_type") == "offline")


def _scopes(registry: Registry, request: Request, texts: Iterable[str]) -> list[Scope]:
    """Return what a client of the request's host asks for, by the names that repositories have inside."""
    public, account = registry.settings.public, registry.name.account
    found = parse_scopes(texts)
    return [
        Scope(inside(public, account, request.host, one.name), one.actions) if one.name != "*" else one for one in found
    ]


def _answer(
    registry: Registry,
    bearer: BearerTokens,
    caller: Caller,
    scopes: Iterable[Scope],
    *,
    is_refreshed: bool = False,
    kept: str | None = None,
) -> Response:
    issued = bearer.issue(caller, scopes)
    if caller.account:
        registry.notes_of_audit.note(caller, "ecr:GetAuthorizationToken", "")
    now = registry.now()
    answer: dict[str, Any] = {
        "token": issued.password,
        "access_token": issued.password,
        "expires_in": issued.expires - int(now),
        "issued_at": datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z"),
    }
    if kept is not None or (is_refreshed and caller.account):
        answer["refresh_token"] = kept or bearer.issue_refresh(caller).password
    return Response(200, _JSON, msgspec.json.encode(answer))


async def _form(request: Request) -> list[tuple[str, str]]:
    body = bytearray()
    while part := await request.body.receive():
        body += part
        if len(body) > _MAX_FORM:
            raise ParameterInvalid("the form is too large")
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=64, errors="strict")
    except ValueError:
        raise ParameterInvalid("the body is not a form") from None
