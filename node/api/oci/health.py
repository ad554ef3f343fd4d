"""Whether the node lives, whether it can take pushes, and what it counts."""

import msgspec

from node.api.oci.door import Health
from node.http.message import Request, Response
from node.registry.condition import Condition

_TEXT = ("content-type", "text/plain; charset=utf-8")
_JSON = ("content-type", "application/json")
_LATER = ("retry-after", "5")


def get_healthz(_request: Request) -> Response:
    """``GET /healthz``: 200 while the loop turns."""
    return Response(200, (_TEXT,), b"ok\n")


def get_readyz(health: Health, request: Request) -> Response:
    """``GET /readyz``: 200, or 503 and why it cannot take pushes; JSON where ``Accept`` asks for it.

    ``?for=pulls`` asks for less: 200 as long as pulls are answered. A balancer that took a node out whose disk is full
    would end the pulls that such a node still answers.
    """
    condition = health.condition()
    wanted = condition.pulls if "pulls" in request.parameters("for") else condition.pushes
    headers = () if wanted else (_LATER,)
    if "application/json" in request.headers.get("accept", ""):
        return Response(200 if wanted else 503, (_JSON, *headers), msgspec.json.encode(condition))
    return Response(200 if wanted else 503, (_TEXT, *headers), _lines(condition).encode())


def get_metrics(health: Health) -> Response:
    """``GET /metrics``: 200, the text format of Prometheus."""
    return Response(200, (("content-type", "text/plain; version=0.0.4; charset=utf-8"),), health.metrics())


def _lines(condition: Condition) -> str:
    if condition.pushes:
        return "ok\n"
    head = "pulls go on, pushes are refused" if condition.pulls else "neither pulls nor pushes"
    return "".join(f"{line}\n" for line in (head, *(f"{one.name}: {one.what}" for one in condition.reasons)))
