"""Manifests.

Source: OCI distribution-spec 1.1, "Pulling manifests", "Pushing Manifests", "Deleting tags", "Deleting Manifests"; its
main branch for ``?tag=`` and ``OCI-Tag``.
"""

from node.api.oci.answer import VERSION
from node.api.oci.content import content_headers, unmodified, whole
from node.http.message import Request, Response
from node.registry.deletes import delete_image
from node.registry.images import put_manifest
from node.registry.incoming import Share
from node.registry.manifests import OpenManifest, open_manifest
from node.registry.pulltimes import note_pull
from node.registry.registry import Registry
from node.registry.tags import delete_tag
from protocol.auth.caller import Caller
from protocol.errors import ManifestTooLarge, SizeInvalid
from protocol.oci.names import TagName, repository_name, tag_name
from protocol.oci.reference import is_digest, reference

MAX_TAGS = 128  # Tags in one push: bounds the transaction.


async def get_manifest(registry: Registry, caller: Caller, request: Request) -> Response:
    """``GET`` and ``HEAD /v2/<name>/manifests/<reference>``: 200, or 304."""
    name = repository_name(request.params["name"])
    wanted = reference(request.params["reference"])
    stored = await open_manifest(registry, caller, name, wanted)
    if request.method == "GET":
        note_pull(registry, caller, name, stored.digest)
    headers = content_headers(stored.digest, stored.media_type, download=False, immutable=is_digest(wanted))
    status = unmodified(request, stored.digest)
    if not isinstance(stored, OpenManifest):
        return Response(status, tuple(headers)) if status else Response(200, tuple(headers), stored.data)
    blob = stored.blob
    if status:
        blob.release()
        return Response(status, tuple(headers))
    return Response(200, tuple(headers), whole(blob.read, blob.size, fd=blob.fd, release=blob.release))


async def put_manifest_or_tags(registry: Registry, caller: Caller, request: Request) -> Response:
    """``PUT /v2/<name>/manifests/<reference>``: 201."""
    name = repository_name(request.params["name"])
    wanted = reference(request.params["reference"])
    tags = list(dict.fromkeys(tag_name(one) for one in request.parameters("tag")))
    if not is_digest(wanted):
        tags = list(dict.fromkeys([TagName(wanted), *tags]))
    if len(tags) > MAX_TAGS:
        raise ManifestTooLarge(f"{len(tags)} tags in one push; {MAX_TAGS} are taken")
    content_type = request.headers.get("content-type")
    with registry.incoming.share() as share:
        data = await _received(request, registry.settings.manifest_limit, share)
        put = await put_manifest(
            registry, caller, name, data, content_type, digest=wanted if is_digest(wanted) else None, tags=tags
        )
    headers = [("location", f"/v2/{name}/manifests/{put.digest}"), ("docker-content-digest", put.digest), VERSION]
    if put.subject is not None:
        headers.append(("oci-subject", put.subject))
    headers += [("oci-tag", tag) for tag in tags] if request.parameters("tag") else []
    return Response(201, tuple(headers))


async def delete_manifest_or_tag(registry: Registry, caller: Caller, request: Request) -> Response:
    """``DELETE /v2/<name>/manifests/<reference>``: 202."""
    name = repository_name(request.params["name"])
    wanted = reference(request.params["reference"])
    if is_digest(wanted):
        await delete_image(registry, caller, name, wanted)
    else:
        await delete_tag(registry, caller, name, TagName(wanted))
    return Response(202, (VERSION,))


async def _received(request: Request, limit: int, share: Share) -> bytes:
    length = request.body.length
    if length is not None and length > limit:
        raise ManifestTooLarge(f"a manifest of {length} bytes; at most {limit} are taken")
    parts: list[bytes] = []
    size = 0
    while part := await request.body.receive():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise ManifestTooLarge(f"a manifest of more than {limit} bytes")
        share.grow(size)
    if length is not None and size != length:
        raise SizeInvalid(f"{size} bytes came where {length} were announced")
    return b"".join(parts)
