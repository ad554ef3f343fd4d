"""Principals whose pulls leave no trace: scanners and the like, which would keep every image from looking unused."""

from node.registry.commit import commit_rules
from node.registry.registers import register, register_put, registers
from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.errors import ExclusionExists, ExclusionUnknown, LimitExceeded

_GROUP = "pull-time-exclusion"
_CREATED = "created"  # Milliseconds since 1970.


async def register_exclusion(registry: Registry, caller: Caller, arn: str) -> float:
    """Leave the pulls of a user or role out of the times of last pulls; return when that was, seconds since 1970.

    Raises:
        Denied: without ``ecr:RegisterPullTimeUpdateExclusion``.
        ExclusionExists: they are left out already.
        LimitExceeded: there are too many.
    """
    action, most = "ecr:RegisterPullTimeUpdateExclusion", registry.settings.quotas.pull_time_exclusions
    registry.authorize(caller, action, None)
    act, now = Act(caller, action, arn), int(registry.now() * 1000)

    def run(txn: WriteTxn) -> None:
        if register(registry, txn, _GROUP, arn) is not None:
            raise ExclusionExists(f"A pull time update exclusion already exists for the principal '{arn}'")
        if len(registers(registry, txn, _GROUP, limit=most)) >= most:
            raise LimitExceeded(f"There are {most} pull time update exclusions; deregister one first")
        entry = register_put(registry, txn, act, _GROUP, arn, {_CREATED: now})
        commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])

    await registry.store.writer.write(run)
    registry.changes.notify()
    return now / 1000


async def deregister_exclusion(registry: Registry, caller: Caller, arn: str) -> None:
    """Count the pulls of a user or role again.

    Raises:
        Denied: without ``ecr:DeregisterPullTimeUpdateExclusion``.
        ExclusionUnknown: they are not left out.
    """
    action = "ecr:DeregisterPullTimeUpdateExclusion"
    registry.authorize(caller, action, None)
    act = Act(caller, action, arn)

    def run(txn: WriteTxn) -> None:
        if register(registry, txn, _GROUP, arn) is None:
            raise ExclusionUnknown(f"No pull time update exclusion exists for the principal '{arn}'")
        entry = register_put(registry, txn, act, _GROUP, arn, {_CREATED: None})
        commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])

    await registry.store.writer.write(run)
    registry.changes.notify()


def list_exclusions(registry: Registry, caller: Caller, *, after: str, limit: int) -> list[str]:
    """Return at most *limit* ARNs beyond *after*, in order.

    Raises:
        Denied: without ``ecr:ListPullTimeUpdateExclusions``.
    """
    registry.authorize(caller, "ecr:ListPullTimeUpdateExclusions", None)
    with registry.store.meta.read() as txn:
        return [arn for arn, _ in registers(registry, txn, _GROUP, after=after, limit=limit)]


def excluded(registry: Registry, txn: ReadTxn) -> frozenset[str]:
    """Return the ARNs of all."""
    return frozenset(arn for arn, _ in registers(registry, txn, _GROUP, limit=2**31))
