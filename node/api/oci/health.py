"""Whether the node lives, whether it can take pushes, and what it counts."""

from node.api.oci.door import Health
from node.http.message import Request, Response

_TEXT = ("content-type", "text/plain; charset=utf-8")


def get_healthz(_request: Request) -> Response:
    """``GET /healthz``: 200 while the loop turns."""
    return Response(200, (_TEXT,), b"ok\n")


def get_readyz(health: Health) -> Response:
    """``GET /readyz``: 200, or 503 and why it cannot take pushes."""
    reason = health.ready()
    return (
        Response(503, (_TEXT, ("retry-after", "5")), f"{reason}\n".encode())
        if reason
        else Response(200, (_TEXT,), b"ok\n")
    )


def get_metrics(health: Health) -> Response:
    """``GET /metrics``: 200, the text format of Prometheus."""
    return Response(200, (("content-type", "text/plain; version=0.0.4; charset=utf-8"),), health.metrics())
