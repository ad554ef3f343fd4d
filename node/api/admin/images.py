"""Repositories, tags, images, how much is stored, and collection at once."""

from typing import Annotated

import msgspec

from node.api.admin.answer import Admin, json, page, read_decoded
from node.http.message import Request, Response
from node.registry.catalog import describe_image, list_repositories, usage
from node.registry.collection import collect_now
from node.registry.deletes import delete_image as delete_image_by_digest
from node.registry.repositories import delete_repository as delete_repository_by_name
from node.registry.tags import delete_tag, list_tags
from protocol.auth.caller import Caller
from protocol.errors import ParameterInvalid
from protocol.oci.names import TagName, repository_name
from protocol.oci.reference import is_digest, reference, single


async def get_repositories(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/repositories``: a page of names, in order."""
    after, limit = page(request)
    names = await list_repositories(admin.registry, caller, after=after, limit=limit)
    return json({"repositories": names, "next": names[-1] if len(names) == limit else None})


async def delete_repository(admin: Admin, caller: Caller, request: Request) -> Response:
    """``DELETE /admin/v1/repositories/<name>?force=``: 204; with images in it only where force is ``true``."""
    name = repository_name(request.params["name"])
    force = single("force", request.parameters("force")) or "false"
    if force not in {"true", "false"}:
        raise ParameterInvalid("force is true or false")
    await delete_repository_by_name(admin.registry, caller, name, force=force == "true")
    return Response(204)


async def get_tags(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/repositories/<name>/tags``: a page of names, in order."""
    name = repository_name(request.params["name"])
    after, limit = page(request)
    tags = list_tags(admin.registry, caller, name, after=after or "", limit=limit)
    return json({"repository": name, "tags": tags, "next": tags[-1] if len(tags) == limit else None})


async def get_image(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/repositories/<name>/images/<tag or digest>``."""
    name, which = repository_name(request.params["name"]), reference(request.params["reference"])
    return json(describe_image(admin.registry, caller, name, which))


async def delete_image(admin: Admin, caller: Caller, request: Request) -> Response:
    """``DELETE /admin/v1/repositories/<name>/images/<tag or digest>``: 204. By a tag only the tag goes."""
    name, which = repository_name(request.params["name"]), reference(request.params["reference"])
    if is_digest(which):
        await delete_image_by_digest(admin.registry, caller, name, which)
    else:
        await delete_tag(admin.registry, caller, name, TagName(which))
    return Response(204)


class CollectionAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of ``POST /admin/v1/collection``."""

    grace: Annotated[float, msgspec.Meta(ge=0)] = 86_400.0  # Seconds since a client was last told that a blob is here.


async def post_collection(admin: Admin, caller: Caller, request: Request) -> Response:
    """``POST /admin/v1/collection``: what went, and whether there is more."""
    asked = await read_decoded(request, CollectionAsked)
    return json(await collect_now(admin.registry, caller, grace=asked.grace))


async def get_usage(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/usage``."""
    return json(usage(admin.registry, caller))
