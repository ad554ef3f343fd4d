"""Uploads.

Source: OCI distribution-spec 1.1, "Pushing blobs" (POST then PUT, single POST, in chunks, mounting); its main branch
for ``digest-algorithm`` and cancelling.
"""

from node.api.oci.answer import VERSION
from node.http.message import Request, Response
from node.registry.mounts import mount_blob
from node.registry.registry import Registry
from node.registry.uploads import (
    Source,
    append_upload,
    begin_upload,
    cancel_upload,
    finish_upload,
    put_blob,
    upload_progress,
)
from protocol.auth.caller import Caller
from protocol.auth.public import inside
from protocol.errors import DigestInvalid, Refusal, SizeInvalid, UploadRange
from protocol.oci.digest import Digest, algorithm, algorithm_name, digest
from protocol.oci.names import RepositoryName, repository_name
from protocol.oci.ranges import upload_extent, upload_range

MIN_CHUNK = 1  # Bytes: any part will do, however many commits that costs its sender.


async def post_upload(registry: Registry, caller: Caller, request: Request) -> Response:
    """``POST /v2/<name>/blobs/uploads/``: 201 for a mount or a whole blob, else 202."""
    name = repository_name(request.params["name"])
    mount, whole = request.parameters("mount"), request.parameters("digest")
    if mount:
        wanted = _only_digest(mount)
        sources = [_named(registry, request, one) for one in request.parameters("from")[:1]]
        if await mount_blob(registry, caller, name, wanted, sources[0] if sources else None):
            return _created(name, wanted)
    chosen = request.parameters("digest-algorithm")
    wanted_whole = _only_digest(whole) if whole and not mount else None
    fallback = "sha256" if wanted_whole is None else algorithm(wanted_whole)
    hashed_with = algorithm_name(chosen[0]) if chosen else fallback
    if wanted_whole is None:
        return _accepted(name, await begin_upload(registry, caller, name, hashed_with), 0)
    await put_blob(registry, caller, name, wanted_whole, _source(request), hashed_with=hashed_with)
    return _created(name, wanted_whole)


async def patch_upload(registry: Registry, caller: Caller, request: Request) -> Response:
    """``PATCH /v2/<name>/blobs/uploads/<id>``: 202, or 416 where the part does not begin at the end."""
    name, upload = repository_name(request.params["name"]), request.params["upload"]
    try:
        size = await append_upload(registry, caller, name, upload, _source(request))
    except UploadRange as refusal:
        raise await _located(registry, caller, name, upload, refusal) from None
    return _accepted(name, upload, size)


async def put_upload(registry: Registry, caller: Caller, request: Request) -> Response:
    """``PUT /v2/<name>/blobs/uploads/<id>?digest=``: 201."""
    name, upload = repository_name(request.params["name"]), request.params["upload"]
    wanted = _only_digest(request.parameters("digest"))
    try:
        await finish_upload(registry, caller, name, upload, wanted, _source(request))
    except UploadRange as refusal:
        raise await _located(registry, caller, name, upload, refusal) from None
    return _created(name, wanted)


async def get_upload(registry: Registry, caller: Caller, request: Request) -> Response:
    """``GET /v2/<name>/blobs/uploads/<id>``: 204 and how far it has come."""
    name, upload = repository_name(request.params["name"]), request.params["upload"]
    size = await upload_progress(registry, caller, name, upload)
    return Response(204, _upload_headers(name, upload, size))


async def delete_upload(registry: Registry, caller: Caller, request: Request) -> Response:
    """``DELETE /v2/<name>/blobs/uploads/<id>``: 204."""
    name = repository_name(request.params["name"])
    await cancel_upload(registry, caller, name, request.params["upload"])
    return Response(204, (VERSION,))


def _named(registry: Registry, request: Request, text: str) -> RepositoryName:
    """Return the repository that a client calls *text* in a query; those in paths have their names inside already."""
    return repository_name(inside(registry.settings.public, registry.name.account, request.host, text))


def _source(request: Request) -> Source:
    """Return the body as a use case takes it, its announced place and length compared with each other."""
    length, start = request.body.length, None
    if "content-range" in request.headers:
        start, end = upload_range(request.headers["content-range"])
        span = end - start + 1
        if length is not None and length != span:
            raise SizeInvalid(f"Content-Range spans {span} bytes, Content-Length is {length}")
        length = span
    return Source(request.body.receive_into, start, length)


def _only_digest(values: list[str]) -> Digest:
    if len(values) != 1:
        raise DigestInvalid(f"one digest has to be given, {len(values)} were")
    return digest(values[0])


async def _located(registry: Registry, caller: Caller, name: RepositoryName, upload: str, refusal: Refusal) -> Refusal:
    size = await upload_progress(registry, caller, name, upload)
    refusal.headers = _upload_headers(name, upload, size)
    return refusal


def _upload_headers(name: RepositoryName, upload: str, size: int) -> tuple[tuple[str, str], ...]:
    return (
        ("location", f"/v2/{name}/blobs/uploads/{upload}"),
        ("range", upload_extent(size)),
        ("docker-upload-uuid", upload),
        VERSION,
    )


def _accepted(name: RepositoryName, upload: str, size: int) -> Response:
    return Response(202, (*_upload_headers(name, upload, size), ("oci-chunk-min-length", str(MIN_CHUNK))))


def _created(name: RepositoryName, digest: Digest) -> Response:
    headers = (("location", f"/v2/{name}/blobs/{digest}"), ("docker-content-digest", digest), VERSION)
    return Response(201, headers)
