"""The audit: who did what."""

from math import inf

from node.api.admin.answer import Admin, json, page
from node.http.message import Request, Response
from node.registry.audit.reading import MAX_PAGE, Wanted, last_audit, list_audit, verify_audit_step
from protocol.auth.caller import Caller
from protocol.errors import ParameterInvalid
from protocol.oci.reference import single

_TEXTS = ("who", "source", "action", "resource", "result", "request")


async def get_audit(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/audit``: entries beyond ``after``; without it the last ones."""
    after, limit = page(request)
    wanted = _wanted(request)
    if after is None:
        return json(last_audit(admin.registry, caller, wanted, limit=min(limit, MAX_PAGE)))
    return json(list_audit(admin.registry, caller, wanted, after=_number("after", after), limit=min(limit, MAX_PAGE)))


async def get_verification(admin: Admin, caller: Caller, request: Request) -> Response:
    """``GET /admin/v1/audit/verification``: a step of a verification, beyond ``after``, whose hash is ``known``."""
    after, _ = page(request)
    known = single("known", request.parameters("known")) or ""
    if known and (len(known) != 64 or not set(known) <= set("0123456789abcdef")):
        raise ParameterInvalid("known is a hash of 64 hexadecimal digits")
    return json(await verify_audit_step(admin.registry, caller, after=_number("after", after or "0"), known=known))


def _wanted(request: Request) -> Wanted:
    texts = {name: single(name, request.parameters(name)) or "" for name in _TEXTS}
    since, until = (single(name, request.parameters(name)) for name in ("since", "until"))
    return Wanted(**texts, since=_seconds(since, 0.0), until=_seconds(until, inf))


def _seconds(text: str | None, otherwise: float) -> float:
    try:
        return otherwise if text is None else min(max(float(text), 0.0), 2.0**40)
    except ValueError as error:
        raise ParameterInvalid("since and until are seconds since 1970") from error


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ParameterInvalid(f"{name} is a number")
    return int(text)
