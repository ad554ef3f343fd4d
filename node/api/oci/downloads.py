"""Layers by the URLs that ``GetDownloadUrlForLayer`` gives: whoever has one needs nothing else."""

from collections.abc import Callable

from node.api.oci.answer import answer, refused
from node.api.oci.content import content_headers, ranged, unmodified
from node.http.message import Application, Request, Response
from node.http.router import Match, Route, Router
from node.registry.downloads import open_download
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.errors import Damaged, NameUnknown, ParameterInvalid, RangeUnsatisfiable
from protocol.oci.digest import digest
from protocol.oci.names import repository_name

_PATTERN = "/download/{name}/{digest}"
_BYTES = "application/octet-stream"


def download_application(registry: Registry, damaged: Callable[[Damaged], None]) -> Application:
    """Return what serves everything under ``/download/``."""
    router = Router([Route(method, _PATTERN, "ecr:GetDownloadUrlForLayer", get_layer) for method in ("GET", "HEAD")])
    nobody = Caller("*", "")  # The URL speaks for itself.

    async def application(request: Request) -> Response:
        match = router.match(request.method, request.path)
        if not isinstance(match, Match):
            return refused(NameUnknown(f"nothing is at {request.path[:128]}"))
        request.params, request.route = match.params, match.route.pattern
        return await answer(match.route.handler, registry, nobody, request, damaged=damaged, refuse=refused)

    return application


async def get_layer(registry: Registry, _caller: Caller, request: Request) -> Response:
    """``GET`` and ``HEAD /download/<name>/<digest>``: 200, 206, 304, 403 or 416."""
    name, wanted = repository_name(request.params["name"]), digest(request.params["digest"])
    expires, signature = _only(request, "expires"), _only(request, "signature")
    blob = await open_download(registry, name, wanted, expires=expires, signature=signature, address=request.client)
    headers = content_headers(wanted, _BYTES, download=True, immutable=False)
    status = unmodified(request, wanted)
    if status:
        blob.release()
        return Response(status, tuple(headers))
    if request.method == "HEAD":
        blob.release()
        return Response(200, (*headers, ("content-length", str(blob.size))))
    try:
        return ranged(request, headers, wanted, blob.size, blob.read, fd=blob.fd, release=blob.release)
    except RangeUnsatisfiable:
        blob.release()
        raise


def _only(request: Request, name: str) -> str:
    values = request.parameters(name)
    if len(values) != 1:
        raise ParameterInvalid(f"the URL has {name} {len(values)} times")
    return values[0]
