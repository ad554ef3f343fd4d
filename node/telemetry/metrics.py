"""The numbers behind ``/metrics``, in the text format of Prometheus.

Two kinds. What happens with every request is counted here, in plain integers of the event loop's thread, and shaped
when Prometheus asks: about a microsecond a request. Everything else (queues, positions, lags) is read when asked, by
functions that the composition root hands to ``watch``. Names stand in one table, so that they can be checked.

No label ever holds what a client chose: methods and doors are fixed sets, limits are the engine's own names, and
destinations come from rules. Where a set could still grow, ``MAX_CHILDREN`` ends it.

Source: prometheus.io, "Metric and label naming", "Exposition formats" (text 0.0.4).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal, TypeAlias, cast

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from node.telemetry.durations import LAGS, REQUESTS, Durations
from protocol.errors import Damaged

MAX_CHILDREN = 256  # Label values of one metric; what comes after them is left out.

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other")
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")

Value: TypeAlias = float | Durations
Read: TypeAlias = Callable[[], Value | Mapping[str, Value]]
"""A value, or one for each value of the metric's label."""

COUNTED: Mapping[str, tuple[str, str, str]] = {
    "entrepot_build_info": ("gauge", "The version that runs; always 1.", "version"),
    "entrepot_http_requests_total": ("counter", "Requests answered.", "door, method, status"),
    "entrepot_http_request_seconds": (
        "histogram",
        "From the end of a request's head to the end of its answer.",
        "door",
    ),
    "entrepot_http_requests_in_flight": ("gauge", "Requests that are being answered.", "door"),
    "entrepot_http_sent_bytes_total": ("counter", "Bytes of bodies sent.", "door"),
    "entrepot_http_received_bytes_total": ("counter", "Bytes of bodies received, where they were announced.", "door"),
    "entrepot_loop_lag_seconds": ("histogram", "How much later than asked the event loop came back.", ""),
    "entrepot_limit_hits_total": ("counter", "What a limit of the engine refused.", "limit"),
    "entrepot_bugs_total": ("counter", "Exceptions that nobody expected; the log has their tracebacks.", ""),
    "entrepot_job_failures_total": (
        "counter",
        "Times that a job ended with an error and was started again.",
        "job_name",
    ),
}
"""What is counted here: name -> (type, help, labels)."""

Watched: TypeAlias = Literal[
    "entrepot_alarms",
    "entrepot_read_only",
    "entrepot_logins_total",
    "entrepot_logins_refused_total",
    "entrepot_loop_holds_total",
    "entrepot_connections",
    "entrepot_connections_accepted_total",
    "entrepot_blob_sent_bytes_total",
    "entrepot_recent_manifests_total",
    "entrepot_uploads_in_progress",
    "entrepot_upload_memory_bytes",
    "entrepot_chunks_in_flight",
    "entrepot_incoming_manifest_bytes",
    "entrepot_store_bytes",
    "entrepot_store_free_bytes",
    "entrepot_store_commit_seconds",
    "entrepot_store_writes_total",
    "entrepot_store_writes_waiting",
    "entrepot_chunk_reads_total",
    "entrepot_blobs_damaged",
    "entrepot_damaged_places",
    "entrepot_scrub_read_bytes_total",
    "entrepot_scrub_damage_found_total",
    "entrepot_scrub_repaired_total",
    "entrepot_scrub_completed_timestamp_seconds",
    "entrepot_leased_blobs",
    "entrepot_store_pages_free_bytes",
    "entrepot_store_ballast_held",
    "entrepot_store_oldest_reader_seconds",
    "entrepot_store_old_readers",
    "entrepot_store_stale_readers_total",
    "entrepot_collection_waiting",
    "entrepot_collected_links_total",
    "entrepot_collected_blobs_total",
    "entrepot_collected_bytes_total",
    "entrepot_collection_set_aside_total",
    "entrepot_uploads_expired_total",
    "entrepot_backup_ended_timestamp_seconds",
    "entrepot_journal_position",
    "entrepot_follower_lag_records",
    "entrepot_replication_lag_seconds",
    "entrepot_replication_waiting_images",
    "entrepot_webhook_deliveries_total",
    "entrepot_webhook_failures_total",
    "entrepot_webhook_lag_records",
    "entrepot_webhook_lag_seconds",
    "entrepot_webhook_events_set_aside",
    "entrepot_peers_known",
    "entrepot_peer_sessions",
    "entrepot_peer_calls_in_flight",
    "entrepot_transits",
    "entrepot_transits_total",
    "entrepot_certificate_expiry_timestamp_seconds",
    "entrepot_tasks",
    "entrepot_threads_busy",
    "entrepot_log_lines_dropped_total",
    "entrepot_trace_spans_total",
]

HISTOGRAMS: frozenset[Watched] = frozenset(("entrepot_store_commit_seconds",))
"""Those of ``WATCHED`` whose values are ``Durations``."""

WATCHED: Mapping[Watched, tuple[str, str]] = {
    "entrepot_alarms": ("Conditions that somebody has to look at: 1 while it holds.", "alarm"),
    "entrepot_loop_holds_total": (
        "Passes of the event loop that took over 0.1 s, by what took it.",
        "task",
    ),
    "entrepot_read_only": ("Whether clients may not change content: 1 while they may not.", ""),
    "entrepot_logins_total": (
        "Callers that were known by what they showed; a bearer token counts once, when it is verified.",
        "kind",
    ),
    "entrepot_logins_refused_total": ("Callers that were not known, or not any more, by what they showed.", "kind"),
    "entrepot_connections": ("Connections that are open.", "door"),
    "entrepot_connections_accepted_total": ("Connections accepted.", "door"),
    "entrepot_blob_sent_bytes_total": (
        "Bytes of stored chunks sent: straight from the page cache, or through a buffer as TLS needs.",
        "way",
    ),
    "entrepot_recent_manifests_total": ("Manifests answered again without a look at the store.", ""),
    "entrepot_uploads_in_progress": ("Uploads that are open.", ""),
    "entrepot_upload_memory_bytes": (
        "Bytes of uploads in memory: buffers in use, and those kept for the next upload.",
        "",
    ),
    "entrepot_chunks_in_flight": ("Chunks of uploads that wait for their hash or the disk.", ""),
    "entrepot_incoming_manifest_bytes": ("Bytes that large manifests on their way in hold of their budget.", ""),
    "entrepot_store_bytes": ("Bytes that an environment of the store takes on disk.", "environment"),
    "entrepot_store_free_bytes": (
        "Bytes that may still be written before the reserve; pushes are refused from 0 down.",
        "",
    ),
    "entrepot_store_commit_seconds": ("What a commit took, with its syncs.", "environment"),
    "entrepot_store_writes_total": ("Writes that were in a commit; several share one.", "environment"),
    "entrepot_store_writes_waiting": ("Writes that wait for the commit under way.", "environment"),
    "entrepot_chunk_reads_total": (
        "Chunks that were asked for: still known from the page cache, or read from the disk and compared.",
        "source",
    ),
    "entrepot_blobs_damaged": ("Blobs of which a chunk failed its comparison and that nobody has pushed again.", ""),
    "entrepot_store_pages_free_bytes": ("Bytes of an environment's file that the next writes can take.", "environment"),
    "entrepot_store_ballast_held": ("Whether what deletes may grow into is set aside: 1, or 0 on a full disk.", ""),
    "entrepot_store_oldest_reader_seconds": (
        "How long somebody has read a state that is not the last: no page freed since is used again.",
        "environment",
    ),
    "entrepot_store_old_readers": ("Readers of a state that is not the last.", "environment"),
    "entrepot_store_stale_readers_total": ("Readers removed whose process had ended.", "environment"),
    "entrepot_collection_waiting": (
        "Links and blobs to be looked at when they are due, and deleted repositories whose rows are to go.",
        "kind",
    ),
    "entrepot_collected_links_total": ("Blobs that a repository sees no more, for nothing in it names them.", ""),
    "entrepot_collected_blobs_total": ("Blobs collected.", ""),
    "entrepot_collected_bytes_total": ("Bytes of the blobs collected.", ""),
    "entrepot_collection_set_aside_total": ("Due rows that are damaged, to be looked at again a day later.", ""),
    "entrepot_uploads_expired_total": ("Uploads that nobody went on with, dropped.", ""),
    "entrepot_damaged_places": ("Values and chunks that are known to be damaged and not mended yet.", ""),
    "entrepot_scrub_read_bytes_total": ("Bytes that a scrub read and compared.", ""),
    "entrepot_scrub_damage_found_total": ("Damaged values and chunks that a scrub met.", ""),
    "entrepot_scrub_repaired_total": ("Damaged values and chunks that were mended, whoever met them.", ""),
    "entrepot_scrub_completed_timestamp_seconds": (
        "When the last whole pass of a scrub ended, in seconds since 1970; 0 where none did.",
        "",
    ),
    "entrepot_leased_blobs": ("Blobs that somebody reads: their chunks are not freed.", ""),
    "entrepot_backup_ended_timestamp_seconds": (
        "When the last backup of the running node was made, in seconds since 1970; 0 where none was.",
        "",
    ),
    "entrepot_journal_position": ("Local number of the last record in the journal.", ""),
    "entrepot_follower_lag_records": ("Records that a follower of the journal has still before it.", "follower"),
    "entrepot_replication_lag_seconds": ("Age of the oldest image that a destination lacks.", "destination"),
    "entrepot_replication_waiting_images": ("Images that a destination lacks.", "destination"),
    "entrepot_webhook_deliveries_total": ("Events that a webhook took.", "webhook"),
    "entrepot_webhook_failures_total": ("Tries to tell a webhook of an event that failed.", "webhook"),
    "entrepot_webhook_lag_records": ("Records that a webhook was not told of yet.", "webhook"),
    "entrepot_webhook_lag_seconds": ("Age of the oldest record that a webhook was not told of yet.", "webhook"),
    "entrepot_webhook_events_set_aside": ("Events that a webhook is not told of any more.", "webhook"),
    "entrepot_peers_known": ("Other nodes that are known, whether or not there is a session.", ""),
    "entrepot_peer_sessions": ("Sessions with other nodes that are up.", ""),
    "entrepot_peer_calls_in_flight": ("Calls under way with other nodes, of both sides.", ""),
    "entrepot_transits": ("Blobs on their way here from another node.", ""),
    "entrepot_transits_total": ("Blobs that came, or did not, from another node.", "outcome"),
    "entrepot_certificate_expiry_timestamp_seconds": (
        "When a certificate runs out, in seconds since 1970.",
        "certificate",
    ),
    "entrepot_tasks": ("Tasks of the event loop.", ""),
    "entrepot_threads_busy": ("Worker threads at work, of those that hash, compare and read.", ""),
    "entrepot_log_lines_dropped_total": ("Log lines lost because nobody read them.", ""),
    "entrepot_trace_spans_total": ("Spans of traces, by what became of them.", "outcome"),
}
"""name -> (help, label or nothing). A counter's name ends in ``_total``; what is no histogram either is a gauge."""


class DoorCounts(msgspec.Struct, frozen=True):
    """What one front door has answered since the start."""

    answered: dict[str, dict[str, int]]  # method -> status class -> requests
    buckets: list[tuple[str, float]]  # Seconds -> how many took at most so long, ``+Inf`` last.
    sent: int
    received: int
    in_flight: int


Shown: TypeAlias = float | list[tuple[str, float]] | dict[str, float | list[tuple[str, float]]]
"""A number, or the buckets of a histogram; or one for each value of the label."""


@dataclass(slots=True)
class _Door:
    """What one front door has answered."""

    answered: dict[tuple[str, int], int]  # (method, status class) -> requests
    durations: Durations = field(default_factory=lambda: Durations(REQUESTS))
    sent: int = 0
    received: int = 0
    in_flight: int = 0

    def shown(self) -> DoorCounts:
        answered: dict[str, dict[str, int]] = {}
        for (method, number), count in self.answered.items():
            if count:
                answered.setdefault(method, {})[CLASSES[number - 1]] = count
        return DoorCounts(answered, self.durations.buckets(), self.sent, self.received, self.in_flight)


class Metrics:
    """All of a node's numbers; has a registry of its own, so that two nodes in one process keep apart."""

    def __init__(self, *, version: str, doors: tuple[str, ...]) -> None:
        self._doors = {
            name: _Door({(method, number): 0 for method in METHODS for number in range(1, 6)})
            for name in (*doors, "other")
        }
        self._other = self._doors["other"]
        self._lags = Durations(LAGS)
        self._limit_hits: dict[str, int] = {}
        self._job_failures: dict[str, int] = {}
        self._bugs = 0
        self._version = version
        self._watched: dict[Watched, Read] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collected(self._families))
        ProcessCollector(registry=self._registry)

    def watch(self, name: Watched, read: Read) -> None:
        """Show what *read* returns under *name*. It is called for each scrape, on the event loop: it must be quick."""
        self._watched[name] = read

    def observe_request(self, door: str, method: str, status: int, *, sent: int, received: int, seconds: float) -> None:
        """Count one answered request. An unknown door or method counts as ``other``."""
        counts = self._doors.get(door, self._other)
        key = (method, status // 100)
        if key not in counts.answered:
            key = ("other" if method not in METHODS else method, min(max(status // 100, 1), 5))
        counts.answered[key] += 1
        counts.durations.observe(seconds)
        counts.sent += sent
        counts.received += received

    def count_in_flight(self, door: str, step: int) -> None:
        """Count a request that begins, 1, or has ended, -1."""
        self._doors.get(door, self._other).in_flight += step

    def count_bug(self) -> None:
        """Count an exception that nobody expected."""
        self._bugs += 1

    def count_job_failure(self, job: str) -> None:
        """Count one failure of a job; *job* is its name in the table of jobs."""
        self._job_failures[job] = self._job_failures.get(job, 0) + 1

    def count_limit_hit(self, limit: str) -> None:
        """Count one request or connection that a limit of the engine refused; *limit* is the engine's word for it."""
        if limit in self._limit_hits or len(self._limit_hits) < MAX_CHILDREN:
            self._limit_hits[limit] = self._limit_hits.get(limit, 0) + 1

    def observe_loop_lag(self, seconds: float) -> None:
        """Count one measurement of how much later than asked the event loop came back."""
        self._lags.observe(seconds)

    def values(self) -> dict[str, Shown]:
        """Return all numbers by name, those with a label by its values; what ``/metrics`` does not group stays so."""
        return {
            name: {key: _shown(one) for key, one in value.items()} if isinstance(value, Mapping) else _shown(value)
            for name, value in self._numbers()
        }

    def doors(self) -> dict[str, DoorCounts]:
        """Return what each front door has answered since the start."""
        return {name: door.shown() for name, door in self._doors.items()}

    def render(self) -> bytes:
        """Return what ``GET /metrics`` answers: the text format of Prometheus."""
        return generate_latest(self._registry)

    def _families(self) -> Iterator[Metric]:
        yield _family("entrepot_build_info", {self._version: 1.0})
        yield from self._request_families()
        for name, value in self._numbers():
            yield _family(name, value)

    def _numbers(self) -> Iterator[tuple[str, Value | Mapping[str, Value]]]:
        """Yield all but what the doors answered."""
        yield "entrepot_loop_lag_seconds", self._lags
        yield "entrepot_limit_hits_total", self._limit_hits
        yield "entrepot_bugs_total", self._bugs
        yield "entrepot_job_failures_total", self._job_failures
        for name, read in self._watched.items():
            try:
                value = read()
            except Damaged:  # The others are shown all the same, and the alarm for this among them.
                continue
            yield name, value

    def _request_families(self) -> Iterator[Metric]:
        text = COUNTED["entrepot_http_requests_total"][1]
        requests = CounterMetricFamily("entrepot_http_requests", text, labels=("door", "method", "status"))
        doors = self._doors.items()
        for name, door in doors:
            for (method, number), count in door.answered.items():
                requests.add_metric((name, method, CLASSES[number - 1]), count)
        yield requests
        yield _family("entrepot_http_request_seconds", {name: door.durations for name, door in doors})
        yield _family("entrepot_http_requests_in_flight", {name: door.in_flight for name, door in doors})
        yield _family("entrepot_http_sent_bytes_total", {name: door.sent for name, door in doors})
        yield _family("entrepot_http_received_bytes_total", {name: door.received for name, door in doors})


class _Collected(Collector):
    """What a registry of prometheus_client asks for families."""

    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:  # type: ignore[explicit-override]  # 3.12 has it.
        return self._families()


def _shown(value: Value) -> float | list[tuple[str, float]]:
    return value.buckets() if isinstance(value, Durations) else value


def _family(name: str, value: Value | Mapping[str, Value]) -> Metric:
    kind, text, label = described(name)
    labels = (label,) if label else ()
    by_label: list[tuple[str, Value]] = (
        [("", value)] if not isinstance(value, Mapping) else sorted(value.items(), key=itemgetter(0))
    )
    del by_label[MAX_CHILDREN:]
    if kind == "histogram":
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for key, one in by_label:
            assert isinstance(one, Durations)
            histogram.add_metric((key,) if label else (), one.buckets(), one.seconds)
        return histogram
    family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, text, labels=labels)
    for key, one in by_label:
        assert not isinstance(one, Durations)
        family.add_metric((key,) if label else (), one)
    return family


def described(name: str) -> tuple[str, str, str]:
    """Return (type, help, labels) of a metric of the tables."""
    if name in COUNTED:
        return COUNTED[name]
    text, label = WATCHED[cast("Watched", name)]
    kind = "histogram" if name in HISTOGRAMS else "counter" if name.endswith("_total") else "gauge"
    return kind, text, label
