"""What ``entrepot top`` shows, worked out from two looks at a node."""

from collections.abc import Mapping, Sequence
from math import inf

import msgspec

from node.api.admin.activity import Activity
from node.registry.transfers import Transfer
from node.telemetry.metrics import Shown

CLIENTS = "oci"  # The door of clients.
_QUEUES = ("_waiting", "_in_flight", "_in_progress", "_pending", "_waiting_images", "_lag_records", "_lag_seconds")
"""How the name of a number ends that says how much waits or is behind."""


class Moving(msgspec.Struct, frozen=True):
    """One transfer, and how fast it goes."""

    transfer: Transfer
    rate: float  # Bytes per second, of the time between the looks; of all its time where it is new.

    @property
    def done(self) -> float | None:
        """From 0 to 1, or ``None`` where nobody knows how much will come."""
        size = self.transfer.size
        return None if not size else min(1.0, self.transfer.moved / size)


class Picture(msgspec.Struct, frozen=True):
    """Rates are for each second between the looks."""

    now: Activity
    requests: dict[str, dict[str, float]]  # method -> status class -> rate, of clients
    others: dict[str, float]  # door -> rate, of nodes and commands
    sent: float
    received: float
    median: float | None  # Seconds of clients' requests; ``None``: there were none.
    slowest: float | None  # The 99th percentile.
    lag: float | None  # The 99th percentile of how late the event loop was.
    cpu: float  # Cores.
    moving: list[Moving]
    queues: list[tuple[str, float]]
    connections: dict[str, float]  # door -> open


def picture(before: Activity, after: Activity) -> Picture:
    """Work out what happened between two looks at the same node."""
    seconds = max(after.at - before.at, 1e-9)
    clients, earlier = after.doors[CLIENTS], before.doors[CLIENTS]
    buckets = _since(earlier.buckets, clients.buckets)
    was = earlier.answered
    rates = {
        method: {name: (count - was.get(method, {}).get(name, 0)) / seconds for name, count in some.items()}
        for method, some in clients.answered.items()
    }
    others = {
        name: (_total(door.answered) - _total(before.doors[name].answered)) / seconds
        for name, door in after.doors.items()
        if name not in {CLIENTS, "other"}
    }
    seen = {one.id: one for one in before.transfers}
    return Picture(
        now=after,
        requests=rates,
        others=others,
        sent=sum(one.sent - before.doors[name].sent for name, one in after.doors.items()) / seconds,
        received=sum(one.received - before.doors[name].received for name, one in after.doors.items()) / seconds,
        median=quantile(buckets, 0.5),
        slowest=quantile(buckets, 0.99),
        lag=quantile(_since(*(_histogram(one) for one in (before, after))), 0.99),
        cpu=(after.process.cpu_seconds - before.process.cpu_seconds) / seconds,
        moving=[_moving(seen.get(one.id), one, seconds) for one in after.transfers],
        queues=list(_queues(after.numbers)),
        connections=_by_label(after.numbers.get("entrepot_connections", 0.0)),
    )


def quantile(buckets: Sequence[tuple[str, float]], share: float) -> float | None:
    """Return the value below which *share* of what is counted lies; ``inf`` where that is beyond the last bound.

    *buckets* are cumulative, as those of Prometheus; within one the values are taken to lie evenly.
    """
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    wanted, low, below = total * share, 0.0, 0.0
    for bound, count in buckets:
        high = inf if bound == "+Inf" else float(bound)
        if count >= wanted:
            return high if high == inf or count == below else low + (high - low) * (wanted - below) / (count - below)
        low, below = high, count
    return inf


def _since(before: Sequence[tuple[str, float]], after: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(bound, count - earlier) for (bound, count), (_, earlier) in zip(after, before, strict=False)]


def _histogram(look: Activity) -> list[tuple[str, float]]:
    found = look.numbers.get("entrepot_loop_lag_seconds", [])
    return found if isinstance(found, list) else []


def _moving(before: Transfer | None, after: Transfer, seconds: float) -> Moving:
    if before is not None and before.moved <= after.moved:
        return Moving(after, (after.moved - before.moved) / seconds)
    return Moving(after, after.moved / max(after.seconds, 1e-3))


def _queues(numbers: Mapping[str, Shown]) -> list[tuple[str, float]]:
    found = [
        (f"{name.removeprefix('entrepot_').replace('_', ' ')}{f' ({label})' if label else ''}", value)
        for name, shown in numbers.items()
        if name.endswith(_QUEUES) and name != "entrepot_http_requests_in_flight"
        for label, value in _by_label(shown).items()
    ]
    return sorted(found)


def _by_label(shown: Shown) -> dict[str, float]:
    if isinstance(shown, dict):
        return {label: value for label, value in shown.items() if not isinstance(value, list)}
    return {} if isinstance(shown, list) else {"": shown}


def _total(answered: Mapping[str, Mapping[str, int]]) -> int:
    return sum(sum(some.values()) for some in answered.values())
