"""Starts servers for the tests of this folder."""

from collections.abc import Callable

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
        application: Application,
        *,
        grace: float = 5,
        listener: Listener | None = None,
        limits: Limits | Callable[[], Limits] | None = None,
    ) -> Server:
        listener = listener or Listener(listen_tcp("127.0.0.1", 0))
        fixed = Limits() if limits is None or callable(limits) else limits
        name = listener.sock.getsockname()
        server = Server(name[1] if isinstance(name, tuple) else 0, trio.Event())

        async def run() -> None:
            await serve(
                [listener],
                application,
                limits=limits if callable(limits) else lambda: fixed,
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
