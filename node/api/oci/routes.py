"""The table of this door, and the application that serves it.

Each row says what it does to a repository in ECR's words; the use case behind it asks for the same action. Where the
effect decides (a PUT that moves a tag), the use case asks for more.
"""

from collections.abc import Callable
from functools import partial

from node.api.oci import blobs, health, listings, logos, manifests, uploads
from node.api.oci.answer import VERSION, answer, hurt, refused
from node.api.oci.challenges import refuse
from node.api.oci.door import Handler, Health
from node.api.oci.recent import RecentManifests
from node.http.entrance import Entrance
from node.http.message import Application, Request, Response
from node.http.router import MethodNotAllowed, NotFound, Route, Router
from node.registry.audit.notes import stranger
from node.registry.pulltimes import note_pull
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.auth.public import inside_path
from protocol.errors import Damaged, NameUnknown, Refusal, SignatureMissing, Unsupported
from protocol.oci.digest import Digest
from protocol.oci.names import RepositoryName

_READS = frozenset({"GET", "HEAD"})
_MANIFEST = "/v2/{name}/manifests/{reference}"
_BLOB = "/v2/{name}/blobs/{digest}"
_UPLOADS = "/v2/{name}/blobs/uploads/"
_UPLOAD = "/v2/{name}/blobs/uploads/{upload}"


async def get_base(_registry: Registry, caller: Caller, _request: Request) -> Response:
    """``GET /v2/``: 200, this is a registry, and it knows who asks, or gave nobody in particular a token."""
    if not caller.account and caller.access is None:
        raise SignatureMissing("authentication required")
    return Response(200, (("content-type", "application/json"), VERSION), b"{}")


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/v2/", "ecr:GetAuthorizationToken", get_base),
    Route("HEAD", "/v2/", "ecr:GetAuthorizationToken", get_base),
    Route("GET", "/v2", "ecr:GetAuthorizationToken", get_base),
    Route("GET", "/v2/_catalog", "ecr:DescribeRepositories", listings.get_catalog),
    Route("GET", _MANIFEST, "ecr:BatchGetImage", manifests.get_manifest),
    Route("HEAD", _MANIFEST, "ecr:BatchGetImage", manifests.get_manifest),
    Route("PUT", _MANIFEST, "ecr:PutImage", manifests.put_manifest_or_tags),
    Route("DELETE", _MANIFEST, "ecr:BatchDeleteImage", manifests.delete_manifest_or_tag),
    Route("GET", _BLOB, "ecr:GetDownloadUrlForLayer", blobs.get_blob),
    Route("HEAD", _BLOB, "ecr:BatchCheckLayerAvailability", blobs.head_blob),
    Route("DELETE", _BLOB, "ecr:BatchDeleteImage", blobs.delete_blob_link),
    Route("POST", _UPLOADS, "ecr:InitiateLayerUpload", uploads.post_upload),
    Route("POST", _UPLOADS.rstrip("/"), "ecr:InitiateLayerUpload", uploads.post_upload),
    Route("PATCH", _UPLOAD, "ecr:UploadLayerPart", uploads.patch_upload),
    Route("PUT", _UPLOAD, "ecr:CompleteLayerUpload", uploads.put_upload),
    Route("GET", _UPLOAD, "ecr:UploadLayerPart", uploads.get_upload),
    Route("DELETE", _UPLOAD, "ecr:InitiateLayerUpload", uploads.delete_upload),
    Route("GET", "/v2/{name}/tags/list", "ecr:ListImages", listings.get_tags),
    Route("GET", "/v2/{name}/referrers/{digest}", "ecr:BatchGetImage", listings.get_referrers),
    Route("GET", logos.PATTERN, "ecr:BatchGetImage", logos.get),
    Route("HEAD", logos.PATTERN, "ecr:BatchGetImage", logos.get),
)


def oci_application(
    registry: Registry,
    health_of: Health,
    recent: RecentManifests,
    *,
    entrance: Entrance,
    damaged: Callable[[Damaged], None],
) -> Application:
    """Return what the client port serves."""
    router = Router(ROUTES)
    writer, account, notes = registry.store.writer, registry.name.account, registry.notes_of_audit

    async def application(request: Request) -> Response:
        public = registry.settings.public
        if not public.is_plain:  # Before anything looks at the path: who may, and what is kept, goes by one name.
            request.path = inside_path(public, account, request.host, request.path)
        known = recent.get(request) if request.method in _READS else None
        if known is not None:
            response = _repeated(registry, entrance, request, *known)
            if response is not None:
                return response
        match router.match(request.method, request.path):
            case NotFound():
                return await _beside(registry, entrance, request, health_of)
            case MethodNotAllowed(allowed):
                refusal = Unsupported(f"{request.method} is not for this; allowed: {', '.join(allowed)}")
                refusal.headers = (("allow", ", ".join(allowed)),)
                return refused(refusal)
            case found:
                request.params, request.route = found.params, found.route.pattern
                before, caller = writer.commits, None
                try:
                    caller = entrance.known(request) or await entrance.identify(request, b"")
                except Refusal as refusal:
                    return _refuse(registry, entrance, request, None, found.route.action, refusal)
                refusing = partial(_refuse, registry, entrance, request, caller, found.route.action)
                handler = found.route.handler
                response = await answer(handler, registry, caller, request, damaged=damaged, refuse=refusing)
                if response.status < 400 and found.route.handler is not get_base:
                    notes.note(caller, found.route.action, found.params.get("name", ""))
                if found.route.pattern == _MANIFEST and request.method in _READS:
                    recent.put(request, before, RepositoryName(found.params["name"]), response)
                return response

    return _telling(application, damaged)


def _telling(served: Application, damaged: Callable[[Damaged], None]) -> Application:
    """Return *served*; where what says who sends a request, or whether it may, is damaged, that is told, too."""

    async def application(request: Request) -> Response:
        try:
            return await served(request)
        except Damaged as error:
            return hurt(error, damaged)

    return application


def _repeated(
    registry: Registry,
    entrance: Entrance,
    request: Request,
    name: RepositoryName,
    digest: Digest,
    response: Response,
) -> Response | None:
    """Answer as before, if the caller may have it; ``None`` where it takes longer to tell who that is."""
    caller = None
    try:
        caller = entrance.known(request)
        if caller is None:
            return None
        registry.authorize(caller, "ecr:BatchGetImage", name)
    except Refusal as refusal:
        request.params = {"name": name}
        return _refuse(registry, entrance, request, caller, "ecr:BatchGetImage", refusal)
    registry.notes_of_audit.note(caller, "ecr:BatchGetImage", name)
    if request.method == "GET":
        note_pull(registry, caller, name, digest)
    return response


def _refuse(
    registry: Registry, entrance: Entrance, request: Request, caller: Caller | None, action: str, refusal: Refusal
) -> Response:
    asking = caller or stranger(request.client, request.id)
    registry.notes_of_audit.refused(asking, action, request.params.get("name", ""), refusal)
    return refuse(entrance, request, caller, refusal)


async def _beside(registry: Registry, entrance: Entrance, request: Request, health_of: Health) -> Response:
    if request.method in _READS:
        match request.path:
            case "/healthz":
                return health.get_healthz(request)
            case "/readyz":
                return health.get_readyz(health_of, request)
            case "/metrics":
                caller = None
                try:
                    caller = await entrance.identify(request, b"")
                    registry.authorize(caller, "entrepot:ReadMetrics", None)
                except Refusal as refusal:
                    return refuse(entrance, request, caller, refusal)
                return health.get_metrics(health_of)
            case _:
                pass
    return refused(NameUnknown(f"nothing is at {request.path[:128]}"))
