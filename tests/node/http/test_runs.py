"""Runs of extents: sent from threads while the client is fast, from the loop when it is not, and whole in any case."""

import random
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from node.http.counts import Counts
from node.http.limits import Limits
from node.http.listen import HIGH_WATER, LOW_WATER, listen_tcp, tune
from node.http.message import Extent, Piece, Pieces, Request, Response
from node.http.runs import MOST, QUICK, THREADS, Runs, Senders
from node.http.transport import Pace, Transport
from tests.node.http.serving import Start

CONTENT = random.Random(1).randbytes(8_000_000)
LENGTH = 100_000


@pytest.fixture
def extents(tmp_path: Path) -> Iterator[list[Extent]]:
    (tmp_path / "file").write_bytes(CONTENT)
    with (tmp_path / "file").open("rb") as file:
        yield [
            Extent(file.fileno(), at, LENGTH, is_resident=True, is_followed=True)
            for at in range(0, len(CONTENT), LENGTH)
        ]


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Transport, trio.SocketStream]]:
    """A transport, and a client that reads when it is told to."""
    with listen_tcp("127.0.0.1", 0) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect(listener.getsockname())
        sock, _ = listener.accept()
    tune(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    transport = Transport(sock, "")
    async with trio.SocketStream(trio.socket.from_stdlib_socket(client)) as stream:
        yield transport, stream
        transport.close()


def pace() -> Pace:
    return Pace(trio.CancelScope(), Limits())


async def receive(stream: trio.SocketStream, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += await stream.receive_some(size - len(received))
    return received


def low_water(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)


def two_fast(sock: socket.socket) -> Runs:
    """Runs of a client that keeps up, beside another one that does."""
    senders = Senders(Counts())
    for runs in (one := Runs(Transport(sock, ""), senders)), Runs(Transport(sock, ""), senders):
        runs.kept_up(1, 0)
    return one


def test_a_run_doubles_while_the_client_keeps_up_and_is_halved_when_it_does_not() -> None:
    with socket.socket() as sock:
        runs = two_fast(sock)
        lengths = []
        for _ in range(5):
            lengths.append(runs.length)
            runs.kept_up(runs.length, 0)
        assert lengths == [2, 4, 8, MOST, MOST]
        runs.kept_up(3, 0)  # The source had no more: that says nothing of the client.
        assert runs.length == MOST
        for _ in range(5):
            runs.kept_up(MOST, QUICK * MOST * 2)
        assert runs.length == 1


def test_a_client_has_more_queued_only_while_it_keeps_up() -> None:
    with socket.socket() as sock:
        tune(sock)
        runs = two_fast(sock)
        assert low_water(sock) == LOW_WATER
        for _ in range(5):
            runs.kept_up(runs.length, 0)
        assert low_water(sock) == HIGH_WATER
        runs.kept_up(1, QUICK * 2)  # It stalled.
        assert low_water(sock) == LOW_WATER
        for _ in range(5):
            runs.kept_up(runs.length, 0)
        runs.end()
        assert low_water(sock) == LOW_WATER


async def test_nothing_is_gathered_for_one_fast_client_alone_or_where_no_thread_is_free() -> None:
    with socket.socket() as sock:
        senders = Senders(Counts())
        one, other = Runs(Transport(sock, ""), senders), Runs(Transport(sock, ""), senders)
        one.kept_up(1, 0)
        assert one.length == 1
        other.kept_up(1, 0)
        assert one.length == 2
        borrowers = [object() for _ in range(THREADS)]
        for borrower in borrowers:
            senders.threads.acquire_on_behalf_of_nowait(borrower)
        assert one.length == 1
        senders.threads.release_on_behalf_of(borrowers[0])
        assert one.length == 2
        other.end()
        assert one.length == 1


async def test_what_the_client_pauses_for_is_sent_from_the_loop(
    pair: tuple[Transport, trio.SocketStream], extents: list[Extent]
) -> None:
    transport, stream = pair
    runs, whole = Runs(transport, Senders(Counts())), 16 * LENGTH
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runs.send, extents[:16], pace())
        with trio.move_on_after(0.1):  # Longer than a thread waits.
            await trio.sleep_forever()
        assert 0 < transport.queued < whole
        assert await receive(stream, whole) == CONTENT[:whole]
    assert transport.queued == whole


async def test_a_file_that_is_too_short_fails_the_run(
    pair: tuple[Transport, trio.SocketStream], extents: list[Extent]
) -> None:
    transport, stream = pair
    beyond = Extent(extents[0].fd, len(CONTENT), LENGTH, is_resident=True)
    with pytest.raises(OSError, match="ends"):
        await Runs(transport, Senders(Counts())).send([Extent(extents[0].fd, 0, 10), beyond], pace())
    assert await receive(stream, 10) == CONTENT[:10]


async def test_fast_clients_get_extents_and_bytes_in_order_and_the_iterators_end(
    start: Start, extents: list[Extent]
) -> None:
    exhausted = 0

    async def body() -> AsyncIterator[Piece]:
        nonlocal exhausted
        for number, extent in enumerate(extents):
            if number == 40:
                yield b"between"
            if number == 60:
                await trio.lowlevel.checkpoint()
            yield extent
        exhausted += 1

    async def answer(_: Request) -> Response:
        return Response(200, (), Pieces(body(), len(CONTENT) + 7))

    server = await start(answer)
    at, answers = 40 * LENGTH, []

    async def get() -> None:
        answers.append(await server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(get)
    for received in answers:
        assert received.partition(b"\r\n\r\n")[2] == CONTENT[:at] + b"between" + CONTENT[at:]
    assert exhausted == 4
    assert server.bugs == []


async def test_what_a_source_gave_does_not_wait_for_what_it_gives_later(start: Start, extents: list[Extent]) -> None:
    taken = trio.Event()

    async def body() -> AsyncIterator[Piece]:
        for extent in extents[:39]:
            yield extent
        yield Extent(extents[39].fd, extents[39].offset, LENGTH, is_resident=True)
        await taken.wait()
        yield extents[40]

    async def answer(_: Request) -> Response:
        return Response(200, (), Pieces(body(), 41 * LENGTH))

    server = await start(answer)
    waiting = 2

    async def get() -> None:
        nonlocal waiting
        async with await server.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            received = b""
            while len(received.partition(b"\r\n\r\n")[2]) < 41 * LENGTH:
                received += await stream.receive_some(1_000_000)
                if len(received.partition(b"\r\n\r\n")[2]) == 40 * LENGTH:
                    waiting -= 1
                    if not waiting:
                        taken.set()
            assert received.partition(b"\r\n\r\n")[2] == CONTENT[: 41 * LENGTH]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(get)
        nursery.start_soon(get)
