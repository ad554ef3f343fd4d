"""Listings, page by page: tags, the catalog, referrers.

A page is never longer than 1 000, whatever ``n`` says or where it says nothing: the ``Link`` of the answer leads to the
next. Source: OCI distribution-spec 1.1, "Listing Tags", "Listing Referrers"; Docker Registry HTTP API V2,
"Catalog".
"""

from collections.abc import Sequence

import msgspec

from node.api.oci.answer import VERSION
from node.http.message import Request, Response
from node.registry.catalog import list_repositories
from node.registry.referrers import list_referrers
from node.registry.registry import Registry
from node.registry.tags import list_tags
from protocol.auth.caller import Caller
from protocol.auth.public import spelled
from protocol.oci.digest import digest
from protocol.oci.manifest import index_of
from protocol.oci.mediatype import OCI_INDEX
from protocol.oci.names import repository_name
from protocol.oci.reference import next_link, page

_JSON = ("content-type", "application/json")


async def get_tags(registry: Registry, caller: Caller, request: Request) -> Response:
    """``GET /v2/<name>/tags/list``: 200."""
    name = repository_name(request.params["name"])
    wanted = page(request.parameters("n"), request.parameters("last"))
    tags = list_tags(registry, caller, name, after=wanted.last, limit=wanted.limit + 1)
    shown = spelled(registry.settings.public, registry.name.account, request.host, name)
    body = msgspec.json.encode({"name": shown, "tags": tags[: wanted.limit]})
    return Response(200, (_JSON, VERSION, *_link(request, tags, wanted.limit)), body)


async def get_catalog(registry: Registry, caller: Caller, request: Request) -> Response:
    """``GET /v2/_catalog``: 200."""
    wanted = page(request.parameters("n"), request.parameters("last"))
    names = await list_repositories(registry, caller, after=wanted.last, limit=wanted.limit + 1)
    body = msgspec.json.encode({"repositories": names[: wanted.limit]})
    return Response(200, (_JSON, VERSION, *_link(request, names, wanted.limit)), body)


async def get_referrers(registry: Registry, caller: Caller, request: Request) -> Response:
    """``GET /v2/<name>/referrers/<digest>``: 200, an index, empty where nothing refers to it."""
    name = repository_name(request.params["name"])
    subject = digest(request.params["digest"])
    wanted = page(request.parameters("n"), request.parameters("last"))
    types = frozenset(request.parameters("artifactType"))
    found, last = await list_referrers(
        registry, caller, name, subject, artifact_types=types, after=wanted.last, limit=wanted.limit
    )
    headers = [("content-type", OCI_INDEX), VERSION]
    if types:
        headers.append(("oci-filters-applied", "artifactType"))
    if last is not None:
        headers.append(_next(request, last, wanted.limit))
    return Response(200, tuple(headers), index_of(found))


def _link(request: Request, found: Sequence[str], limit: int) -> tuple[tuple[str, str], ...]:
    return (_next(request, found[limit - 1], limit),) if limit and len(found) > limit else ()


def _next(request: Request, last: str, limit: int) -> tuple[str, str]:
    kept = [(name, value) for name, value in request.query if name not in {"n", "last"}]
    return "link", next_link(request.path, [*kept, ("n", str(limit)), ("last", last)])
