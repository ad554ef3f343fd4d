"""The keys that seal what lies on this node's disk, and how they hang together.

    identity/master.key  wraps  master keys of KMS keys, and keys of repositories that are encrypted as AES256
    a KMS key            wraps  keys of repositories that are encrypted as KMS and KMS_DSSE under it
    a repository's key   wraps  data keys of the copies that it sees, in the table ``data-keys``
    a data key           seals  one copy of a blob

All but the last two lie in files that can be destroyed (``store.keyfiles``). They are keys of this node: a record says
which KMS keys there are and what may be done with them, and never carries one, so what is destroyed here is gone.

Keys are kept in memory once they were opened. Nothing here asks who may use them: see ``sealing``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from blake3 import blake3

from node.store.keyfiles import KeyFiles, WrappedKey
from protocol.auth.envelope import NONCE, seal, subkey, unseal
from protocol.errors import Damaged

_SIZE = 32  # Bytes of a key.
_VERSION = 1
_LABEL = "keys at rest"
REPOSITORY, KMS = "repository-", "kms-"
"""What the names of files begin with: ``repository-ID``, ``kms-ID-VERSION``."""


@dataclass(frozen=True, slots=True)
class Masters:
    """How the node keeps its master keys; ``node.daemon`` knows. Both block."""

    begin: Callable[[], tuple[bytes, bytes]]
    """Draw a new one and put it in force; return it and the old one. ``NotReady``: the last rotation has not ended."""
    end: Callable[[], None]
    """Destroy the old one."""


class Keyring:
    """Makes, opens, wraps anew and destroys keys. Every method blocks, and may be called on any thread."""

    def __init__(self, files: KeyFiles, masters: Sequence[bytes], random: Callable[[int], bytes]) -> None:
        """Take the master keys, the one in force first: others open what is not wrapped anew yet."""
        self.files = files
        self._random = random
        self._opened: dict[str, bytes] = {}
        self._under: dict[str, str] = {}
        self._masters: dict[str, bytes] = {}
        self.set_masters(masters)

    def set_masters(self, masters: Sequence[bytes]) -> None:
        """Wrap under the first of *masters* from now on."""
        keys = [subkey(master, _LABEL) for master in masters]
        self._masters = {f"master-{blake3(key).hexdigest(length=8)}": key for key in keys}

    @property
    def master(self) -> str:
        """The name of the master key in force."""
        return next(iter(self._masters))

    def make(self, name: str, under: str) -> bytes:
        """Draw a key, keep it wrapped under the key *under*, and return it; durable when this returns.

        Raises:
            StoreReadOnly: the disk does not take it.
            Damaged: there is no key *under*.
        """
        key = self._random(_SIZE)
        self._put(name, key, under)
        self._opened[name] = key
        return key

    def key(self, name: str) -> bytes:
        """Return a key.

        Raises:
            Damaged: it is not here, or cannot be opened: by another master key, where that is the reason.
        """
        if name in self._masters:
            return self._masters[name]
        key = self._opened.get(name)
        if key is None:
            found = self.files.get(name)
            if found is None:
                raise Damaged(f"the key {name} is not here")
            key = self._opened[name] = unseal(self.key(found.under), found.wrapped, name.encode())
        return key

    def has(self, name: str) -> bool:
        """Whether there is a key of this name."""
        return name in self._opened or self.files.get(name) is not None

    def under(self, name: str) -> str:
        """Return the name of the key under which another one is wrapped; nothing where that is not here."""
        if name not in self._under:
            found = self.files.get(name)
            if found is None:
                return ""
            self._under[name] = found.under
        return self._under[name]

    def kms_of(self, name: str) -> str:
        """Return the id of the KMS key under which a repository's key is wrapped; nothing where it is under none."""
        under = self.under(name)
        return under.removeprefix(KMS).rpartition("-")[0] if under.startswith(KMS) else ""

    def wrapped_under(self, prefix: str) -> dict[str, str]:
        """Return the names of the keys that are wrapped under one whose name begins so, with that name."""
        found = {name: self.under(name) for name in self.files.names()}
        return {name: under for name, under in found.items() if under.startswith(prefix)}

    @property
    def has_older_masters(self) -> bool:
        """Whether a master key is known that is not in force any more."""
        return len(self._masters) > 1

    def drop_older_masters(self) -> None:
        """Forget them: nothing is wrapped under them."""
        self._masters = {self.master: self._masters[self.master]}

    def forget(self) -> None:
        """Open everything anew when it is asked for next: a key that others are under was destroyed."""
        self._opened.clear()
        self._under.clear()

    def wrap_anew(self, name: str, under: str) -> bool:
        """Wrap a key under *under*, if it is wrapped under another one; whether it was. Raises as ``make``."""
        if self.under(name) == under:
            return False
        self._put(name, self.key(name), under)
        return True

    def destroy(self, name: str) -> None:
        """Overwrite a key: what it wraps can be read by nobody from now on. ``StoreReadOnly``: try again."""
        self._opened.pop(name, None)
        self._under.pop(name, None)
        self.files.destroy(name)

    def _put(self, name: str, key: bytes, under: str) -> None:
        wrapped = seal(self.key(under), key, name.encode(), self._random(NONCE))
        self.files.put(name, WrappedKey(_VERSION, under, wrapped))
        self._under[name] = under


def repository_key_name(id_: bytes) -> str:
    """Return the name of a repository's key."""
    return REPOSITORY + id_.hex()


def kms_key_name(id_: str, version: int) -> str:
    """Return the name of a version of a KMS key."""
    return f"{KMS}{id_}-{version}"
