"""Calls of the ECR API over a connection of its own, each answer held to the model of botocore.

boto3 is lenient with what it is answered: a member that it does not know it drops, and one of another type it passes
on. So every answer that is asked for here, and every one that a client of ``clients`` gets, is compared with the output
shape of its operation, down to the last member.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from tests.e2e.servers import Server

ACCOUNT = "123456789012"
REGION = "eu-central-1"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TYPE = "application/x-amz-json-1.1"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "boolean": bool,
    "string": str,
    "blob": str,
    "integer": int,
    "long": int,
    "double": (int, float),
    "timestamp": (int, float),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One answer, as it came."""

    status: int
    headers: Mapping[str, str]  # Lower-case names.
    body: dict[str, Any]

    @property
    def error(self) -> str:
        """The name of the error; empty for a success."""
        return str(self.body.get("__type", ""))


class Raw:
    """Sends calls of one service as bytes, unsigned; answers are not judged."""

    def __init__(self, server: Server, service: str = "ecr") -> None:
        self._connection = server.connect()
        self.model: ServiceModel = botocore.session.get_session().get_service_model(service)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def call(self, operation: str, given: object = None, /, **headers: str) -> Result:
        """Call *operation* with *given*: bytes as they are, anything else as JSON."""
        body = given if isinstance(given, bytes) else json.dumps({} if given is None else given).encode()
        target = f"{self.model.metadata['targetPrefix']}.{operation}"
        sent = {"x-amz-target": target, "content-type": TYPE} | {k.replace("_", "-"): v for k, v in headers.items()}
        self._connection.request("POST", "/", body, sent)
        response = self._connection.getresponse()
        return Result(response.status, {k.lower(): v for k, v in response.headers.items()}, json.loads(response.read()))


def refused(call: Callable[..., object], **given: Any) -> dict[str, Any]:
    """Call a method of a boto3 client that has to be refused; return the whole of the error, its members beside it."""
    try:
        answer = call(**given)
    except ClientError as error:
        told: dict[str, Any] = dict(error.response["Error"])
        return told | {name: one for name, one in error.response.items() if name[0].islower()}
    raise AssertionError(f"not refused: {answer}")


def judge(model: OperationModel, status: int, headers: Mapping[str, str], content: bytes) -> None:
    """Fail where an answer is not one of *model*: a result of its output shape, or an error that it declares."""
    named = {name.lower(): value for name, value in headers.items()}
    assert named["content-type"] == TYPE, named
    assert _UUID.fullmatch(named["x-amzn-requestid"]), named
    body = json.loads(content)
    if status == 200:
        if model.output_shape is not None:
            conforms(model.output_shape, body, model.name)
        else:
            assert body == {}, f"{model.name} has no output, and {body} came"
        return
    error = body["__type"]
    assert named["x-amzn-errortype"] == error, named
    declared = {shape.name: shape for shape in model.error_shapes}
    if error in declared:
        assert status == (500 if error == "ServerException" else 400), (error, status)
        conforms(declared[error], {name: one for name, one in body.items() if name != "__type"}, error)
    else:
        assert error in COMMON, f"{model.name} does not declare {error}"
        assert set(body) == {"__type", "message"}, body
        assert status == COMMON[error], (error, status)


COMMON = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignature": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "RequestEntityTooLargeException": 413,
    "RequestTimeoutException": 408,
    "SerializationException": 400,
    "ServiceUnavailable": 503,
    "ThrottlingException": 400,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
}
"""Errors that any operation may answer with (API reference, "Common Errors", and what SDKs know besides)."""


def conforms(shape: Shape, value: object, where: str) -> None:
    """Fail where *value*, as JSON has it, is not of *shape*: another type, a member too many or too few, a bound."""
    if isinstance(shape, StructureShape):
        assert isinstance(value, dict), f"{where}: {value!r} is no structure"
        unknown = value.keys() - shape.members.keys()
        assert not unknown, f"{where}: {sorted(unknown)} is not in the model"
        missing = set(shape.required_members) - value.keys()
        assert not missing, f"{where}: {sorted(missing)} is missing"
        for name, one in value.items():
            conforms(shape.members[name], one, f"{where}.{name}")
    elif isinstance(shape, ListShape):
        assert isinstance(value, list), f"{where}: {value!r} is no list"
        for at, one in enumerate(value):
            conforms(shape.member, one, f"{where}[{at}]")
    elif isinstance(shape, MapShape):
        assert isinstance(value, dict), f"{where}: {value!r} is no map"
        for name, one in value.items():
            conforms(shape.key, name, f"{where} key")
            conforms(shape.value, one, f"{where}[{name}]")
    else:
        _simple(shape, value, where)


def _simple(shape: Shape, value: object, where: str) -> None:
    kind = _KINDS[shape.type_name]
    is_bool = isinstance(value, bool)
    assert isinstance(value, kind) and is_bool == (kind is bool), f"{where}: {value!r} is no {shape.type_name}"  # noqa: PT018 - one thought.
    if isinstance(value, str):
        low, high = shape.metadata.get("min", 0), shape.metadata.get("max", len(value))
        assert low <= len(value) <= high, f"{where}: {len(value)} characters, and {low} to {high} may be"
        if "enum" in shape.metadata:
            assert value in shape.metadata["enum"], f"{where}: {value!r} is none of {shape.metadata['enum']}"
        if "pattern" in shape.metadata:
            assert re.fullmatch(shape.metadata["pattern"], value), f"{where}: {value!r} does not fit"
