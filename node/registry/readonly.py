"""Read-only mode as an operator switches it at run time: kept in the store, so that a restart does not forget it."""

import msgspec

from node.registry.gate import Closer
from node.registry.registry import Registry
from node.store.table import WriteTxn
from protocol.auth.caller import Caller
from protocol.errors import Damaged, NotReady, StoreFull, StoreReadOnly

MAX_REASON = 500  # Characters: it goes into each refusal.
_DOCUMENT = "read-only"


class _Switched(msgspec.Struct, frozen=True):
    reason: str
    since: float


class ReadOnlyState(msgspec.Struct, frozen=True):
    """Whether clients may change content, and who says not."""

    read_only: bool
    reasons: dict[Closer, str]
    since: float | None  # UTC, seconds since 1970: when an operator switched it on.
    is_kept: bool = True
    """Whether a restart finds what the operator said: not where the disk took no writes at that moment."""


async def set_read_only(registry: Registry, caller: Caller, reason: str) -> ReadOnlyState:
    """Refuse every change of content from now on; when this returns, none is on its way any more.

    Raises:
        Denied: without ``ecr:PutAccountSetting``.
    """
    registry.authorize(caller, "ecr:PutAccountSetting", None)
    why = reason.strip()[:MAX_REASON] or "an operator said so"
    registry.gate.close("operator", why)
    return await _keep(registry, _Switched(why, registry.now()))


async def clear_read_only(registry: Registry, caller: Caller) -> ReadOnlyState:
    """Take back what ``set_read_only`` did.

    Raises:
        Denied: without ``ecr:PutAccountSetting``.
        NotReady: the configuration says so, too: there it has to be changed.
    """
    registry.authorize(caller, "ecr:PutAccountSetting", None)
    registry.gate.open("operator")
    state = await _keep(registry, None)
    if "configuration" in state.reasons:
        raise NotReady("registry.read_only is true in the configuration: change that, then `entrepot reload`")
    return state


def read_only_state(registry: Registry, caller: Caller) -> ReadOnlyState:
    """Return whether clients may change content; ``Denied`` without ``ecr:GetAccountSetting``."""
    registry.authorize(caller, "ecr:GetAccountSetting", None)
    return _state(registry, _switched(registry))


def restore_gate(registry: Registry) -> None:
    """At the start: close the gate where an operator had closed it."""
    try:
        switched = _switched(registry)
    except Damaged:  # Nobody knows; the list of damage says so.
        switched = None
    if switched is not None:
        registry.gate.close("operator", switched.reason)


async def _keep(registry: Registry, switched: _Switched | None) -> ReadOnlyState:
    documents, kept = registry.store.meta.documents, True
    data = b"" if switched is None else msgspec.json.encode(switched)

    def run(txn: WriteTxn) -> None:
        documents.put(txn, _DOCUMENT, data)

    try:
        await registry.store.writer.write(run)
    except (StoreFull, StoreReadOnly):
        kept = False  # A disk that takes nothing is a good reason to be read-only.
    return msgspec.structs.replace(_state(registry, switched), is_kept=kept)


def _switched(registry: Registry) -> _Switched | None:
    with registry.store.meta.read() as txn:
        data = registry.store.meta.documents.get(txn, _DOCUMENT)
    return msgspec.json.decode(data, type=_Switched) if data else None


def _state(registry: Registry, switched: _Switched | None) -> ReadOnlyState:
    closed = dict(registry.gate.closed)
    since = switched.since if switched is not None and "operator" in closed else None
    return ReadOnlyState(bool(closed), closed, since)
