"""Logos of public repositories, which anyone may have.

A logo is a picture by its first bytes, whatever follows them; so a browser is told to take it for nothing else.
"""

from blake3 import blake3

from node.api.oci.content import SAFE
from node.http.message import Request, Response
from node.registry.gallery import get_logo
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.oci.names import repository_name
from protocol.oci.ranges import etag_matches
from protocol.rules.catalog import LOGOS

PATTERN = LOGOS + "{name}"
_HOUR = ("cache-control", "public, max-age=3600")  # The URL that the API tells changes with the picture.


async def get(registry: Registry, caller: Caller, request: Request) -> Response:
    """``GET /logos/<name>``: 200, or 304."""
    logo = get_logo(registry, caller, repository_name(request.params["name"]))
    etag = f'"{blake3(logo.data).hexdigest(length=16)}"'
    headers = (("content-type", logo.media_type), ("etag", etag), _HOUR, *SAFE)
    if etag_matches(request.headers.get("if-none-match", ""), etag):
        return Response(304, headers)
    return Response(200, headers, logo.data)
