"""Results and errors as the Query protocol has them.

Its errors have names of their own: what the JSON protocol calls ``UnrecognizedClientException`` is
``InvalidClientTokenId`` here.

Source: AWS Query protocol (Smithy), "Operation error serialization"; AWS STS API reference, "Common Errors".
"""

from collections.abc import Mapping
from html import escape
from typing import TypeAlias

from node.http.message import Response
from protocol.ecr.requestid import request_uuid
from protocol.errors import Busy, Refusal

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"

Result: TypeAlias = Mapping[str, "str | Result"]
"""Elements by name; a text, or elements within."""

_CODES: Mapping[str, tuple[str, int]] = {
    "AccessDeniedException": ("AccessDenied", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "IDPCommunicationErrorException": ("IDPCommunicationError", 400),
    "IncompleteSignature": ("IncompleteSignature", 400),
    "InvalidIdentityTokenException": ("InvalidIdentityToken", 400),
    "InvalidParameterException": ("ValidationError", 400),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "PackedPolicyTooLargeException": ("PackedPolicyTooLarge", 400),
    "ThrottlingException": ("Throttling", 400),
    "UnknownOperationException": ("InvalidAction", 400),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
}
"""Name in the JSON protocol -> name here, and status."""


def answered(request: str, operation: str, result: Result) -> Response:
    """Return the answer of *operation* to the request with the id *request*."""
    name = request_uuid(request)
    body = (
        f'<{operation}Response xmlns="{NAMESPACE}"><{operation}Result>{_elements(result)}</{operation}Result>'
        f"<ResponseMetadata><RequestId>{name}</RequestId></ResponseMetadata></{operation}Response>"
    )
    return _response(200, name, body)


def refused(request: str, refusal: Refusal, own: Mapping[type[Refusal], tuple[str, int]]) -> Response:
    """Return the error for *refusal*; *own* are the names that the operation has for some, with their statuses."""
    usual = ("ServiceUnavailable", 503) if isinstance(refusal, Busy) else ("ValidationError", 400)
    code, status = own.get(type(refusal)) or _CODES.get(refusal.ecr, usual)
    return _error(request, status, "Sender" if status < 500 else "Receiver", code, str(refusal))


def failed(request: str) -> Response:
    """Return the error for stored bytes that failed their check, without details."""
    return _error(request, 500, "Receiver", "InternalFailure", "What is stored here is damaged; the operator was told")


def _error(request: str, status: int, kind: str, code: str, message: str) -> Response:
    name = request_uuid(request)
    error = _elements({"Type": kind, "Code": code, "Message": message})
    body = f'<ErrorResponse xmlns="{NAMESPACE}"><Error>{error}</Error><RequestId>{name}</RequestId></ErrorResponse>'
    return _response(status, name, body)


def _response(status: int, name: str, body: str) -> Response:
    fields = (("content-type", "text/xml"), ("cache-control", "no-store"), ("x-amzn-requestid", name))
    return Response(status, fields, body.encode("utf-8", "replace"))


def _elements(result: Result) -> str:
    return "".join(
        f"<{name}>{_text(value) if isinstance(value, str) else _elements(value)}</{name}>"
        for name, value in result.items()
    )


def _text(value: str) -> str:
    """Return *value* as XML holds it, which has no form for control characters."""
    return escape("".join(char if char.isprintable() else "?" for char in value), quote=False)
