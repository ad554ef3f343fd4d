"""The client port's application over a registry of its own, called as the engine would."""

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest
import trio

from node.api.login.entrance import challenge
from node.api.oci.door import Health
from node.api.oci.recent import RecentManifests
from node.api.oci.routes import oci_application
from node.http.entrance import Entrance
from node.http.message import Application, Pieces, Request, Response
from node.registry.condition import Condition
from node.registry.registry import Registry
from protocol.auth.caller import Caller
from protocol.errors import Damaged, Denied
from tests.node.registry.world import ALICE, World, opened


@dataclass
class Sent:
    """The body of a request, of which *left* is not received yet."""

    left: bytes = b""
    length: int | None = None

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        data, self.left = self.left[:65_536], self.left[65_536:]
        return data

    async def receive_into(self, buffer: memoryview) -> int:
        await trio.lowlevel.checkpoint()
        size = min(len(buffer), len(self.left))
        buffer[:size], self.left = self.left[:size], self.left[size:]
        return size


@dataclass
class Got:
    """A response, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    fields: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Door:
    """Sends requests to the application."""

    registry: Registry
    world: World
    application: Application
    caller: Caller | None = ALICE  # None: one who cannot tell who it is.
    host: str = "localhost"
    damaged: list[Damaged] = field(default_factory=list)
    condition: Condition = field(default_factory=lambda: Condition(pushes=True, pulls=True))

    async def __call__(
        self, method: str, target: str, body: bytes = b"", *, chunked: bool = False, **headers: str
    ) -> Got:
        """Send one request; *headers* have underscores for dashes."""
        return await read(
            method, await self.application(self.request(method, target, body, chunked=chunked, **headers))
        )

    def request(self, method: str, target: str, body: bytes = b"", *, chunked: bool = False, **headers: str) -> Request:
        """Return the request that a call sends."""
        path, _, query = target.partition("?")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Request(
            method,
            unquote(path),
            tuple(parse_qsl(query, keep_blank_values=True)),
            named,
            Sent(body, None if chunked else len(body)),
            "http",
            self.host,
            "1.1",
            "127.0.0.1",
            "id",
        )


async def read(method: str, response: Response) -> Got:
    body = response.body
    if isinstance(body, Pieces):
        try:
            parts = [
                one if isinstance(one, bytes) else os.pread(one.fd, one.length, one.offset)
                async for one in body.iterator
            ]
        finally:
            if body.release is not None:
                body.release()
        data = b"".join(parts)
        assert body.length == len(data)
    else:
        data = body
    headers: Mapping[str, str] = dict(response.headers)
    assert all(name == name.lower() and "\n" not in value and "\r" not in value for name, value in response.headers)
    return Got(response.status, dict(headers), b"" if method == "HEAD" else data, list(response.headers))


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    world = World()
    async with opened(tmp_path / "data", world, manifest_limit=100_000) as registry:
        yield door_of(registry, world)
        assert not registry.store.leases.counts  # Whatever was opened was given back.


def door_of(registry: Registry, world: World) -> Door:
    door: Door

    def known(_request: Request) -> Caller:
        if door.caller is None:
            raise Denied("say who you are")
        return door.caller

    async def identify(request: Request, _body: bytes) -> Caller:
        return known(request)

    entrance = Entrance(known, identify, challenge, is_open=False)

    health = Health(lambda: door.condition, lambda: b"metrics 1\n")
    door = Door(registry, world, None)  # type: ignore[arg-type]  # It and the application need each other.
    recent = RecentManifests(lambda: registry.store.writer.commits)
    door.application = oci_application(registry, health, recent, entrance=entrance, damaged=door.damaged.append)
    return door
