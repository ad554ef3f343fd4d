"""The application of ECR's API over a registry of its own, called as the engine would."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from node.api.ecr.dispatch import Parts, ecr_application
from node.http.entrance import Entrance
from node.http.message import Application, Body, Request, Response
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.ecr.private import PRIVATE
from protocol.errors import Damaged, Refusal
from tests.node.registry.world import ALICE, World, opened


@dataclass
class Sent:
    """The body of a request, which comes piece by piece, *pause* seconds before each."""

    pieces: list[bytes]
    pause: float = 0.0
    length: int | None = None

    async def receive(self) -> bytes:
        await trio.sleep(self.pause)
        return self.pieces.pop(0) if self.pieces else b""

    async def receive_into(self, buffer: memoryview) -> int:
        raise NotImplementedError


async def _nothing(_request: Request) -> Response:
    raise NotImplementedError


@dataclass
class Calls:
    """Sends calls of the private service."""

    registry: Registry
    world: World
    application: Application = _nothing
    bugs: list[Exception] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)
    caller: Caller | Exception = ALICE
    admitted: Refusal | None = None

    def admit(self, _request: Request) -> None:
        if isinstance(self.admitted, Refusal):
            raise self.admitted

    async def caller_of(self, _request: Request, _body: bytes) -> Caller:
        await trio.lowlevel.checkpoint()
        if isinstance(self.caller, Exception):
            raise self.caller
        return self.caller

    async def __call__(
        self, operation: str, body: Body | dict[str, Any], *, target: str = PRIVATE.target
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of the answer."""
        sent = Sent([json.dumps(body).encode()]) if isinstance(body, dict) else body
        headers = {"x-amz-target": f"{target}.{operation}"}
        request = Request("POST", "/", (), headers, sent, "http", "localhost:5000", "1.1", "127.0.0.1", "0a1b2c3d-1f")
        response = await self.application(request)
        assert isinstance(response.body, bytes)
        return response.status, json.loads(response.body)


@pytest.fixture
async def calls(tmp_path: Path) -> AsyncIterator[Calls]:
    world = World()
    async with opened(tmp_path, world) as registry:
        made = Calls(registry, world)
        entrance = Entrance(
            lambda _: None, made.caller_of, lambda _request, _scopes: (), is_open=False, admit=made.admit
        )
        parts = Parts(registry, entrance, lambda: None, made.damaged.append, made.bugs.append)
        made.application = ecr_application(parts)
        yield made
