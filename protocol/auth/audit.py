"""The audit: who did what, each entry bound to the one before it, so that none can be changed or left out unseen.

    hash of an entry = BLAKE3("entrepot-audit-v1" || its bytes), and its bytes hold the hash of the entry before

A *checkpoint* is the number and hash of an entry, signed by the node. Who has one, wherever he keeps it, can tell
whether what lies before it is what it was then: by itself the chain shows what was changed by who could not write the
rest anew, with a checkpoint kept elsewhere also what the owner of the node changed.

Entries are hashed as they are stored; nothing is encoded again.
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
from blake3 import blake3

FIRST = bytes(32)
"""What the first entry has for the hash of the one before it."""
OK = "ok"
"""The result of what was done; else the error as ECR calls it."""

_DOMAIN = b"entrepot-audit-v1"
_CHECKPOINT = b"entrepot-audit-checkpoint-v1"
_encode = msgspec.msgpack.Encoder().encode

Place: TypeAlias = tuple[int, bytes]
"""Number and hash of an entry."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One thing that was done or refused, or several alike."""

    seq: int  # From 1, without gaps.
    hlc: int  # When: the node's hybrid clock.
    who: str  # ARN; ``*``: nobody is known.
    source: str  # Address of the client, or name of a node; empty for a command on the node's own machine.
    action: str  # As in ``ecr:PutImage``.
    resource: str  # Name of a repository, or what the action says; empty for the registry.
    result: str  # ``OK`` or the error.
    request: str  # Id of the (first) request, as in the access log.
    prev: bytes  # Hash of the entry before.
    count: int = 1  # How many alike.
    what: tuple[str, ...] = ()  # What was changed: digests, ``:tag``, ``group/name`` of a register.
    record: int = 0  # The journal's record of the change, by its number; 0: none.


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """That the chain of a node was so far, and its end this."""

    registry: str  # account/region
    node: str
    incarnation: bytes
    seq: int
    hash: bytes
    hlc: int
    signature: bytes = b""


def encode_entry(entry: Entry) -> bytes:
    """Return the bytes that are stored and hashed."""
    return _encode(entry)


read_entry = msgspec.msgpack.Decoder(Entry).decode
"""Return the entry that bytes are; ``msgspec.DecodeError`` where they are none."""


def entry_hash(data: bytes) -> bytes:
    """Return the hash by which the next entry names this one."""
    return blake3(_DOMAIN + data).digest()


def checkpoint_message(checkpoint: Checkpoint) -> bytes:
    """Return what the node signs."""
    return _CHECKPOINT + _encode(msgspec.structs.replace(checkpoint, signature=b""))


class Chain:
    """Follows entries in their order and tells what does not fit."""

    def __init__(self, place: Place | None, tell: Callable[[int, str], None]) -> None:
        """Go on after *place*, which is trusted; ``None``: take the first entry as it is. ``tell(seq, what)``."""
        self.place = place
        """The last entry that was looked at."""
        self._tell = tell

    def add(self, seq: int, data: bytes | None) -> Entry | None:
        """Look at the next entry, ``None`` where it cannot be read; its key says that it is the *seq*-th."""
        if self.place is not None and seq != self.place[0] + 1:
            self._tell(self.place[0] + 1, f"is missing; the next one is {seq}")
            self.place = None
        if data is None:
            self._tell(seq, "cannot be read")
            self.place = None
            return None
        try:
            entry = read_entry(data)
        except (msgspec.DecodeError, UnicodeError):
            self._tell(seq, "is none")
            self.place = None
            return None
        if entry.seq != seq:
            self._tell(seq, f"says that it is entry {entry.seq}")
        if self.place is not None and entry.prev != self.place[1]:
            self._tell(seq, "does not follow the entry before it: one of them was changed")
        self.place = seq, entry_hash(data)
        return entry
