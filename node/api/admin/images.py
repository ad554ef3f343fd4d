"""Repositories, tags, images, and how much is stored."""

from node.api.admin.answer import Admin, json, page
from node.http.message import Request, Response
from node.registry.catalog import describe_image, list_repositories, usage
from node.registry.images import delete_image as delete_image_by_digest
from node.registry.tags import delete_tag, list_tags
from protocol.auth.caller import Caller
from protocol.oci.names import TagName, repository_name
from protocol.oci.reference import is_digest, reference


async def get_repositories(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/repositories``: a page of names, in order."""
    after, limit = page(request)
    names = list_repositories(admin.registry, caller, after=after, limit=limit)
    return json({"repositories": names, "next": names[-1] if len(names) == limit else None})


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


async def get_usage(admin: Admin, caller: Caller, _request: Request) -> Response:
    """``GET /admin/v1/usage``."""
    return json(usage(admin.registry, caller))
