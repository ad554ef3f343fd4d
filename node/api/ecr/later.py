"""Stands in for operations that are not built yet."""

from typing import Any

from node.api.ecr.door import Door, Given
from protocol.auth.caller import Caller
from protocol.errors import Unsupported


async def not_yet(door: Door, _caller: Caller, _given: Given) -> dict[str, Any]:
    """Say that this node does not do it."""
    raise Unsupported(f"This registry does not support {door.operation} yet")
