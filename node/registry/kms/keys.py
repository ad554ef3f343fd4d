"""All KMS keys as they are now, in memory: made anew when one of them changes.

A key is a register of the group ``kms-key``, named by its id. Its fields:

    created (ms), alias, description, disabled, deletion (ms: when), version, rotated (ms)

What it says is shared by all nodes of the registry; the keys themselves lie in files of this node (``keyring``) and are
made when they are first needed. Repositories name one by its ARN, its id, its alias or the ARN of that.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from node.store.meta import Meta
from node.store.table import ReadTxn
from protocol.auth.arn import partition
from protocol.auth.names import RegistryName
from protocol.errors import KeyUnusable
from protocol.sync.entries import Setting

GROUP = "kms-key"
DEFAULT_ALIAS = "alias/aws/ecr"
"""Of the key under which repositories with KMS encryption are kept that name none."""
MAX_KEYS = 10_000

State: TypeAlias = Literal["Enabled", "Disabled", "PendingDeletion"]


class KmsKey(msgspec.Struct, frozen=True):
    """A key as it is kept."""

    id: str
    arn: str
    alias: str  # ``alias/...``, or empty.
    state: State
    created: int  # Milliseconds since 1970.
    version: int  # From 1; raised by each rotation.
    rotated: int = 0  # Milliseconds since 1970; 0: never.
    deletion: int = 0  # Milliseconds since 1970: when it goes; 0: it does not.
    description: str = ""


class KmsKeys:
    """What there is at one moment."""

    def __init__(self, registry: RegistryName, keys: Sequence[KmsKey]) -> None:
        self._prefix = f"arn:{partition(registry.region)}:kms:{registry.region}:{registry.account}:"
        self._by_id = {one.id: one for one in keys}
        self._by_alias: dict[str, KmsKey] = {}
        for one in sorted(keys, key=lambda one: (one.created, one.id)):
            if one.alias:
                self._by_alias.setdefault(one.alias, one)

    def all(self) -> list[KmsKey]:
        """Return all keys, the oldest first."""
        return sorted(self._by_id.values(), key=lambda one: (one.created, one.id))

    def find(self, name: str) -> KmsKey | None:
        """Return the key that an id, an alias or an ARN names."""
        short = name.removeprefix(self._prefix).removeprefix("key/")
        return self._by_alias.get(short) or self._by_id.get(short)

    def require(self, name: str) -> KmsKey:
        """Return the key that *name* names, to use it now.

        Raises:
            KeyUnusable: there is none, or it is disabled or to be deleted.
        """
        found = self.find(name)
        if found is None:
            raise KeyUnusable("NotFoundException", f"Key '{name}' does not exist")
        if found.state == "Disabled":
            raise KeyUnusable("DisabledException", f"{found.arn} is disabled.")
        if found.state == "PendingDeletion":
            raise KeyUnusable("KMSInvalidStateException", f"{found.arn} is pending deletion.")
        return found


def read_keys(registry: RegistryName, meta: Meta, txn: ReadTxn) -> KmsKeys:
    """Return what there is."""
    page = meta.registers.page(txn, GROUP, prefix="", after="", limit=MAX_KEYS)
    return KmsKeys(
        registry,
        [kms_key(registry, name, fields) for name, state in page if not state.ended and (fields := state.values())],
    )


def kms_key(registry: RegistryName, id_: str, fields: Mapping[str, Setting]) -> KmsKey:
    """Return the key that a register says there is."""
    deletion = _number(fields, "deletion")
    state: State = "PendingDeletion" if deletion else "Disabled" if fields.get("disabled") else "Enabled"
    return KmsKey(
        id_,
        key_arn(registry, id_),
        str(fields.get("alias", "")),
        state,
        _number(fields, "created"),
        max(1, _number(fields, "version")),
        _number(fields, "rotated"),
        deletion,
        str(fields.get("description", "")),
    )


def key_arn(registry: RegistryName, id_: str) -> str:
    """Return the ARN of a key."""
    return f"arn:{partition(registry.region)}:kms:{registry.region}:{registry.account}:key/{id_}"


def _number(fields: Mapping[str, Setting], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0
