"""The keys that sign bearer tokens: each node has its own, and every node of the registry knows them all.

A register of the group ``token-key`` by the key's id: ``node``, ``public`` and ``private`` (sealed) in base64,
``created`` in milliseconds. A key signs from an hour after it was made, when every node has heard of it, for thirty
days, and is known for a day more: longer than any token that it signed.
"""

import base64
from collections.abc import Callable, Mapping

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from node.registry.commit import commit_rules
from node.registry.current import Current
from node.registry.registers import register_put, registers
from node.registry.registry import Registry
from node.store.table import ReadTxn, WriteTxn
from protocol.auth.caller import Act, Caller
from protocol.auth.token import Sign, Verify
from protocol.errors import Busy
from protocol.sync.entries import Known, Setting

GROUP = "token-key"
_LABEL = "token keys"
_DAY = 86_400.0
_SIGNS_AFTER = 3600.0  # Seconds.
_SIGNS_FOR = 30 * _DAY
_KNOWN_FOR = _SIGNS_FOR + _DAY
_NEXT_AFTER = _SIGNS_FOR - _DAY  # When the next one is made.
_MOST = 1000


class TokenKey(msgspec.Struct, frozen=True):
    """One key."""

    id: str
    node: str
    created: float  # Seconds since 1970.
    public: bytes
    private: str  # Sealed, in base64.


class TokenKeys:
    """Those that there are now."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._read = Current(registry.store, self._make)
        self._opened: dict[str, Sign] = {}

    @property
    def verifiers(self) -> Mapping[str, Verify]:
        """What verifies signatures, by the id of the key."""
        return self._read.get()[1]

    def signer(self) -> tuple[str, Sign]:
        """Return the id of the key with which this node signs now, and what signs; ``Busy``: it has none yet."""
        now = self._registry.now()
        own = [one for one in self._read.get()[0] if one.node == self._registry.author.node]
        known = [one for one in own if one.created <= now - _SIGNS_AFTER] or own[:1]
        if not known:
            raise Busy("this node has no key to sign tokens with yet")
        key = known[-1]
        if key.id not in self._opened:
            private = self._registry.vault.unseal(_LABEL, base64.b64decode(key.private), f"{GROUP}/{key.id}")
            self._opened[key.id] = Ed25519PrivateKey.from_private_bytes(private).sign
        return key.id, self._opened[key.id]

    def _make(self, txn: ReadTxn) -> tuple[list[TokenKey], dict[str, Verify]]:
        rows = registers(self._registry, txn, GROUP, limit=_MOST)
        keys = sorted((_key(*row) for row in rows), key=lambda one: (one.created, one.id))
        return keys, {one.id: _verifier(one.public) for one in keys}


async def rotate_token_keys(registry: Registry, caller: Caller) -> None:
    """Make the next key of this node where it is time for one, and end those that have signed nothing for a day."""
    now, act = registry.now(), Act(caller, "entrepot:RotateTokenKeys")
    private = Ed25519PrivateKey.from_private_bytes(registry.random(32))
    new = registry.random(8).hex()
    fields: dict[str, Setting] = {
        "node": registry.author.node,
        "public": base64.b64encode(private.public_key().public_bytes_raw()).decode(),
        "private": base64.b64encode(
            registry.vault.seal(_LABEL, private.private_bytes_raw(), f"{GROUP}/{new}")
        ).decode(),
        "created": int(now * 1000),
    }

    def run(txn: WriteTxn) -> None:
        keys = [_key(*row) for row in registers(registry, txn, GROUP, limit=_MOST)]
        own = [one.created for one in keys if one.node == registry.author.node and one.created <= now]
        entries: list[Known] = [
            register_put(registry, txn, act, GROUP, one.id, {}, ended=True)
            for one in keys
            if one.created < now - _KNOWN_FOR
        ]
        if max(own, default=0.0) < now - _NEXT_AFTER:
            entries.append(register_put(registry, txn, act, GROUP, new, fields))
        if entries:
            commit_rules(registry, txn, act, lambda _dot, _hlc: entries)

    await registry.store.writer.write(run)
    registry.changes.notify()


def _key(name: str, fields: Mapping[str, Setting]) -> TokenKey:
    return TokenKey(
        name,
        str(fields.get("node", "")),
        int(fields.get("created") or 0) / 1000,
        base64.b64decode(str(fields.get("public", ""))),
        str(fields.get("private", "")),
    )


def _verifier(public: bytes) -> Callable[[bytes, bytes], bool]:
    key = Ed25519PublicKey.from_public_bytes(public)

    def verify(message: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return verify
