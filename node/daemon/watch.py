"""Which numbers the metrics read when they are asked."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import trio

from node.daemon.doors import Door
from node.daemon.peering import Peering
from node.registry.backup.running import last_backup
from node.registry.damage import damage_count
from node.registry.registry import Registry
from node.registry.replication import FOLLOWER, lags
from node.registry.webhooks import webhook_lags
from node.store.ingest import IN_FLIGHT
from node.store.store import Store
from node.telemetry.lines import Lines
from node.telemetry.metrics import Metrics
from protocol.blobs.chunkmap import CHUNK_SIZE


def watch(metrics: Metrics, registry: Registry, peering: Peering, lines: Lines) -> None:
    """Give *metrics* everything that is read and not counted."""
    metrics.watch("entrepot_alarms", lambda: {alarm.name: 1.0 for alarm in registry.alarms.raised()})
    metrics.watch("entrepot_read_only", lambda: float(bool(registry.gate.why)))
    metrics.watch("entrepot_log_lines_dropped_total", lambda: lines.dropped)
    metrics.watch("entrepot_tasks", lambda: trio.lowlevel.current_statistics().tasks_living)
    metrics.watch(
        "entrepot_threads_busy", lambda: trio.to_thread.current_default_thread_limiter().statistics().borrowed_tokens
    )
    _watch_store(metrics, registry.store)
    _watch_damage(metrics, registry)
    _watch_journal(metrics, registry)
    _watch_webhooks(metrics, registry)
    _watch_uploads(metrics, registry)
    _watch_collection(metrics, registry)
    _watch_peers(metrics, registry, peering)


def watch_doors(metrics: Metrics, doors: Sequence[Door]) -> None:
    """Give *metrics* what the servers count."""
    metrics.watch("entrepot_connections", lambda: {door.name: door.counts.connections for door in doors})
    metrics.watch("entrepot_connections_accepted_total", lambda: {door.name: door.counts.accepted for door in doors})
    metrics.watch(
        "entrepot_blob_sent_bytes_total",
        lambda: {
            "sendfile": sum(door.counts.sendfile_bytes for door in doors),
            "copy": sum(door.counts.copied_bytes for door in doors),
        },
    )


def watch_certificates(metrics: Metrics, shown: Mapping[str, Callable[[], float]]) -> None:
    """Give *metrics* when the certificates run out that are shown, by who sees them."""
    metrics.watch(
        "entrepot_certificate_expiry_timestamp_seconds", lambda: {name: expires() for name, expires in shown.items()}
    )


def _watch_store(metrics: Metrics, store: Store) -> None:
    writers = {"meta": store.writer, "chunks": store.chunk_writer}
    verified = store.verified
    metrics.watch("entrepot_store_free_bytes", store.space.free)
    metrics.watch(
        "entrepot_store_bytes", lambda: {name: (store.path / name / "data.mdb").stat().st_size for name in writers}
    )
    metrics.watch("entrepot_store_commit_seconds", lambda: {name: one.durations for name, one in writers.items()})
    metrics.watch("entrepot_store_writes_total", lambda: {name: one.writes for name, one in writers.items()})
    metrics.watch("entrepot_store_writes_waiting", lambda: {name: one.waiting for name, one in writers.items()})
    metrics.watch("entrepot_chunk_reads_total", lambda: {"cache": verified.cached, "disk": verified.compared})
    metrics.watch("entrepot_blobs_damaged", lambda: len(verified.bad))
    metrics.watch("entrepot_store_pages_free_bytes", _free_pages(store))
    metrics.watch("entrepot_store_ballast_held", lambda: float(store.space.meta.is_held and store.space.chunks.is_held))
    metrics.watch(
        "entrepot_store_oldest_reader_seconds", lambda: {name: one.oldest() for name, one in store.readers.items()}
    )
    metrics.watch("entrepot_store_old_readers", lambda: {name: one.count() for name, one in store.readers.items()})
    metrics.watch(
        "entrepot_store_stale_readers_total", lambda: {name: one.stale for name, one in store.readers.items()}
    )
    metrics.watch("entrepot_leased_blobs", lambda: len(store.leases.counts))


def _free_pages(store: Store) -> Callable[[], dict[str, float]]:
    pages = {"meta": store.space.meta, "chunks": store.space.chunks}
    return lambda: {name: one.count().free for name, one in pages.items()}


def _watch_collection(metrics: Metrics, registry: Registry) -> None:
    meta, counts = registry.store.meta, registry.counts

    def waiting() -> dict[str, float]:
        with meta.read() as txn:
            return {"due": meta.blobs.due.count(txn), "buried": meta.repositories.burials.count(txn)}

    metrics.watch("entrepot_collection_waiting", waiting)
    metrics.watch("entrepot_collected_links_total", lambda: counts.links)
    metrics.watch("entrepot_collected_blobs_total", lambda: counts.blobs)
    metrics.watch("entrepot_collected_bytes_total", lambda: counts.bytes)
    metrics.watch("entrepot_collection_set_aside_total", lambda: counts.set_aside)
    metrics.watch("entrepot_uploads_expired_total", lambda: counts.uploads)


def _watch_damage(metrics: Metrics, registry: Registry) -> None:
    scrubbing = registry.scrubbing
    metrics.watch("entrepot_damaged_places", lambda: damage_count(registry))
    metrics.watch("entrepot_scrub_read_bytes_total", lambda: scrubbing.read)
    metrics.watch("entrepot_scrub_damage_found_total", lambda: scrubbing.found)
    metrics.watch("entrepot_scrub_repaired_total", lambda: registry.repairs.repaired)
    metrics.watch("entrepot_scrub_completed_timestamp_seconds", lambda: scrubbing.state.completed)


def _watch_journal(metrics: Metrics, registry: Registry) -> None:
    store, journal = registry.store, registry.store.meta.journal

    def position() -> int:
        with store.meta.read() as txn:
            return journal.last(txn)

    def behind() -> dict[str, float]:
        with store.meta.read() as txn:
            return {FOLLOWER: journal.last(txn) - journal.cursor(txn, FOLLOWER)}

    metrics.watch("entrepot_backup_ended_timestamp_seconds", partial(last_backup, registry))
    metrics.watch("entrepot_journal_position", position)
    metrics.watch("entrepot_follower_lag_records", behind)


def _watch_webhooks(metrics: Metrics, registry: Registry) -> None:
    live = registry.deliveries
    metrics.watch("entrepot_webhook_deliveries_total", lambda: {name: one.delivered for name, one in live.items()})
    metrics.watch("entrepot_webhook_failures_total", lambda: {name: one.failed for name, one in live.items()})
    metrics.watch("entrepot_webhook_events_set_aside", lambda: {name: len(one.aside) for name, one in live.items()})
    metrics.watch(
        "entrepot_webhook_lag_records", lambda: {name: one.records for name, one in webhook_lags(registry).items()}
    )
    metrics.watch(
        "entrepot_webhook_lag_seconds", lambda: {name: one.seconds for name, one in webhook_lags(registry).items()}
    )


def _watch_uploads(metrics: Metrics, registry: Registry) -> None:
    sink = registry.store.sink

    def memory() -> int:
        filling = sum(session.ingest.memory for session in registry.sessions.values())
        return filling + sum(map(len, sink.buffers.spare)) + in_flight() * CHUNK_SIZE

    def in_flight() -> int:
        return IN_FLIGHT - sink.in_flight.value

    metrics.watch("entrepot_uploads_in_progress", lambda: len(registry.sessions))
    metrics.watch("entrepot_upload_memory_bytes", memory)
    metrics.watch("entrepot_chunks_in_flight", in_flight)
    metrics.watch("entrepot_incoming_manifest_bytes", lambda: registry.incoming.taken)


def _watch_peers(metrics: Metrics, registry: Registry, peering: Peering) -> None:
    mesh, transits = peering.mesh, registry.transits
    metrics.watch("entrepot_peers_known", lambda: len(mesh.nodes.others()))
    metrics.watch("entrepot_peer_sessions", lambda: len(mesh.sessions()))
    metrics.watch("entrepot_peer_calls_in_flight", lambda: sum(session.calls for session in mesh.sessions()))
    metrics.watch("entrepot_transits", lambda: transits.under_way)
    metrics.watch("entrepot_transits_total", lambda: transits.outcomes)
    metrics.watch(
        "entrepot_replication_lag_seconds", lambda: {name: lag.seconds for name, lag in lags(registry).items()}
    )
    metrics.watch(
        "entrepot_replication_waiting_images", lambda: {name: lag.waiting for name, lag in lags(registry).items()}
    )
