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
from node.api.admin.client import client_api
from node.api.admin.control import NodeControl
from node.api.admin.routes import admin_application
from node.api.oci.door import Health
from node.api.oci.recent import RecentManifests
from node.config.settings import Config
from node.daemon.access import Access, first_administrator, open_access
from node.daemon.activity import Watcher
from node.daemon.certificate import ClientCertificate
from node.daemon.clients import Shown, client_application
from node.daemon.clock import WallClock
from node.daemon.control import backup_control, peer_control
from node.daemon.doctor.running import Doctor
from node.daemon.doors import Door, Listeners, listening, report_bug, serve_door
from node.daemon.expiry import Expiry
from node.daemon.heap import keep_heap, settle_heap
from node.daemon.holds import watching_holds
from node.daemon.inforce import put_access, put_limits, put_log, put_rules
from node.daemon.issuers import issuer_fetch
from node.daemon.jobs import jobs_of
from node.daemon.leaving import Leaving
from node.daemon.masters import masters_of
from node.daemon.notify import Notify
from node.daemon.peering import Peering, advertised_addresses, open_peering
from node.daemon.reload import Reloader, Running
from node.daemon.signals import obey_signals
from node.daemon.supervise import Job, supervise
from node.daemon.tracing import tracing_of
from node.daemon.vitals import Vitals
from node.daemon.watch import watch, watch_certificates, watch_doors
from node.daemon.webhooks import webhook_connect
from node.http.limits import Limits
from node.http.listen import Listener
from node.http.message import Application
from node.peers.identity import Identity, create_local_identity, has_identity, load_identity
from node.peers.listen import PEER_LIMITS, has_certificate
from node.registry.authentication.logins import Logins
from node.registry.authority import Authority
from node.registry.commit import clock_at_start
from node.registry.condition import condition
from node.registry.damage import tell_damage
from node.registry.elsewhere import Elsewhere
from node.registry.identity.first import Administrator
from node.registry.keyring import Keyring
from node.registry.readonly import restore_gate
from node.registry.registry import Author, Registry, Resource, Settings
from node.registry.transit import Transits
from node.registry.vault import Vault
from node.store.format import require_whole
from node.store.keyfiles import KeyFiles
from node.store.space import map_size_for
from node.store.store import Store, open_store
from node.store.writer import Writer
from node.telemetry.access import AccessLog
from node.telemetry.alarms import Alarms
from node.telemetry.exporting import Exporter
from node.telemetry.lines import Lines
from node.telemetry.loop import measure_loop_lag
from node.telemetry.metrics import Metrics
from node.telemetry.tracing import Tracer
from node.upstream.dial import system_dialer
from protocol.auth.caller import Caller
from protocol.auth.conditions import Keys
from protocol.errors import Denied

_OPENED_ANEW = 1.0  # Seconds between the end of a store that cannot be read any more and its next opening.

Announce: TypeAlias = Callable[[Sequence[str], Administrator | None], None]
"""``announce(addresses, administrator)``: told once where clients connect, as ``host:port``, when they can, and who was
made to let others in."""


def main(read: Callable[[], Config], *, announce: Announce | None = None, shows_secrets: bool = False) -> int:
    """Run a node until it is told to stop, and return the exit code.

    Args:
        read: returns the configuration, now and at each reload.
        announce: told once where the node listens.
        shows_secrets: whether somebody sees what is announced, and nobody keeps it.

    Raises:
        ConfigInvalid: by *read*.
        NotReady: the data directory or the certificate cannot be used; the message says what to do.
        Damaged: what is in it fails a check.
        OSError: an address cannot be listened on, or a file not be read.
    """
    _keep_standard_files()
    running = Running(read(), read)
    config = running.config
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Until there is something to reload.
    keep_heap()
    lines = Lines(2)
    put_log(lines, config)
    data = Path(config.node.data)
    try:
        require_whole(data)  # First: what is half restored has no identity yet, and must not get one.
        identity = load_identity(data) if has_identity(data) else create_local_identity(data, now=time.time())
        while trio.run(_run, running, identity, lines, announce, shows_secrets):
            announce = None
            time.sleep(_OPENED_ANEW)
    finally:
        lines.flush()
    return 0


async def _run(
    running: Running, identity: Identity, lines: Lines, announce: Announce | None, shows_secrets: bool
) -> bool:
    """Run the node; return whether it has to be run again, on a store that is opened anew."""
    config, certificate = running.config, ClientCertificate(running.config.listen)
    metrics, data = Metrics(version=__version__, doors=("oci", "peers", "admin")), Path(config.node.data)
    tracer, exporter = tracing_of(config.tracing, identity)
    async with open_store(data, map_size=map_size_for(data)) as store:
        with listening(config, certificate.context) as listeners:
            transits = Transits(store, time.time)
            bound = None if listeners.peers is None else listeners.peers.address
            advertised = advertised_addresses(config, bound)
            async with open_peering(identity, transits, advertised, tracer) as peering:
                registry = _registry(identity, store, transits, peering.elsewhere, tracer)
                peering.serve(registry)
                watch(metrics, registry, peering, lines)
                reloader = Reloader(running, certificate, registry.alarms)
                peers = peer_control(identity, peering.mesh, advertised)
                connect = webhook_connect(system_dialer(), tracer)
                leaving = Leaving()
                ready = partial(leaving.condition, partial(condition, registry))
                shown = _certificates(identity, certificate)
                doctor = Doctor(registry, running, peering.mesh, shown, ready)
                node = NodeControl(reloader.reload, Watcher(registry, metrics, running, ready).look, doctor.examine)
                backups = backup_control(identity)
                control = Admin(registry, peers, node, backups, connect, __version__, partial(tell_damage, registry))
                login = await _access(registry, config, metrics)
                made = await first_administrator(registry, config, with_key=shows_secrets and announce is not None)
                beside = client_api(control, login.entrance)
                health = Health(ready, metrics.render)
                clients = _clients(registry, login, running, health, metrics, beside)
                doors = _doors(listeners, clients, peering, control)
                watch_doors(metrics, doors)
                watch_certificates(metrics, shown)
                clock = WallClock(registry)
                vitals = Vitals(registry.alarms, clock, shown, lines, peering.clocks)
                outcomes = exporter.outcomes if exporter is not None else {"exported": 0, "dropped": 0}
                metrics.watch("entrepot_trace_spans_total", lambda: outcomes)
                access = AccessLog(lines)
                reloader.parts += [partial(put_rules, registry), partial(put_limits, doors)]
                reloader.parts += [partial(put_log, lines), partial(put_access, access)]
                reloader.put()
                reloader.parts.append(lambda _config: clock.believe())  # Who reloads has looked at the alarm.
                jobs = jobs_of(registry, peering, reloader, connect)
                telemetry = _Telemetry(metrics, access, lines, tracer, exporter, vitals)
                background = _Background(jobs | {"vitals": vitals.watch_forever}, leaving, reloader)
                with watching_holds(metrics, vitals):
                    told = None if announce is None else lambda addresses: announce(addresses, made)
                    return await _serve(store, doors, background, telemetry, told)


@dataclass(frozen=True, slots=True)
class _Telemetry:
    metrics: Metrics
    access: AccessLog
    lines: Lines
    tracer: Tracer
    exporter: Exporter | None
    vitals: Vitals

    def job_failed(self, name: str) -> None:
        """Count a job that ended, and tell who looks after the node."""
        self.metrics.count_job_failure(name)
        self.vitals.job_failed(name)


@dataclass(frozen=True, slots=True)
class _Background:
    jobs: dict[str, Job]
    leaving: Leaving
    reloader: Reloader


async def _serve(
    store: Store,
    doors: list[Door],
    work: _Background,
    telemetry: _Telemetry,
    announce: Callable[[Sequence[str]], None] | None,
) -> bool:
    log, metrics, leaving, notify = structlog.get_logger(), telemetry.metrics, work.leaving, Notify(os.environ)
    async with trio.open_nursery() as background:
        await background.start(obey_signals, leaving, partial(notify.reloading, work.reloader.reload))
        background.start_soon(leaving.leave, lambda: work.reloader.running.config.limits.drain_delay)
        background.start_soon(notify.watch_forever, leaving.told)
        background.start_soon(telemetry.lines.flush_forever)
        if telemetry.exporter is not None:
            background.start_soon(telemetry.exporter.export_forever)
        background.start_soon(measure_loop_lag, metrics.observe_loop_lag)
        for name, job in work.jobs.items():
            background.start_soon(supervise, name, job, telemetry.job_failed)
        for writer in (store.writer, store.chunk_writer):
            background.start_soon(_end_when_lost, writer, leaving.at_once)
        with leaving.at_once:
            async with trio.open_nursery() as serving:
                for door in doors:
                    access = telemetry.access if door.name == "oci" else None
                    serving.start_soon(partial(serve_door, door, metrics, access, telemetry.tracer, leaving.stopping))
                addresses = [listener.address for listener in doors[0].listeners]
                settle_heap()
                log.info("listening", addresses=addresses, version=__version__)
                notify.say("READY=1", f"STATUS=listening on {', '.join(addresses)}")
                if announce is not None:
                    announce(addresses)
        log.info("stopped")
        background.cancel_scope.cancel()
    return not leaving.told.is_set() and (store.writer.lost.is_set() or store.chunk_writer.lost.is_set())


async def _end_when_lost(writer: Writer, serving: trio.CancelScope) -> None:
    await writer.lost.wait()
    serving.cancel()  # No grace: nothing can be read, and connections that break are tried again.


def _certificates(identity: Identity, certificate: ClientCertificate) -> dict[str, Callable[[], float]]:
    """Return when those run out that are shown, by who sees them. A node that made itself up has no peers."""
    shown: dict[str, Callable[[], float]] = {}
    if certificate.pair is not None:
        shown["clients"] = certificate.expires
    if not identity.is_local:
        shown["peers"] = Expiry(identity.folder / "node.pem").at
    return shown


async def _access(registry: Registry, config: Config, metrics: Metrics) -> Access:
    logins = Logins()
    metrics.watch("entrepot_logins_total", lambda: logins.taken)
    metrics.watch("entrepot_logins_refused_total", lambda: logins.refused)
    return await open_access(registry, config, issuer_fetch(system_dialer()), logins)


def _clients(
    registry: Registry,
    login: Access,
    running: Running,
    health: Health,
    metrics: Metrics,
    administration: Application,
) -> Application:
    recent = RecentManifests(lambda: registry.store.writer.commits)
    metrics.watch("entrepot_recent_manifests_total", lambda: recent.hits)
    shown = Shown(health, recent, partial(tell_damage, registry), partial(report_bug, metrics))
    return client_application(registry, login, running, shown, administration)


def _doors(listeners: Listeners, clients: Application, peering: Peering, admin: Admin) -> list[Door]:
    doors = [
        Door("oci", listeners.clients, clients, Limits()),
        Door("admin", [listeners.control], admin_application(admin), Limits()),
    ]
    if listeners.peers is not None:
        port = Listener(listeners.peers.sock, peering.mesh.server_context)
        mesh = peering.mesh
        doors.append(Door("peers", [port], mesh.application, PEER_LIMITS, trusts=has_certificate, leave=mesh.leave))
    return doors


def _registry(identity: Identity, store: Store, transits: Transits, elsewhere: Elsewhere, tracer: Tracer) -> Registry:
    with store.meta.read() as txn:
        clock = clock_at_start(store.meta, txn)
    registry = Registry(
        name=identity.registry,
        store=store,
        author=Author(identity.name.node, identity.incarnation, identity.sign, clock),
        vault=Vault(identity.registry_key, secrets.token_bytes),
        keyring=Keyring(KeyFiles(store.path / "keys"), identity.master_keys, secrets.token_bytes),
        masters=masters_of(identity),
        policies=_nobody,  # Until they have the registry that they are read from.
        settings=Settings(),  # Until ``put_rules``.
        now=time.time,
        random=secrets.token_bytes,
        transits=transits,
        alarms=Alarms(time.time),
        elsewhere=elsewhere,
        tracer=tracer,
    )
    registry.policies = Authority(registry)
    restore_gate(registry)
    return registry


def _nobody(_caller: Caller, action: str, _resource: Resource, _keys: Keys) -> None:
    raise Denied(f"nobody may do anything yet: {action}")


def _keep_standard_files() -> None:
    """Make descriptors 0 to 2 something: where one is closed the store would get it, and the log be written into it."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # Takes the lowest that is free: this one.
