"""Which numbers the metrics read when they are asked."""

from node.daemon.peering import Peering
from node.registry.registry import Registry
from node.registry.replication import FOLLOWER, lags
from node.telemetry.lines import Lines
from node.telemetry.metrics import Metrics


def watch(metrics: Metrics, registry: Registry, peering: Peering, lines: Lines) -> None:
    """Give *metrics* everything that is read and not counted."""
    store, journal = registry.store, registry.store.meta.journal

    def position() -> int:
        with store.meta.read() as txn:
            return journal.last(txn)

    def behind() -> dict[str, float]:
        with store.meta.read() as txn:
            return {FOLLOWER: journal.last(txn) - journal.cursor(txn, FOLLOWER)}

    metrics.watch("entrepot_uploads_in_progress", lambda: len(registry.sessions))
    metrics.watch("entrepot_journal_position", position)
    metrics.watch("entrepot_follower_lag_records", behind)
    metrics.watch("entrepot_peer_sessions", lambda: len(peering.mesh.sessions()))
    metrics.watch("entrepot_store_free_bytes", store.space.free)
    metrics.watch("entrepot_log_lines_dropped_total", lambda: lines.dropped)
    metrics.watch(
        "entrepot_replication_lag_seconds", lambda: {name: lag.seconds for name, lag in lags(registry).items()}
    )
    metrics.watch(
        "entrepot_replication_waiting_images", lambda: {name: lag.waiting for name, lag in lags(registry).items()}
    )
    metrics.watch(
        "entrepot_store_bytes",
        lambda: {name: (store.path / name / "data.mdb").stat().st_size for name in ("meta", "chunks")},
    )
    metrics.watch("entrepot_alarms", lambda: {alarm.name: 1.0 for alarm in registry.alarms.raised()})
