"""Reading and writing registers: what the registry keeps beside its repositories, as records that replicas share.

A register is a group and a name with fields; whoever sets a field last has the last word. What is asked here was
allowed before: use cases authorize, and then read and write by these.
"""

from collections.abc import Iterable, Mapping

from node.registry.commit import commit_rules
from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act
from protocol.sync.entries import RegisterPut, RegisterValue, Setting, register_name
from protocol.sync.registers import RegisterState, seen_by


def register(registry: Registry, txn: ReadTxn, group: str, name: str) -> dict[str, Setting] | None:
    """Return the fields of a register; ``None`` where it has none, or has ended."""
    return _shown(registry.store.meta.registers.get(txn, group, name))


def registers(
    registry: Registry, txn: ReadTxn, group: str, *, prefix: str = "", after: str = "", limit: int
) -> list[tuple[str, dict[str, Setting]]]:
    """Return at most *limit* registers of *group*, by name: those that begin with *prefix* and lie beyond *after*.

    Those that have ended or have no field are left out.
    """
    found: list[tuple[str, dict[str, Setting]]] = []
    while len(found) < limit:
        wanted = limit - len(found)
        page = registry.store.meta.registers.page(txn, group, prefix=prefix, after=after, limit=wanted)
        found += [(name, fields) for name, state in page if (fields := _shown(state)) is not None]
        if len(page) < wanted:
            break
        after = page[-1][0]
    return found


def register_put(
    registry: Registry,
    txn: ReadTxn,
    act: Act,
    group: str,
    name: str,
    fields: Mapping[str, Setting],
    *,
    ended: bool = False,
) -> RegisterPut:
    """Return the entry that sets *fields* (``None`` takes one away), for ``commit_rules`` in the same transaction.

    With *ended* the register is over for good: it is shown no more, whatever is put into it.

    Raises:
        ParameterInvalid: the name is too long for one, or has NUL in it.
    """
    key = register_name(group, name)
    state = registry.store.meta.registers.get(txn, group, name)
    return RegisterPut(key, RegisterValue(dict(fields), ended, act.caller.arn, seen_by(state, fields)))


def registers_taken(registry: Registry, txn: ReadTxn, act: Act, groups: Iterable[str], name: str) -> list[RegisterPut]:
    """Return the entries that take away every field of the registers called *name*, for ``commit``."""
    there = {group: register(registry, txn, group, name) for group in groups}
    return [
        register_put(registry, txn, act, group, name, dict.fromkeys(fields))
        for group, fields in there.items()
        if fields
    ]


async def put_register(
    registry: Registry, act: Act, group: str, name: str, fields: Mapping[str, Setting], *, ended: bool = False
) -> None:
    """Set *fields* of a register in a transaction of its own."""

    def run(txn: WriteTxn) -> None:
        entry = register_put(registry, txn, act, group, name, fields, ended=ended)
        commit_rules(registry, txn, act, lambda _dot, _hlc: [entry])

    await registry.store.writer.write(run)
    registry.changes.notify()


def _shown(state: RegisterState | None) -> dict[str, Setting] | None:
    if state is None or state.ended:
        return None
    return state.values() or None
