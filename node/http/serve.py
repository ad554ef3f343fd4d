"""Accept connections until told to stop, then let those in flight finish."""

import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import trio

from node.http.census import Census, Guest
from node.http.counts import Counts
from node.http.engine import Engine, Report
from node.http.failures import is_gone
from node.http.frameguard import PREFACE
from node.http.http1 import RECEIVE, Http1Connection
from node.http.http2 import Http2Connection
from node.http.limits import Hit, Limits
from node.http.listen import Listener, tune
from node.http.message import Application, Observe, Trusts, is_answered_well
from node.http.runs import Senders
from node.http.sendqueue import SendQueues
from node.http.transport import Transport

TURN = 64  # Connections accepted before others get their turn.
PAUSE = 0.1  # Seconds without accepting while the process has no file descriptor left.
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PASSING = {errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH}


async def serve(  # noqa: PLR0913 - the parts that the composition root hands over.
    listeners: Sequence[Listener],
    application: Application,
    *,
    limits: Callable[[], Limits],
    stopping: trio.Event,
    grace: Callable[[], float],
    observe: Observe,
    hit: Hit,
    report: Report,
    counts: Counts | None = None,
    trusts: Trusts = is_answered_well,
) -> None:
    """Serve until *stopping* is set, then stop accepting and drain.

    Three nurseries, because they end differently: accepting is cancelled at once, connections drain, and the send
    queues are watched until the last connection has ended.

    Args:
        listeners: closed on the way out, and first of all when draining begins.
        application: answers every request, in the task of its connection or stream.
        limits: asked for each new connection; those in all hold for all listeners together.
        stopping: set once, by the signal task or the admin API. Idle connections are then closed at once.
        grace: asked when draining begins: seconds that requests in flight have left; what remains then is cut.
        observe: told of each response.
        hit: counts the limits that were hit.
        report: logs what is a bug of ours. The connection it happened on ends, the server does not.
        counts: where connections and bytes are counted, for whoever shows them.
        trusts: says which answers show that a client is known.
    """
    counts = counts or Counts()
    census, queues = Census(limits, hit, counts), SendQueues(limits)
    engine = Engine(application, limits(), observe, trusts, hit, report, stopping, census, queues, Senders(counts))
    async with trio.open_nursery() as watching:
        watching.start_soon(engine.queues.watch_forever)
        watching.start_soon(engine.waiting.watch_forever)
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    accepting.start_soon(_accept_forever, engine, listener, connections)
                await stopping.wait()
                accepting.cancel_scope.cancel()
            connections.cancel_scope.deadline = trio.current_time() + grace()
            for end_if_idle in list(engine.endings.values()):
                end_if_idle()
        watching.cancel_scope.cancel()


async def _accept_forever(engine: Engine, listener: Listener, connections: trio.Nursery) -> None:
    listener.sock.setblocking(False)
    with listener.sock:
        for turn in count(1):
            if not turn % TURN:
                await trio.lowlevel.checkpoint()  # A flood of connections is not all that there is to do.
            try:
                sock, peer = listener.sock.accept()
            except BlockingIOError:
                await trio.lowlevel.wait_readable(listener.sock)
                continue
            except OSError as error:
                if error.errno in _NO_ROOM:  # The connections that are there go on and free what is needed.
                    engine.hit("descriptors")
                    await trio.sleep(PAUSE)
                elif error.errno not in _PASSING:
                    raise
                continue
            client = peer[0] if isinstance(peer, tuple) else ""
            if engine.census.limits() is not engine.limits:
                engine = replace(engine, limits=engine.census.limits())  # For the connections to come.
            if (guest := engine.census.admit(client)) is not None:
                connections.start_soon(_connection, engine, listener, sock, guest)
            else:
                sock.close()


async def _connection(engine: Engine, listener: Listener, sock: socket.socket, guest: Guest) -> None:
    """Serve one connection. Nothing that goes wrong here leaves this function: it would end the server."""
    transport = Transport(sock, guest.client)
    ended = False
    try:
        tune(sock)
        with trio.CancelScope() as scope:
            guest.end = scope.cancel
            ended = await _serve_transport(engine, listener, transport, guest)
    except* Exception as group:  # noqa: BLE001 - the one catch-all at the root of each connection.
        if not is_gone(group):
            engine.report(group.exceptions[0] if len(group.exceptions) == 1 else group)
    finally:
        if ended:
            engine.queues.close(transport)
        else:
            engine.queues.abort(transport)
        engine.endings.pop(transport, None)
        engine.census.left(guest)


async def _serve_transport(engine: Engine, listener: Listener, transport: Transport, guest: Guest) -> bool:
    """Serve until the connection ends; return whether it did so in good order."""
    if listener.tls is not None:
        with trio.move_on_after(engine.limits.handshake) as handshake:
            await transport.start_tls(listener.tls)
        if handshake.cancelled_caught:
            engine.hit("handshake")
            return False
    buffer = bytearray()
    if not await _first_bytes(engine, transport, buffer):
        return True
    is_whole = False  # Whether nothing is half said that a client could take for all of it.
    with trio.CancelScope() as scope:
        if transport.protocol == "h2" or buffer.startswith(PREFACE):
            is_whole = await Http2Connection(engine, transport, guest, scope, listener.hosts).serve(bytes(buffer))
        else:
            connection = Http1Connection(engine, transport, guest, scope, buffer, listener.hosts)
            try:
                await connection.serve()
            finally:
                is_whole = connection.is_between_requests
    if is_whole:
        transport.end()
        with trio.move_on_after(engine.limits.linger):
            await transport.discard()
    return is_whole


async def _first_bytes(engine: Engine, transport: Transport, buffer: bytearray) -> bool:
    """Receive until it is clear which protocol a plain connection speaks; return whether it will say anything."""
    if transport.protocol:
        return True
    with trio.CancelScope(deadline=trio.current_time() + engine.census.idle(transport.client)) as scope:
        engine.endings[transport] = scope.cancel
        while PREFACE.startswith(buffer) and len(buffer) < len(PREFACE):
            data = await transport.receive(RECEIVE)
            if not data:
                return False
            buffer += data
            scope.deadline = min(scope.deadline, trio.current_time() + engine.limits.receiving_head)
        return True
    return False
