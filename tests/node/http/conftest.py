"""Starts servers for the tests of this folder."""

import pytest
import trio

from node.http.limits import Limits
from node.http.listen import Listener, listen_tcp
from node.http.message import Application
from node.http.serve import serve
from tests.node.http.serving import Server, Start


@pytest.fixture
def start(nursery: trio.Nursery) -> Start:
    async def start(
        application: Application, *, grace: float = 5, listener: Listener | None = None, limits: Limits | None = None
    ) -> Server:
        listener = listener or Listener(listen_tcp("127.0.0.1", 0))
        allowed = limits or Limits()
        name = listener.sock.getsockname()
        server = Server(name[1] if isinstance(name, tuple) else 0, trio.Event())

        async def run() -> None:
            await serve(
                [listener],
                application,
                limits=lambda: allowed,
                stopping=server.stopping,
                grace=lambda: grace,
                observe=server.answered.append,
                hit=lambda name: server.hits.update([name]),
                report=server.bugs.append,
            )
            server.ended.set()

        nursery.start_soon(run)
        return server

    return start
