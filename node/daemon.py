"""The composition root: builds every part from the configuration, hands each what it needs, and runs them in one tree.

What starts last stops first. On SIGTERM or SIGINT the listeners close and requests in flight finish; then the followers
and peers end; then the writers commit what was queued; then the lock on the data directory is let go.
"""

import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import structlog
import trio

from node import __version__ as VERSION
from node.api.admin.answer import Admin
from node.api.admin.routes import admin_application
from node.api.oci.door import Health
from node.api.oci.routes import oci_application
from node.config.addresses import host_port, is_loopback
from node.config.settings import Config
from node.http.limits import Limits
from node.http.listen import Listener, listen_tcp, listen_unix
from node.http.message import Answered, Application, Request
from node.http.serve import serve
from node.http.tls import client_context
from node.jobs.expiry import expire_forever
from node.peers.identity import Identity, create_local_identity, has_identity, load_identity
from node.registry.commit import stored_clock
from node.registry.registry import Author, Registry, Settings
from node.registry.replication import follow_journal
from node.store.store import Store, open_store
from node.telemetry.access import AccessLog, json_line, text_line
from node.telemetry.lines import Lines
from node.telemetry.log import configure_log, style_for
from node.telemetry.loop import measure_loop_lag
from node.telemetry.metrics import Metrics
from protocol.auth.caller import Caller, root_of
from protocol.errors import Damaged, NotReady
from protocol.oci.names import RepositoryName

SOCKET = "control.sock"

Announce: TypeAlias = Callable[[Sequence[str]], None]
"""``announce(addresses)``: told once where the node listens, as ``host:port``."""


def main(config: Config, *, announce: Announce | None = None) -> int:
    """Run a node until it is told to stop, and return the exit code.

    Raises:
        NotReady: the data directory cannot be used; the message says what to do.
        Damaged: what is in it fails a check.
        OSError: an address cannot be listened on, or a file not be read.
    """
    os.umask(0o077)
    lines = Lines(2)
    style = style_for(2) if config.log.format == "auto" else config.log.format
    configure_log(lines, level=config.log.level, style=style)
    try:
        identity = _identity(Path(config.node.data), config)
        trio.run(_run, config, identity, lines, announce or _nobody, strict_exception_groups=True)
    finally:
        lines.flush()
    return 0


async def _run(config: Config, identity: Identity, lines: Lines, announce: Announce) -> None:
    log = structlog.get_logger()
    metrics = Metrics(version=VERSION, doors=("oci", "admin"))
    async with open_store(Path(config.node.data)) as store, _listening(config) as listeners:
        registry = _registry(config, identity, store)
        node = _Node(config, registry, metrics, lines)
        _watch(metrics, registry, lines)
        async with trio.open_nursery() as background:
            stopping = trio.Event()
            background.start_soon(_stop_on_signal, stopping)
            background.start_soon(lines.flush_forever)
            background.start_soon(measure_loop_lag, metrics.observe_loop_lag)
            background.start_soon(partial(expire_forever, registry, after=config.limits.upload_expiry_hours * 3600.0))
            background.start_soon(follow_journal, registry)
            addresses = [listener.address for listener in listeners]
            log.info("listening", addresses=addresses, registry=str(registry.name), node=registry.author.node, version=VERSION)
            announce(addresses)
            async with trio.open_nursery() as doors:
                doors.start_soon(node.serve_admin, stopping)
                await node.serve_clients(listeners, stopping)
            log.info("stopped")
            background.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class _Node:
    """What both doors share."""

    config: Config
    registry: Registry
    metrics: Metrics
    lines: Lines

    async def serve_clients(self, listeners: Sequence[Listener], stopping: trio.Event) -> None:
        health = Health(self._ready, self.metrics.render)
        application = oci_application(self.registry, health, caller_of=self._root, damaged=_alarm)
        await self._serve("oci", listeners, application, stopping)

    async def serve_admin(self, stopping: trio.Event) -> None:
        listener = Listener(listen_unix(self.registry.store.path / SOCKET))
        admin = Admin(self.registry, no_peers(), VERSION, _alarm)
        await self._serve("admin", [listener], admin_application(admin), stopping)

    async def _serve(
        self, door: str, listeners: Sequence[Listener], application: Application, stopping: trio.Event
    ) -> None:
        await serve(
            listeners,
            application,
            limits=_limits(self.config),
            stopping=stopping,
            grace=self.config.limits.grace,
            observe=self._observer(door),
            hit=self.metrics.count_limit_hit,
            report=_report,
        )

    def _observer(self, door: str) -> Callable[[Answered], None]:
        style = json_line if style_for(2) == "json" or self.config.log.format == "json" else text_line
        write = AccessLog(self.lines, style).write
        logs_access = self.config.log.access and self.config.log.level in {"debug", "info"}

        def observe(answered: Answered) -> None:
            request = answered.request
            self.metrics.observe_request(
                door,
                request.method,
                answered.status,
                sent=answered.sent,
                received=request.body.length or 0,
                seconds=answered.seconds,
            )
            if logs_access:
                write(
                    request_id=request.id,
                    client=request.client,
                    method=request.method,
                    path=request.path,
                    status=answered.status,
                    sent=answered.sent,
                    seconds=answered.seconds,
                    version=request.version,
                    agent=request.headers.get("user-agent", ""),
                )

        return observe

    def _ready(self) -> str:
        store = self.registry.store
        if store.writer.broken or store.chunk_writer.broken:
            return "the disk failed: pulls go on, pushes do not; see the log and start the node anew"
        return "the disk is full: pulls go on, pushes do not" if store.space.free() < 0 else ""

    def _root(self, request: Request) -> Caller:
        """Everyone is the account's root while the node is open."""
        account = self.registry.name.account
        return Caller(root_of(account), account, request.client, request.id)


def _identity(data: Path, config: Config) -> Identity:
    if has_identity(data):
        return load_identity(data)
    if not all(is_loopback(one) for one in config.listen.address) and not config.listen.allow_open_network:
        raise NotReady(f"{data} is not initialized; run `entrepot init --data {data} --account ACCOUNT --region REGION`")
    return create_local_identity(data, now=time.time())


def _registry(config: Config, identity: Identity, store: Store) -> Registry:
    with store.meta.read() as txn:
        clock = stored_clock(partial(store.meta.documents.number, txn))
    return Registry(
        name=identity.registry,
        store=store,
        author=Author(identity.name.node, identity.incarnation, identity.sign, clock),
        authorize=_allow,
        settings=Settings(
            config.registry.create_on_push, config.registry.missing_content, config.registry.manifest_limit
        ),
        now=time.time,
        random=secrets.token_bytes,
    )


@asynccontextmanager
async def _listening(config: Config) -> AsyncIterator[list[Listener]]:
    listen = config.listen
    tls = None
    if listen.tls_certificate is not None and listen.tls_key is not None:
        tls = client_context(Path(listen.tls_certificate), Path(listen.tls_key))
    hosts = {"localhost", "127.0.0.1", "::1", *(one.partition(":")[0].lower() for one in listen.public_hosts)}
    listeners: list[Listener] = []
    try:
        for one in listen.address:
            host, port = host_port(one)
            known = frozenset({*hosts, host.lower()}) if is_loopback(one) else None
            listeners.append(Listener(listen_tcp(host, port), tls, known))
        yield listeners
    finally:
        for listener in listeners:
            listener.sock.close()


def _limits(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        connections=limits.connections,
        connections_each=limits.connections_each,
        streams=limits.streams,
        handshake=limits.handshake,
        receiving_head=limits.receiving_head,
        idle=limits.idle,
        patience=limits.patience,
        progress=limits.progress,
    )


def _watch(metrics: Metrics, registry: Registry, lines: Lines) -> None:
    store = registry.store

    def position() -> float:
        with store.meta.read() as txn:
            return store.meta.journal.last(txn)

    metrics.watch("entrepot_uploads_in_progress", lambda: len(registry.sessions))
    metrics.watch("entrepot_journal_position", position)
    metrics.watch("entrepot_store_free_bytes", store.space.free)
    metrics.watch("entrepot_log_lines_dropped_total", lambda: lines.dropped)
    metrics.watch(
        "entrepot_store_bytes",
        lambda: {name: (store.path / name / "data.mdb").stat().st_size for name in ("meta", "chunks")},
    )


async def _stop_on_signal(stopping: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            stopping.set()


def _allow(_caller: Caller, _action: str, _name: RepositoryName | None) -> None:
    """An open node lets its callers do everything: they are its root."""


def _alarm(error: Damaged) -> None:
    structlog.get_logger().error("damaged", what=str(error))


def _report(error: BaseException) -> None:
    structlog.get_logger().error("bug", exc_info=error)


def no_peers():
    from node.api.admin.control import PeerControl
    def n(*a): raise NotReady("x")
    return PeerControl(n,n,n,n,n,n)


def _nobody(_addresses: Sequence[str]) -> None:
    """Nobody asked to be told."""
