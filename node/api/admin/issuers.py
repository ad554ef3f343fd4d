"""Issuers that are trusted to say who somebody is."""

from typing import Annotated

import msgspec
from msgspec import Meta

from node.api.admin.answer import Admin, json, read_decoded
from node.http.message import Request, Response
from node.registry.authentication import issuers
from protocol.auth.caller import Caller
from protocol.auth.secret import Secret
from protocol.auth.trust import issuer_arn
from protocol.errors import ParameterInvalid

Url = Annotated[str, Meta(description="Exactly as its tokens name it.")]
Audiences = Annotated[tuple[str, ...], Meta(description="Whom its tokens have to be made for: one of these.")]
Allowed = Annotated[tuple[str, ...], Meta(description="Addresses and networks of it that are not public.")]
Authority = Annotated[str, Meta(description="Certificates in PEM that it is verified by, not the system's.")]
Keys = Annotated[str, Meta(description="Its JSON Web Key Set, where it cannot be asked.")]
Endpoints = Annotated[tuple[str, ...], Meta(description="URLs elsewhere that its configuration may name.")]
Client = Annotated[str, Meta(description="As whom codes of people who log in are exchanged.")]


class Issuer(msgspec.Struct, frozen=True):
    """A trusted issuer."""

    name: Annotated[str, Meta(description="What ARNs and condition keys call it.")]
    arn: str
    url: Url
    audiences: Audiences
    description: str
    allow_addresses: Allowed
    authority: Authority
    keys: Keys
    endpoints: Endpoints
    client: Client
    created: Annotated[float, Meta(description="Seconds since 1970, UTC.")]


class Issuers(msgspec.Struct, frozen=True):
    """All trusted issuers by name."""

    issuers: list[Issuer]


class IssuerAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An issuer to trust."""

    url: Url
    audiences: Audiences
    description: str = ""
    allow_addresses: Allowed = ()
    authority: Authority = ""
    keys: Keys = ""
    endpoints: Endpoints = ()
    client: Client = ""
    client_secret: Annotated[str | None, Meta(description="Left out: it keeps the one that it has.")] = None
    allow_http: Annotated[bool, Meta(description="Take a URL with http://, whose answers anyone may change.")] = False

    def __repr__(self) -> str:  # type: ignore[explicit-override]  # typing.override is of 3.12
        return f"IssuerAsked({self.url!r}, ...)"


async def list_all(admin: Admin, caller: Caller, _request: Request) -> Response:
    """List them."""
    return json(Issuers([_shown(admin, one) for one in issuers.list_issuers(admin.registry, caller)]))


async def put_one(admin: Admin, caller: Caller, request: Request) -> Response:
    """Trust one, or replace what is said of it."""
    asked = await read_decoded(request, IssuerAsked)
    issuer = issuers.Issuer(
        asked.url,
        asked.audiences,
        asked.description,
        asked.allow_addresses,
        asked.authority,
        asked.keys,
        asked.endpoints,
        asked.client,
    )
    if issuer.name != request.params["name"]:
        raise ParameterInvalid("the path names another issuer than the document")
    secret = None if asked.client_secret is None else Secret(asked.client_secret.encode())
    put = await issuers.put_issuer(admin.registry, caller, issuer, secret=secret, allow_http=asked.allow_http)
    return json(_shown(admin, put))


async def delete_one(admin: Admin, caller: Caller, request: Request) -> Response:
    """Trust one no longer: 204."""
    await issuers.delete_issuer(admin.registry, caller, request.params["name"])
    return Response(204)


def _shown(admin: Admin, issuer: issuers.Issuer) -> Issuer:
    return Issuer(
        issuer.name,
        issuer_arn(admin.registry.name.account, issuer.url),
        issuer.url,
        issuer.audiences,
        issuer.description,
        issuer.allow,
        issuer.authority,
        issuer.keys,
        issuer.endpoints,
        issuer.client,
        issuer.created / 1000,
    )
