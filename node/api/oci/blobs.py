"""Blobs. Source: OCI distribution-spec 1.1, "Pulling blobs", "Checking if content exists", "Deleting Blobs"."""

from node.api.oci.answer import VERSION
from node.api.oci.content import content_headers, ranged, unmodified
from node.http.message import Request, Response
from node.registry.blobs import delete_blob, open_blob, stat_blob
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.errors import RangeUnsatisfiable
from protocol.oci.digest import digest
from protocol.oci.names import repository_name

_BYTES = "application/octet-stream"  # What a blob is, only the manifest that names it can tell.


async def get_blob(registry: Registry, caller: Caller, request: Request) -> Response:
    """``GET /v2/<name>/blobs/<digest>``: 200, 206, 304 or 416."""
    name = repository_name(request.params["name"])
    wanted = digest(request.params["digest"])
    blob = await open_blob(registry, caller, name, wanted)
    headers = content_headers(wanted, _BYTES, download=True, immutable=True)
    status = unmodified(request, wanted)
    if status:
        blob.release()
        return Response(status, tuple(headers))
    try:
        return ranged(request, headers, wanted, blob.size, blob.read, fd=blob.fd, release=blob.release)
    except RangeUnsatisfiable:
        blob.release()
        raise


async def head_blob(registry: Registry, caller: Caller, request: Request) -> Response:
    """``HEAD /v2/<name>/blobs/<digest>``: 200."""
    name = repository_name(request.params["name"])
    wanted = digest(request.params["digest"])
    size = await stat_blob(registry, caller, name, wanted)
    headers = content_headers(wanted, _BYTES, download=True, immutable=True)
    return Response(200, (*headers, ("content-length", str(size))))


async def delete_blob_link(registry: Registry, caller: Caller, request: Request) -> Response:
    """``DELETE /v2/<name>/blobs/<digest>``: 202."""
    name = repository_name(request.params["name"])
    await delete_blob(registry, caller, name, digest(request.params["digest"]))
    return Response(202, (VERSION,))
