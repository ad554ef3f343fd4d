"""What was sent without copying is released when the client has it or can never get it, not before."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.http.limits import Limits
from node.http.listen import listen_tcp, tune
from node.http.sendqueue import SendQueues
from node.http.transport import Pace, Transport

SIZE = 4 * 1024 * 1024


@pytest.fixture
async def queues(nursery: trio.Nursery) -> SendQueues:
    queues = SendQueues(Limits)
    nursery.start_soon(queues.watch_forever)
    return queues


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Transport, socket.socket]]:
    """A transport, and the socket of a client that reads when it is told to."""
    with listen_tcp("127.0.0.1", 0) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # Or it could take the whole file unread.
        client.connect(listener.getsockname())
        sock, _ = listener.accept()
        tune(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SIZE)
        client.setblocking(False)
        transport = Transport(sock, "")
        yield transport, client
        transport.close()


async def send_some(transport: Transport, path: Path) -> None:
    """Fill the queue from a file until the client would have to read."""
    path.write_bytes(bytes(SIZE))  # noqa: ASYNC240 - nobody waits.
    with path.open("rb") as file, trio.CancelScope() as scope:
        scope.cancel()
        await transport.send_file(file.fileno(), 0, SIZE, Pace(scope, Limits()))
    assert transport.unsent() > 0


async def drain(client: socket.socket, transport: Transport) -> None:
    while transport.unsent():
        try:
            client.recv(SIZE)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(client)


async def test_a_stalled_client_holds_the_lease(
    queues: SendQueues, pair: tuple[Transport, socket.socket], tmp_path: Path
) -> None:
    transport, client = pair
    await send_some(transport, tmp_path / "file")
    released = trio.Event()
    queues.lease(transport, released.set)
    with trio.move_on_after(0.3):
        await released.wait()
    assert not released.is_set()
    await drain(client, transport)
    await released.wait()


async def test_later_bytes_do_not_hold_an_earlier_lease(
    queues: SendQueues, pair: tuple[Transport, socket.socket], tmp_path: Path
) -> None:
    transport, client = pair
    await send_some(transport, tmp_path / "file")
    early, late = trio.Event(), trio.Event()
    queues.lease(transport, early.set)
    await drain(client, transport)
    await send_some(transport, tmp_path / "file")
    queues.lease(transport, late.set)
    await early.wait()
    assert not late.is_set()


async def test_an_abort_releases(queues: SendQueues, pair: tuple[Transport, socket.socket], tmp_path: Path) -> None:
    transport, client = pair
    await send_some(transport, tmp_path / "file")
    released: list[int] = []
    queues.lease(transport, lambda: released.append(1))
    queues.abort(transport)
    queues.abort(transport)
    assert released == [1]
    with pytest.raises(ConnectionResetError):  # noqa: PT012 - after what had arrived before.
        while client.recv(SIZE):
            pass


async def test_a_close_waits_for_the_queue(
    queues: SendQueues, pair: tuple[Transport, socket.socket], tmp_path: Path
) -> None:
    transport, client = pair
    await send_some(transport, tmp_path / "file")
    released = trio.Event()
    queues.lease(transport, released.set)
    queues.close(transport)
    received = 0
    while True:
        try:
            data = client.recv(SIZE)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(client)
            continue
        if not data:
            break
        received += len(data)
    assert received == transport.queued
    await released.wait()


async def test_a_close_does_not_wait_for_ever(
    queues: SendQueues, pair: tuple[Transport, socket.socket], tmp_path: Path, autojump_clock: MockClock
) -> None:
    transport, _ = pair
    await send_some(transport, tmp_path / "file")
    released = trio.Event()
    queues.lease(transport, released.set)
    begun = trio.current_time()
    queues.close(transport)
    await released.wait()
    assert trio.current_time() - begun == pytest.approx(Limits().flush, abs=0.2)
