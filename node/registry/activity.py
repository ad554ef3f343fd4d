"""What the registry is doing at the moment, for whoever watches."""

from uuid import UUID

from node.registry.registry import Registry
from node.registry.transfers import Transfer
from protocol.auth.caller import Caller

MAX_TRANSFERS = 1000  # That are told, the oldest first.


def list_transfers(registry: Registry, caller: Caller) -> list[Transfer]:
    """Return the blobs that are on their way, the oldest first; ``Denied`` without ``ecr:DescribeRegistry``."""
    registry.authorize(caller, "ecr:DescribeRegistry", None)
    found = [*_uploads(registry), *registry.transits.transfers(), *registry.readings.transfers()]
    return sorted(found, key=lambda one: -one.seconds)[:MAX_TRANSFERS]


def _uploads(registry: Registry) -> list[Transfer]:
    now = registry.now()
    return [
        Transfer(
            # Not the upload's own name, which is as good as a password.
            f"u{UUID(bytes=key).int % 10**9:09d}",
            "upload",
            session.repository,
            "",
            session.client,
            session.ingest.size,
            session.expected,
            max(0.0, now - session.begun),
        )
        for key, session in registry.sessions.items()
        if session.lock.locked()
    ]
