"""Puts together what the node does at the moment."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from node import __version__
from node.api.admin.activity import Activity, ProcessUse
from node.daemon.reload import Running
from node.registry.activity import list_transfers
from node.registry.condition import Condition
from node.registry.registry import Registry
from node.telemetry.metrics import Metrics
from node.telemetry.usage import descriptors, memory, resident
from protocol.auth.caller import Caller


@dataclass(frozen=True, slots=True)
class Watcher:
    """Looks at one node."""

    registry: Registry
    metrics: Metrics
    running: Running
    condition: Callable[[], Condition]
    began: float = field(default_factory=time.monotonic)

    def look(self, caller: Caller) -> Activity:
        """Return what it does now; ``Denied`` without ``ecr:DescribeRegistry``."""
        transfers, now = list_transfers(self.registry, caller), time.monotonic()
        return Activity(
            at=now,
            up=now - self.began,
            version=__version__,
            node=self.registry.author.node,
            registry=str(self.registry.name),
            condition=self.condition(),
            alarms=self.registry.alarms.raised(),
            restart=self.running.restart,
            doors=self.metrics.doors(),
            transfers=transfers,
            process=ProcessUse(time.process_time(), resident(), memory(), descriptors()),
            numbers=self.metrics.values(),
        )
