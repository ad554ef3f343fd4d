"""A server on loopback, and what it has counted and said."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import trio

from node.http.limits import Limits
from node.http.listen import Listener
from node.http.message import Answered, Application


@dataclass
class Server:
    port: int
    stopping: trio.Event
    hits: Counter[str] = field(default_factory=Counter)
    bugs: list[Exception] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    ended: trio.Event = field(default_factory=trio.Event)

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def exchange(self, data: bytes) -> bytes:
        """Send *data*, say that there is no more, and return all that comes back."""
        stream = await self.connect()
        async with stream:
            try:
                await stream.send_all(data)
                await stream.send_eof()
            except trio.BrokenResourceError:
                pass  # It was refused before it was sent.
            return await read_all(stream)


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    """Everything up to the end; what came before a reset counts too."""
    received = b""
    try:
        async for data in stream:
            received += data
    except trio.BrokenResourceError:
        received += b"<reset>"
    return received


class Start(Protocol):
    """Starts a server that runs until the end of the test."""

    async def __call__(
        self,
        application: Application,
        *,
        grace: float = 5,
        listener: Listener | None = None,
        limits: Limits | Callable[[], Limits] | None = None,
    ) -> Server: ...
