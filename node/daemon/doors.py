"""The ports and the control socket."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog
import trio

from node.config.addresses import host_port, is_loopback
from node.config.settings import Config, LimitSettings
from node.daemon.observing import counted, observer
from node.http.counts import Counts
from node.http.limits import Limits
from node.http.listen import Listener, listen_tcp, listen_unix
from node.http.message import Application, Trusts, is_answered_well
from node.http.outgoing import BodyBroken
from node.http.serve import serve
from node.telemetry.access import AccessLog
from node.telemetry.metrics import Metrics
from node.telemetry.tracing import Tracer
from protocol.errors import EntrepotError

SOCKET = "control.sock"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Listeners:
    """Every socket that is listened on; closed by who serves it."""

    clients: list[Listener]
    peers: Listener | None  # Without TLS settings: the mesh has them.
    control: Listener


@contextmanager
def listening(config: Config, tls: ssl.SSLContext | None) -> Iterator[Listeners]:
    """Listen wherever *config* says, for as long as the block; with *tls* at the client ports.

    Raises:
        OSError: an address is in use or not ours.
    """
    listen = config.listen
    hosts_of_images = (*listen.public_hosts, *([config.public.host] if config.public.host else []))
    names = {*_LOOPBACK, *(host_port_name(one) for one in hosts_of_images)}
    opened: list[Listener] = []
    try:
        for one in listen.address:
            host, port = host_port(one)
            # Off loopback nobody can tell by which names clients know the node.
            hosts = frozenset({*names, host.lower()}) if is_loopback(one) else None
            opened.append(Listener(listen_tcp(host, port), tls, hosts))
        clients = list(opened)
        peers = None
        if listen.peer is not None:
            peers = Listener(listen_tcp(*host_port(listen.peer)))
            opened.append(peers)
        control = Listener(listen_unix(Path(config.node.data) / SOCKET))
        opened.append(control)
        yield Listeners(clients, peers, control)
    finally:
        for listener in opened:
            listener.sock.close()
        (Path(config.node.data) / SOCKET).unlink(missing_ok=True)


def host_port_name(public_host: str) -> str:
    """Return the name of HOST or HOST:PORT, lower-case and without brackets."""
    name = (
        public_host.partition("]")[0].removeprefix("[")
        if public_host.startswith("[")
        else public_host.partition(":")[0]
    )
    return name.lower()


@dataclass(slots=True)
class Door:
    """One application and where it is served. ``limits`` and ``grace`` may be replaced while it is."""

    name: str  # As metrics count it.
    listeners: list[Listener]
    application: Application
    limits: Limits
    grace: float = 1.0  # Seconds that requests in flight have when the node stops.
    trusts: Trusts = is_answered_well
    leave: Callable[[], None] = lambda: None
    """Called when the node stops: ends what would last for ever."""
    counts: Counts = field(default_factory=Counts)


async def serve_door(
    door: Door, metrics: Metrics, access: AccessLog | None, tracer: Tracer, stopping: trio.Event
) -> None:
    """Serve *door* until *stopping* is set, then let requests in flight finish within its grace."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_leave, door, stopping)
        await serve(
            door.listeners,
            counted(door.name, door.application, metrics, tracer),
            limits=lambda: door.limits,
            stopping=stopping,
            grace=lambda: door.grace,
            observe=observer(door.name, metrics, access),
            hit=metrics.count_limit_hit,
            report=partial(report_bug, metrics),
            counts=door.counts,
            trusts=door.trusts,
        )
        nursery.cancel_scope.cancel()


async def _leave(door: Door, stopping: trio.Event) -> None:
    await stopping.wait()
    door.leave()


def limits_of(settings: LimitSettings) -> Limits:
    """Return the engine's limits as they are configured."""
    return Limits(**{name: getattr(settings, name) for name in Limits.__struct_fields__})


def report_bug(metrics: Metrics, error: BaseException) -> None:
    """Count and log what went wrong in a handler or while its answer was sent."""
    cause = error.__cause__ if isinstance(error, BodyBroken) else error
    if isinstance(cause, EntrepotError):  # Damage in the middle of a body, say: its client saw the connection break.
        structlog.get_logger().error("broken off", reason=str(cause))
        return
    metrics.count_bug()
    structlog.get_logger().error("bug", exc_info=error)
