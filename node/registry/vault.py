"""The registry's key, for what nobody may read who has the disk alone.

Every node of a registry has the same key (``identity/registry.key``, sealed under the node's master key), so what is
sealed here may lie in records and opens at each replica. Each purpose, named by a label, has a key of its own that
tells nothing about the others.
"""

from collections.abc import Callable

from protocol.auth.envelope import NONCE, seal, subkey, unseal


class Vault:
    """Seals and unseals; never shows its key."""

    def __init__(self, key: bytes, random: Callable[[int], bytes]) -> None:
        """Take the 32 bytes of *key*; *random* draws nonces."""
        self._key = key
        self._random = random
        self._subkeys: dict[str, bytes] = {}

    def derive(self, label: str) -> bytes:
        """Return the 32 bytes for the purpose *label*, the same at each node of the registry."""
        if label not in self._subkeys:
            self._subkeys[label] = subkey(self._key, label)
        return self._subkeys[label]

    def seal(self, label: str, secret: bytes, place: str) -> bytes:
        """Return *secret* sealed for *place*, such as the name of its register; moved elsewhere it does not open."""
        return seal(self.derive(label), secret, place.encode(), self._random(NONCE))

    def unseal(self, label: str, sealed: bytes, place: str) -> bytes:
        """Return the secret; ``Damaged`` where it was sealed for another place or label, or was changed."""
        return unseal(self.derive(label), sealed, place.encode())
