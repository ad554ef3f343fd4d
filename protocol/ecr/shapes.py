"""Shapes of the service models, and the check of an input against one.

SDKs check lengths and required members before they send, and never a pattern, so all of it is checked here. A member
that is not known is left out, and one that is ``null`` is one that was not sent, as the service has it. What comes
back is the input with blobs decoded and nothing else changed.

Source: Smithy 1.0, "Constraint traits"; AWS JSON 1.1 protocol; the texts are those that ECR answers.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeAlias

import msgspec

from protocol.errors import ParameterInvalid

Kind: TypeAlias = Literal[
    "blob", "boolean", "double", "integer", "list", "long", "map", "string", "structure", "timestamp"
]

_BITS = {"integer": 31, "long": 63}


class Shape(msgspec.Struct, frozen=True):
    """What a value may be."""

    kind: Kind
    min: float | None = None  # Length of a string, list, map or blob; value of a number.
    max: float | None = None
    pattern: str = ""
    enum: tuple[str, ...] = ()
    member: str = ""  # Shape of each element of a list, or value of a map.
    members: Mapping[str, str] = {}  # Of a structure: name -> shape.
    required: tuple[str, ...] = ()


class Operation(msgspec.Struct, frozen=True):
    """One operation: the shape of its input, and the exceptions that it declares."""

    input: str
    errors: tuple[str, ...]


class Model(msgspec.Struct, frozen=True):
    """One service."""

    target: str  # What ``X-Amz-Target`` begins with, before the dot.
    operations: Mapping[str, Operation]
    shapes: Mapping[str, Shape]  # Those that an input reaches.


def check_input(model: Model, operation: str, value: object) -> dict[str, Any]:
    """Return the input of *operation*, or raise ``ParameterInvalid`` with the member that is wrong, and why."""
    if not isinstance(value, dict):
        raise ParameterInvalid("the input is not a JSON object")
    checked: dict[str, Any] = _check(model, model.operations[operation].input, value, "")
    return checked


def _check(model: Model, name: str, value: object, where: str) -> Any:  # noqa: ANN401 - whatever JSON holds.
    shape = model.shapes[name]
    match shape.kind, value:
        case "structure", dict():
            return _structure(model, shape, value, where)
        case "list", list():
            _bounds(shape, len(value), where, "length")
            return [_check(model, shape.member, one, f"{where}.{at + 1}.member") for at, one in enumerate(value)]
        case "map", dict():
            _bounds(shape, len(value), where, "length")
            return {key: _check(model, shape.member, one, f"{where}.{key[:80]}") for key, one in value.items()}
        case "blob", str():
            return _blob(shape, value, where)
        case "blob", bytes():  # Decoded by who read the input.
            _bounds(shape, len(value), where, "length")
            return value
        case _:
            _simple(shape, value, where)
            return value


def _simple(shape: Shape, value: object, where: str) -> None:
    match shape.kind, value:
        case "boolean", bool():
            pass
        case "string", str():
            _string(shape, value, where)
        case (("integer" | "long"), int()) if not isinstance(value, bool) and abs(value) < 2 ** _BITS[shape.kind]:
            _bounds(shape, value, where, "value")
        case (("double" | "timestamp"), int() | float()) if not isinstance(value, bool):
            pass
        case _:
            raise _invalid(where, f"Member must be a {shape.kind}")


def _structure(model: Model, shape: Shape, value: dict[str, Any], where: str) -> dict[str, Any]:
    for name in shape.required:
        if value.get(name) is None:
            raise _invalid(f"{where}.{name}" if where else name, "Member must not be null")
    return {
        name: _check(model, member, value[name], f"{where}.{name}" if where else name)
        for name, member in shape.members.items()
        if value.get(name) is not None
    }


def _string(shape: Shape, value: str, where: str) -> None:
    _bounds(shape, len(value), where, "length")
    if shape.enum and value not in shape.enum:
        raise _invalid(where, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    if shape.pattern and not _compiled(shape.pattern).fullmatch(value):
        raise _invalid(where, f"must satisfy regular expression '{shape.pattern}'")


def _blob(shape: Shape, value: str, where: str) -> bytes:
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid(where, "Member must be base64") from None
    _bounds(shape, len(data), where, "length")
    return data


def _bounds(shape: Shape, found: int, where: str, what: Literal["length", "value"]) -> None:
    if shape.min is not None and found < shape.min:
        raise _invalid(where, f"Member must have {what} greater than or equal to {shape.min:.0f}")
    if shape.max is not None and found > shape.max:
        raise _invalid(where, f"Member must have {what} less than or equal to {shape.max:.0f}")


def _invalid(where: str, why: str) -> ParameterInvalid:
    return ParameterInvalid(f"Invalid parameter at '{where}' failed to satisfy constraint: '{why}'")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)
