"""The process: log, identity, the tree of nurseries."""

import os
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import structlog
import trio

from node import __version__
from node.api.admin.answer import Admin
from node.api.admin.routes import admin_application
from node.api.oci.door import Health
from node.api.oci.recent import RecentManifests
from node.api.oci.routes import oci_application
from node.config.settings import Config
from node.daemon.control import peer_control
from node.daemon.doors import Door, Listeners, limits_of, listening, serve_door
from node.daemon.heap import keep_heap, settle_heap
from node.daemon.jobs import jobs_of
from node.daemon.peering import Peering, advertised_addresses, open_peering
from node.daemon.supervise import Job, supervise
from node.daemon.tracing import tracing_of
from node.daemon.watch import watch, watch_certificates, watch_doors
from node.http.listen import Listener
from node.http.message import Request
from node.peers.identity import Identity, create_local_identity, has_identity, load_identity
from node.peers.listen import PEER_LIMITS
from node.registry.commit import stored_clock
from node.registry.condition import condition
from node.registry.elsewhere import Elsewhere
from node.registry.readonly import restore_gate
from node.registry.registry import Author, Registry, Settings
from node.registry.transit import Transits
from node.store.space import map_size_for
from node.store.store import Store, open_store
from node.store.writer import Writer
from node.telemetry.access import AccessLog, json_line, text_line
from node.telemetry.alarms import Alarms
from node.telemetry.exporting import Exporter
from node.telemetry.lines import Lines
from node.telemetry.log import Style, configure_log, style_for
from node.telemetry.loop import measure_loop_lag
from node.telemetry.metrics import Metrics
from node.telemetry.tracing import Tracer
from protocol.auth.caller import Caller, root_of
from protocol.errors import Damaged
from protocol.oci.names import RepositoryName

_OPENED_ANEW = 1.0  # Seconds between the end of a store that cannot be read any more and its next opening.

Announce: TypeAlias = Callable[[Sequence[str]], None]
"""``announce(addresses)``: told once where clients connect, as ``host:port``, when they can."""


def main(config: Config, *, announce: Announce | None = None) -> int:
    """Run a node until it is told to stop, and return the exit code.

    Raises:
        NotReady: the data directory cannot be used; the message says what to do.
        Damaged: what is in it fails a check.
        OSError: an address cannot be listened on, or a file not be read.
    """
    os.umask(0o077)
    keep_heap()
    lines = Lines(2)
    style = style_for(2) if config.log.format == "auto" else config.log.format
    configure_log(lines, level=config.log.level, style=style)
    data = Path(config.node.data)
    try:
        identity = load_identity(data) if has_identity(data) else create_local_identity(data, now=time.time())
        while trio.run(_run, config, identity, lines, style, announce):
            announce = None
            time.sleep(_OPENED_ANEW)
    finally:
        lines.flush()
    return 0


async def _run(config: Config, identity: Identity, lines: Lines, style: Style, announce: Announce | None) -> bool:
    """Run the node; return whether it has to be run again, on a store that is opened anew."""
    metrics, data = Metrics(version=__version__, doors=("oci", "peers", "admin")), Path(config.node.data)
    tracer, exporter = tracing_of(config.tracing, identity)
    async with open_store(data, map_size=map_size_for(data)) as store:
        with listening(config) as listeners:
            transits = Transits(store, time.time)
            bound = None if listeners.peers is None else listeners.peers.address
            advertised = advertised_addresses(config, bound)
            async with open_peering(identity, transits, advertised, tracer) as peering:
                registry = _registry(config, identity, store, transits, peering.elsewhere, tracer)
                peering.serve(registry)
                watch(metrics, registry, peering, lines)
                control = Admin(
                    registry, peer_control(identity, peering.mesh, advertised), __version__, partial(_alarm, registry)
                )
                doors = _doors(config, listeners, registry, peering, metrics, control)
                watch_doors(metrics, doors)
                watch_certificates(metrics, config)
                outcomes = exporter.outcomes if exporter is not None else {"exported": 0, "dropped": 0}
                metrics.watch("entrepot_trace_spans_total", lambda: outcomes)
                access = AccessLog(lines, json_line if style == "json" else text_line) if config.log.access else None
                jobs = jobs_of(config, registry, peering)
                return await _serve(
                    config, store, doors, jobs, _Telemetry(metrics, access, lines, tracer, exporter), announce
                )


@dataclass(frozen=True, slots=True)
class _Telemetry:
    metrics: Metrics
    access: AccessLog | None
    lines: Lines
    tracer: Tracer
    exporter: Exporter | None


async def _serve(
    config: Config,
    store: Store,
    doors: list[Door],
    jobs: dict[str, Job],
    telemetry: _Telemetry,
    announce: Announce | None,
) -> bool:
    log, metrics = structlog.get_logger(), telemetry.metrics
    async with trio.open_nursery() as background:
        stopping = trio.Event()
        await background.start(_stop_on_signal, stopping)
        background.start_soon(telemetry.lines.flush_forever)
        if telemetry.exporter is not None:
            background.start_soon(telemetry.exporter.export_forever)
        background.start_soon(measure_loop_lag, metrics.observe_loop_lag)
        for name, job in jobs.items():
            background.start_soon(supervise, name, job, metrics.count_job_failure)
        async with trio.open_nursery() as serving:
            for writer in (store.writer, store.chunk_writer):
                background.start_soon(_end_when_lost, writer, serving.cancel_scope)
            for door in doors:
                access = telemetry.access if door.name == "oci" else None
                grace = config.limits.grace if door.name == "oci" else 1.0
                serving.start_soon(
                    partial(serve_door, door, metrics, access, telemetry.tracer, stopping=stopping, grace=grace)
                )
            addresses = [listener.address for listener in doors[0].listeners]
            settle_heap()
            log.info("listening", addresses=addresses, version=__version__)
            if announce is not None:
                announce(addresses)
        log.info("stopped")
        background.cancel_scope.cancel()
    return not stopping.is_set() and (store.writer.lost.is_set() or store.chunk_writer.lost.is_set())


async def _end_when_lost(writer: Writer, serving: trio.CancelScope) -> None:
    await writer.lost.wait()
    serving.cancel()  # No grace: nothing can be read, and connections that break are tried again.


def _doors(
    config: Config, listeners: Listeners, registry: Registry, peering: Peering, metrics: Metrics, admin: Admin
) -> list[Door]:
    health = Health(partial(condition, registry), metrics.render)
    account = registry.name.account
    root = root_of(account)

    def everyone_is_root(request: Request) -> Caller:
        """While the node is open."""
        return Caller(root, account, request.client, request.id)

    limits = limits_of(config.limits)
    recent = RecentManifests(lambda: registry.store.writer.commits)
    metrics.watch("entrepot_recent_manifests_total", lambda: recent.hits)
    clients = oci_application(registry, health, recent, caller_of=everyone_is_root, damaged=partial(_alarm, registry))
    doors = [
        Door("oci", listeners.clients, clients, limits),
        Door("admin", [listeners.control], admin_application(admin), limits),
    ]
    if listeners.peers is not None:
        port = Listener(listeners.peers.sock, peering.mesh.server_context)
        doors.append(Door("peers", [port], peering.mesh.application, PEER_LIMITS))
    return doors


def _registry(
    config: Config, identity: Identity, store: Store, transits: Transits, elsewhere: Elsewhere, tracer: Tracer
) -> Registry:
    with store.meta.read() as txn:
        clock = stored_clock(partial(store.meta.documents.number, txn))
    rules = config.registry
    registry = Registry(
        name=identity.registry,
        store=store,
        author=Author(identity.name.node, identity.incarnation, identity.sign, clock),
        policies=_allow,
        settings=Settings(rules.create_on_push, rules.missing_content, rules.manifest_limit),
        now=time.time,
        random=secrets.token_bytes,
        transits=transits,
        alarms=Alarms(time.time),
        elsewhere=elsewhere,
        tracer=tracer,
    )
    if rules.read_only:
        registry.gate.close("configuration", "the configuration says so")
    restore_gate(registry)
    return registry


async def _stop_on_signal(stopping: trio.Event, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stopping.set()


def _allow(_caller: Caller, _action: str, _name: RepositoryName | None) -> None:
    """An open node lets its callers do everything: they are its root."""


def _alarm(registry: Registry, error: Damaged) -> None:
    structlog.get_logger().error("damaged", what=str(error))
    registry.alarms.raise_("damaged-content", str(error))
