"""Results and errors as AWS JSON 1.1 has them.

botocore reads the name of an error from ``__type`` alone, the SDKs for Go and Java prefer the header: both say the
same. A name that the operation does not declare would become no exception that anyone catches, so it is replaced by
one that it does, unless it is among those that any operation may answer with.

Source: AWS JSON 1.1 protocol, "Operation error serialization"; Amazon ECR API reference, "Common Errors".
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from node.http.message import Response
from protocol.ecr.requestid import request_uuid
from protocol.errors import Busy, Refusal

TYPE = "application/x-amz-json-1.1"

COMMON = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignature": 403,
    "InternalFailure": 500,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "OptInRequired": 403,
    "RequestEntityTooLargeException": 413,
    "RequestTimeoutException": 408,
    "SerializationException": 400,
    "ServiceUnavailable": 503,
    "ThrottlingException": 400,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
}
"""Errors of every operation that no model declares, with their statuses."""

_FALLBACKS = ("InvalidParameterException", "ValidationException")
_NESTED = frozenset((dict, list))
_encode = msgspec.json.Encoder().encode


def answered(request: str, result: dict[str, Any]) -> Response:
    """Return the answer with *result*; *request* is the id of the request."""
    body = _encode(without_absent(result))
    return Response(200, (("content-type", TYPE), ("x-amzn-requestid", request_uuid(request))), body)


def refused(request: str, refusal: Refusal, declared: Collection[str]) -> Response:
    """Return the error for *refusal* to an operation that declares the errors *declared*."""
    name = error_name(refusal, declared)
    headers = [("retry-after", str(refusal.retry_after))] if isinstance(refusal, Busy) else []
    members = refusal.members if name == refusal.ecr else {}
    return _error(request, name, str(refusal), members, headers)


def failed(request: str, message: str) -> Response:
    """Return the error for what went wrong here, without details."""
    return _error(request, "ServerException", message, {}, [])


def error_name(refusal: Refusal, declared: Collection[str]) -> str:
    """Return the name by which an operation that declares *declared* tells of *refusal*."""
    if refusal.ecr in declared or refusal.ecr in COMMON:
        return refusal.ecr
    if isinstance(refusal, Busy) or refusal.ecr == "ServerException":
        return "ServiceUnavailable"
    return next((name for name in _FALLBACKS if name in declared), refusal.ecr)


def without_absent(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds.
    """Return *value* without members that are ``None``, at every depth; structs leave them out by themselves."""
    if type(value) is dict:
        return {
            name: without_absent(one) if type(one) in _NESTED else one for name, one in value.items() if one is not None
        }
    return [without_absent(one) if type(one) in _NESTED else one for one in value]


def _error(
    request: str,
    name: str,
    message: str,
    members: Mapping[str, object],
    headers: list[tuple[str, str]],
) -> Response:
    status = COMMON.get(name, 500 if name == "ServerException" else 400)
    body = _encode({"__type": name, "message": message, **members})
    fields = (("content-type", TYPE), ("x-amzn-requestid", request_uuid(request)), ("x-amzn-errortype", name), *headers)
    return Response(status, fields, body)
