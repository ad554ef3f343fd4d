"""Which node a command is for: that of the data directory, or the one that ``entrepot --endpoint`` names."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import click

from node.cli.control import Control, Parameter
from node.cli.remote import Remote

ENDPOINT = "endpoint"


class Node(Protocol):
    """A node that answers."""

    def running(self) -> bool:
        """Whether it runs, or is taken to."""

    def get(self, path: str, **query: str | int | None) -> Any:  # noqa: ANN401 - JSON.
        """Return the answer of a GET."""

    def call(self, method: str, path: str, *, query: Mapping[str, Parameter] | None = None, body: bytes = b"") -> Any:  # noqa: ANN401 - JSON.
        """Send one request and return its decoded answer; raises what ``node.cli.failures`` has."""

    def pages(self, path: str, key: str, **query: str | None) -> Iterator[list[Any]]:
        """Yield the list under *key* of each page."""


def node_at(data: Path) -> Node:
    """Return the node that the command is for."""
    endpoint = (click.get_current_context().find_root().obj or {}).get(ENDPOINT)
    return Control(data) if endpoint is None else Remote(endpoint, os.environ)
