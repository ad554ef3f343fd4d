"""All checks of a node that runs; in the node, for limits and peers are its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from node.config.settings import Config
from node.daemon.doctor.checks import Check, fail, ok, warn
from node.daemon.doctor.configuration import check_certificates, check_configuration
from node.daemon.doctor.disk import check_disk
from node.daemon.doctor.machine import check_clock, check_limits, check_network
from node.daemon.reload import Running
from node.peers.mesh import Mesh
from node.registry.backup.running import last_backup
from node.registry.condition import Condition
from node.registry.registry import Registry
from node.registry.replication import lags
from node.telemetry.usage import descriptors, memory
from protocol.sync.clock import stamp_ms

_SKEW = 5.0  # Seconds between two clocks, and the way that a message takes.
_OLD_BACKUP = 7.0  # Days.
_BEHIND = 600.0  # Seconds that a destination may lack an image.


@dataclass(frozen=True, slots=True)
class Doctor:
    """Examines the node that it runs in."""

    registry: Registry
    running: Running
    mesh: Mesh
    certificates: Mapping[str, Callable[[], float]]
    condition: Callable[[], Condition]

    async def examine(self) -> list[Check]:
        """Look at everything. Takes as long as the disk to sync a few times."""
        registry, config = self.registry, self.running.config
        now, seen = registry.now(), stamp_ms(registry.author.clock.last) / 1000
        expires = {name: at() for name, at in self.certificates.items()}
        return [
            *_alarms(self.condition(), registry),
            *await trio.to_thread.run_sync(check_disk, Path(config.node.data)),
            *check_clock(now, seen),
            *check_limits(descriptors(), memory(), connections=config.limits.connections),
            *check_network(),
            *check_certificates(expires, now),
            *_peers(self.mesh, registry),
            _backup(registry, now),
            *_store(registry, config, now),
            *check_configuration(config, self.running.restart),
        ]


def _alarms(condition: Condition, registry: Registry) -> list[Check]:
    found = [fail("node", alarm.name, alarm.what, alarm.remedy) for alarm in registry.alarms.raised()]
    said = {one.name for one in registry.alarms.raised()}
    found += [
        warn("node", one.name, f"pushes are refused: {one.what}", "`entrepot read-only off`, when it is over")
        for one in condition.reasons
        if one.name not in said
    ]
    return found or [ok("node", "state", "pushes and pulls are answered, no alarm is raised")]


def _store(registry: Registry, config: Config, now: float) -> list[Check]:
    state = registry.scrubbing.state
    if not config.scrub.enabled:
        return [warn("store", "scrub", "scrub.enabled is off: bad bytes are found when somebody needs them", "set it")]
    if not state.completed:
        return [ok("store", "scrub", "not everything was read yet; it begins by itself")]
    days = (now - state.completed) / 86_400
    text = f"everything was last read and compared {days:.0f} days ago"
    if days > 2 * config.scrub.interval_days:
        return [warn("store", "scrub", text, "`entrepot scrub` begins now; scrub.rate may be too low for this store")]
    return [ok("store", "scrub", text)]


def _backup(registry: Registry, now: float) -> Check:
    at = last_backup(registry)
    if not at:
        return warn(
            "store", "backup", "none was made of this node while it ran", "`entrepot backup DIRECTORY`, each day"
        )
    days = (now - at) / 86_400
    text = f"the last one was made {days:.1f} days ago"
    if days > _OLD_BACKUP:
        return warn("store", "backup", text, "`entrepot backup DIRECTORY`: what was pushed since is here alone")
    return ok("store", "backup", text)


def _peers(mesh: Mesh, registry: Registry) -> list[Check]:
    known, up = [one.descriptor.name for one in mesh.nodes.others()], {one.peer.name for one in mesh.sessions()}
    if not known:
        return [ok("peers", "sessions", "no other nodes are known")]
    down = [str(name) for name in known if name not in up]
    found = [ok("peers", "sessions", f"{len(up)} of {len(known)} nodes have a session with this one")]
    if down:
        text = f"no session with {', '.join(down[:5])}{' and others' if len(down) > 5 else ''}"
        found = [warn("peers", "sessions", text, "see that they run and can be reached; the log says what was tried")]
    for session in mesh.sessions():
        ahead = session.agreement.ahead_ms / 1000
        if abs(ahead) > _SKEW:
            text = f"that of {session.peer.name} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
            found.append(
                warn("peers", "clock", text, "set the clock that is wrong: later writes may lose to earlier ones")
            )
    for destination, lag in lags(registry).items():
        if lag.seconds > _BEHIND:
            text = f"{destination} lacks {lag.waiting} images, the oldest for {lag.seconds:.0f} s"
            found.append(warn("peers", "replication", text, "`entrepot replication status` says why"))
    return found
