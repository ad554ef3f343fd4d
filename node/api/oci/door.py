"""What a handler is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from node.http.message import Request, Response
from node.registry.condition import Condition
from node.registry.registry import Registry
from protocol.auth.caller import Caller

Handler: TypeAlias = Callable[[Registry, Caller, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Health:
    """What the node says of itself."""

    condition: Callable[[], Condition]
    """Whether pushes are taken, and why not."""
    metrics: Callable[[], bytes]
    """The metrics in the text format of Prometheus."""
