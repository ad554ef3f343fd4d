"""The parameters of a request: a form in the body, or the query of the URL.

Lists are written as ``Tags.member.1.Key``. A parameter that comes twice is refused, for two readers would take another
one each.
"""

from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl

from node.http.message import Body, Request
from protocol.errors import ParameterInvalid

TYPE = "application/x-www-form-urlencoded"
_MAX_FORM = 64 * 1024  # Bytes.
_MAX_FIELDS = 200
_MAX_MEMBERS = 50

Form: TypeAlias = Mapping[str, str]


def is_form(request: Request) -> bool:
    """Whether *request* is one for this door."""
    if request.method not in {"GET", "POST"} or "x-amz-target" in request.headers:
        return False
    if request.parameters("Action"):
        return True
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return request.method == "POST" and kind == TYPE


async def receive(body: Body) -> bytes:
    """Return the whole body, or raise ``ParameterInvalid`` where it is larger than any form."""
    data = bytearray()
    while part := await body.receive():
        data += part
        if len(data) > _MAX_FORM:
            raise ParameterInvalid(f"a form has at most {_MAX_FORM} bytes")
    return bytes(data)


def read_form(request: Request, body: bytes) -> Form:
    """Return the parameters, those of the signature left out."""
    if request.parameters("Action"):
        pairs = [(name, value) for name, value in request.query if not name.startswith("X-Amz-")]
    else:
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
        except ValueError:
            raise ParameterInvalid("the body is not a form") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise ParameterInvalid("a parameter comes twice")
    return form


def required(form: Form, name: str) -> str:
    """Return a parameter, or raise ``ParameterInvalid`` where it is not there."""
    value = form.get(name, "")
    if not value:
        raise ParameterInvalid(
            f"1 validation error detected: Value at '{name[:1].lower()}{name[1:]}' failed to satisfy constraint: "
            "Member must not be null"
        )
    return value


def seconds(form: Form, name: str) -> int | None:
    """Return a parameter that is a number of seconds, ``None`` where it is not there."""
    text = form.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ParameterInvalid(f"{name} is a number of seconds")
    return int(text)


def tags(form: Form) -> dict[str, str]:
    """Return the tags of a session."""
    found: dict[str, str] = {}
    for at in range(1, _MAX_MEMBERS + 2):
        key = form.get(f"Tags.member.{at}.Key")
        if key is None:
            break
        found[key] = form.get(f"Tags.member.{at}.Value", "")
    return found
