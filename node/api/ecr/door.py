"""What a handler is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from node.registry.registry import Registry
from protocol.auth.caller import Caller

Service: TypeAlias = Literal["ecr", "ecr-public"]

Given: TypeAlias = dict[str, Any]
"""The input of a call, checked against its shape: blobs are bytes, what was ``null`` is not there."""


@dataclass(frozen=True, slots=True)
class Door:
    """One call: the registry that it is for, and by which name the client reached it."""

    registry: Registry
    service: Service
    operation: str
    given: Given
    host: str
    """HOST or HOST:PORT by which clients reach this registry: what names of images begin with."""
    scheme: str
    """``http`` or ``https``, as the client came."""
    reached: str
    """HOST or HOST:PORT by which this client reached the node: what can be fetched is named by that."""

    @property
    def account(self) -> str:
        """The registry's id."""
        return self.registry.name.account

    @property
    def url(self) -> str:
        """Where this registry is, with its scheme and without a slash at the end."""
        return f"{self.scheme}://{self.host}"


Handler: TypeAlias = Callable[[Door, Caller, Given], Awaitable[dict[str, Any]]]
"""Returns the output by the names of the model; what is ``None`` in it is left out."""


class Operation(msgspec.Struct, frozen=True):
    """One row of the table of operations."""

    service: Service
    name: str
    actions: tuple[str, ...]  # What the policies are asked for; the first always, the others as the input has it.
    handler: Handler

    def __post_init__(self) -> None:
        if not self.actions:
            raise ValueError(f"{self.service} {self.name} has no action: nobody would be asked whether it is allowed")
