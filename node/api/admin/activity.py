"""What the node does at the moment, as ``entrepot top`` shows it: counters since the start, and what is under way.

Whoever asks twice has rates. Everything that the metrics read is in ``numbers`` under its name there, so what another
part gives to the metrics is here as well.
"""

import msgspec

from node.registry.condition import Condition
from node.registry.transfers import Transfer
from node.telemetry.alarms import Alarm
from node.telemetry.metrics import DoorCounts, Shown
from node.telemetry.usage import Usage


class ProcessUse(msgspec.Struct, frozen=True):
    """What the process uses of the machine."""

    cpu_seconds: float  # Since its start.
    resident: int  # Bytes of memory of its own, without files and the store's map.
    memory: Usage  # Of the control group.
    descriptors: Usage


class Activity(msgspec.Struct, frozen=True):
    """A look at the node. Counters begin at its start."""

    at: float  # Seconds of a clock that only goes on: the difference of two looks is what counts.
    up: float  # Seconds since the start.
    version: str
    node: str
    registry: str  # ``account/region``
    condition: Condition
    alarms: list[Alarm]
    restart: tuple[str, ...]  # Keys of the configuration that the file says otherwise than what is in force.
    doors: dict[str, DoorCounts]
    transfers: list[Transfer]
    process: ProcessUse
    numbers: dict[str, Shown]
