"""The numbers behind ``/metrics``, in the text format of Prometheus.

Two kinds. What happens with every request is counted here, in plain integers of the event loop's thread, and shaped
when Prometheus asks: about a microsecond a request. Everything else (queues, positions, lags) is read when asked, by
functions that the composition root hands to ``watch``. Names stand in one table, so that they can be checked.

No label ever holds what a client chose: methods and doors are fixed sets, limits are the engine's own names, and
destinations come from rules. Where a set could still grow, ``MAX_CHILDREN`` ends it.

Source: prometheus.io, "Metric and label naming", "Exposition formats" (text 0.0.4).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

MAX_CHILDREN = 256  # Label values of one metric; what comes after them is left out.

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other")
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # Seconds.
_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

Read: TypeAlias = Callable[[], float | Mapping[str, float]]
"""A number, or one for each value of the metric's label."""

Watched: TypeAlias = Literal[
    "entrepot_alarms",
    "entrepot_connections",
    "entrepot_connections_accepted_total",
    "entrepot_uploads_in_progress",
    "entrepot_journal_position",
    "entrepot_follower_lag_records",
    "entrepot_replication_lag_seconds",
    "entrepot_replication_waiting_images",
    "entrepot_peer_sessions",
    "entrepot_store_bytes",
    "entrepot_store_free_bytes",
    "entrepot_log_lines_dropped_total",
]

WATCHED: Mapping[Watched, tuple[str, str]] = {
    "entrepot_alarms": ("Conditions that somebody has to look at: 1 while it holds.", "alarm"),
    "entrepot_connections": ("Client connections that are open.", ""),
    "entrepot_connections_accepted_total": ("Client connections accepted since the start.", ""),
    "entrepot_uploads_in_progress": ("Uploads that are open.", ""),
    "entrepot_journal_position": ("Local number of the last record in the journal.", ""),
    "entrepot_follower_lag_records": ("Records that a follower of the journal has still before it.", "follower"),
    "entrepot_replication_lag_seconds": ("Age of the oldest image that a destination lacks.", "destination"),
    "entrepot_replication_waiting_images": ("Images that a destination lacks.", "destination"),
    "entrepot_peer_sessions": ("Sessions with other nodes that are up.", ""),
    "entrepot_store_bytes": ("Bytes that an environment of the store takes on disk.", "environment"),
    "entrepot_store_free_bytes": ("Bytes free on the disk of the store.", ""),
    "entrepot_log_lines_dropped_total": ("Log lines lost because nobody read them.", ""),
}
"""name -> (help, label or nothing). A name that ends in ``_total`` is a counter, every other a gauge."""


@dataclass(slots=True)
class _Door:
    """What one front door has answered."""

    answered: dict[tuple[str, int], int]  # (method, status class) -> requests
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0
    sent: int = 0
    received: int = 0


class Metrics:
    """All of a node's numbers; has a registry of its own, so that two nodes in one process keep apart."""

    def __init__(self, *, version: str, doors: tuple[str, ...]) -> None:
        self._doors = {
            name: _Door({(method, number): 0 for method in METHODS for number in range(1, 6)})
            for name in (*doors, "other")
        }
        self._other = self._doors["other"]
        self._lags = [0] * (len(_LAG_BUCKETS) + 1)
        self._lag_sum = 0.0
        self._limit_hits: dict[str, int] = {}
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
        counts.buckets[bisect_left(BUCKETS, seconds)] += 1
        counts.seconds += seconds
        counts.sent += sent
        counts.received += received

    def count_limit_hit(self, limit: str) -> None:
        """Count one request or connection that a limit of the engine refused; *limit* is the engine's word for it."""
        if limit in self._limit_hits or len(self._limit_hits) < MAX_CHILDREN:
            self._limit_hits[limit] = self._limit_hits.get(limit, 0) + 1

    def observe_loop_lag(self, seconds: float) -> None:
        """Count one measurement of how much later than asked the event loop came back."""
        self._lags[bisect_left(_LAG_BUCKETS, seconds)] += 1
        self._lag_sum += seconds

    def render(self) -> bytes:
        """Return what ``GET /metrics`` answers: the text format of Prometheus."""
        return generate_latest(self._registry)

    def _families(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("entrepot_build_info", "The version that runs; always 1.", labels=("version",))
        build.add_metric((self._version,), 1)
        yield build
        yield from self._request_families()
        lag = HistogramMetricFamily("entrepot_loop_lag_seconds", "How much later than asked the event loop came back.")
        lag.add_metric((), _cumulative(_LAG_BUCKETS, self._lags), self._lag_sum)
        yield lag
        hits = CounterMetricFamily("entrepot_limit_hits", "What a limit of the engine refused.", labels=("limit",))
        for limit, count in self._limit_hits.items():
            hits.add_metric((limit,), count)
        yield hits
        for name, read in self._watched.items():
            yield _watched_family(name, read())

    def _request_families(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "entrepot_http_requests", "Requests answered.", labels=("door", "method", "status")
        )
        seconds = HistogramMetricFamily(
            "entrepot_http_request_seconds",
            "From the end of a request's head to the end of its answer.",
            labels=("door",),
        )
        sent = CounterMetricFamily("entrepot_http_sent_bytes", "Bytes of bodies sent.", labels=("door",))
        received = CounterMetricFamily("entrepot_http_received_bytes", "Bytes of bodies received.", labels=("door",))
        for name, door in self._doors.items():
            for (method, number), count in door.answered.items():
                requests.add_metric((name, method, CLASSES[number - 1]), count)
            seconds.add_metric((name,), _cumulative(BUCKETS, door.buckets), door.seconds)
            sent.add_metric((name,), door.sent)
            received.add_metric((name,), door.received)
        yield from (requests, seconds, sent, received)


class _Collected(Collector):
    """What a registry of prometheus_client asks for families."""

    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:  # type: ignore[explicit-override]  # 3.12 has it.
        return self._families()


def _cumulative(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    return list(zip([*(str(bound) for bound in bounds), "+Inf"], accumulate(counts), strict=True))


def _watched_family(name: Watched, value: float | Mapping[str, float]) -> Metric:
    text, label = WATCHED[name]
    labels = (label,) if label else ()
    family = (
        CounterMetricFamily(name, text, labels=labels)
        if name.endswith("_total")
        else GaugeMetricFamily(name, text, labels=labels)
    )
    if isinstance(value, Mapping):
        for key in sorted(value)[:MAX_CHILDREN]:
            family.add_metric((key,), value[key])
    else:
        family.add_metric((), value)
    return family
