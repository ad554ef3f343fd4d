"""The machine: limits of the process, memory, the kernel's settings of the network, the clock."""

import resource
import time
from collections.abc import Callable
from pathlib import Path

from node.daemon.clock import is_synchronised
from node.daemon.doctor.checks import Check, fail, ok, size, warn
from node.telemetry.usage import Usage
from protocol.sync.clock import is_sane

_SPARE = 256  # Descriptors beside connections: the store, peers, the log.
_LITTLE = 256 * 2**20  # Bytes of memory that a node needs: 250 MB, and what clients are allowed.
_TCP = Path("/proc/sys/net")


def check_limits(descriptors: Usage, memory: Usage, *, connections: int) -> list[Check]:
    """Look at what the process may use; *connections* are those that are allowed."""
    return [_descriptors(descriptors, connections), _address_space(), _memory(memory)]


def check_clock(now: float, seen: float, *, synchronised: Callable[[], bool] = is_synchronised) -> list[Check]:
    """Look at the clock; *seen* is the latest moment that this node has seen, 0 where there is none."""
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(max(0.0, min(now, 2.0**40))))
    if not is_sane(now):
        return [fail("clock", "time", text, "set the clock: pushes are refused, nothing is collected or signed")]
    found = [ok("clock", "time", text)]
    if seen and now < seen - 300:
        behind = f"{text}, {seen - now:.0f} s behind what this node has seen"
        found = [
            warn("clock", "time", behind, "set the clock; or it was wrong before, and what was written then stays")
        ]
    if synchronised():
        return [*found, ok("clock", "synchronised", "the kernel says so")]
    text = "the kernel does not say so"
    return [*found, warn("clock", "synchronised", text, "run chrony or systemd-timesyncd; in a container, on its host")]


def check_network(root: Path = _TCP) -> list[Check]:
    """Look at the kernel's settings that bound how many clients can connect at once."""
    backlog = _number(root / "core/somaxconn")
    if backlog and backlog < 1024:
        text = f"{backlog} connections may wait to be accepted"
        return [
            warn("network", "backlog", text, "sysctl -w net.core.somaxconn=1024, or bursts of clients wait a second")
        ]
    return [ok("network", "backlog", f"{backlog or 'an unknown number of'} connections may wait to be accepted")]


def _descriptors(usage: Usage, connections: int) -> Check:
    text = f"{usage.used} in use of {usage.limit or 'any number'}; {connections} connections are allowed"
    remedy = f"raise the limit to {connections + _SPARE} (LimitNOFILE, ulimit -n), or lower limits.connections"
    if usage.share >= 0.9:
        return fail("limits", "descriptors", text, remedy)
    if usage.limit and usage.limit < connections + _SPARE:
        return warn("limits", "descriptors", text, remedy)
    return ok("limits", "descriptors", text)


def _address_space() -> Check:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < 4 * 2**40:
        text = f"{size(limit)}; the store's maps alone take 2 TiB of it, and no memory"
        return fail("limits", "address space", text, "ulimit -v unlimited; limit memory by a control group instead")
    return ok("limits", "address space", "unlimited" if limit == resource.RLIM_INFINITY else size(limit))


def _memory(usage: Usage) -> Check:
    if not usage.limit:
        return ok("limits", "memory", "no control group limits it")
    text = f"{size(usage.used)} in use of {size(usage.limit)}"
    if usage.share >= 0.9:
        return fail("limits", "memory", text, "give the node more, or lower limits.connections")
    if usage.limit < _LITTLE:
        return warn("limits", "memory", text, f"a node under load takes up to {size(_LITTLE)}")
    return ok("limits", "memory", text)


def _number(file: Path) -> int:
    try:
        return int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
