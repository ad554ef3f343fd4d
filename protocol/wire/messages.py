"""The kinds of frame on a control stream.

Each is a msgpack map; ``k`` tells the kind. Keys are one or a few letters because they travel often. A key that
is not known is skipped, a missing one takes its default, so a field can be added without a new version.
"""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import msgspec

from protocol.auth.names import NodeName
from protocol.wire.descriptor import SignedDescriptor

MIN_VERSION = 1
MAX_VERSION = 1
"""The range of protocol versions that this code speaks."""

MAX_FRAME = 65_536  # Bytes of one frame, without its length.
MAX_DESCRIPTORS = 16  # In one frame: each has at most 3 KiB.
CALL_ID_SIZE = 16  # Bytes, random.

_Label: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
_Labels: TypeAlias = Annotated[tuple[_Label, ...], msgspec.Meta(max_length=64)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Hello(msgspec.Struct, frozen=True, tag_field="k", tag="hello", omit_defaults=True):
    """The first frame from each side, and sent once."""

    low: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    """The oldest protocol version that the sender speaks, and with *high* the newest."""
    high: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    name: NodeName
    incarnation: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    boot: Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
    """Drawn when the process started: another one means that older sessions are dead."""
    clock: _Count
    """Wall time of the sender, milliseconds since 1970."""
    kinds: _Labels = ()
    """The kinds of journal entry that the sender can merge."""
    topics: _Labels = ()
    """What the sender wants to hear about."""
    software: _Label = ""


class Ping(msgspec.Struct, frozen=True, tag_field="k", tag="ping"):
    """Answer with a ``Pong`` of the same number."""

    n: _Count


class Pong(msgspec.Struct, frozen=True, tag_field="k", tag="pong"):
    """The answer to a ``Ping``."""

    n: _Count


class Open(msgspec.Struct, frozen=True, tag_field="k", tag="open", omit_defaults=True):
    """From the listener: come and fetch a request of mine at ``/call/id``."""

    id: Annotated[bytes, msgspec.Meta(min_length=CALL_ID_SIZE, max_length=CALL_ID_SIZE)]
    bulk: bool = False
    """Fetch it over a bulk connection: the answer is large."""


class Descriptors(msgspec.Struct, frozen=True, tag_field="k", tag="nodes"):
    """Nodes that the sender knows of."""

    nodes: Annotated[tuple[SignedDescriptor, ...], msgspec.Meta(max_length=MAX_DESCRIPTORS)]


class Bye(msgspec.Struct, frozen=True, tag_field="k", tag="bye", omit_defaults=True):
    """The sender asks for nothing new; the session ends when what is under way has ended."""

    reason: Annotated[str, msgspec.Meta(max_length=256)]
    fault: bool = False
    """The receiver broke the protocol: the sender has cut the session."""


Message: TypeAlias = Hello | Ping | Pong | Open | Descriptors | Bye


@dataclass(frozen=True, slots=True)
class Bound:
    """What one kind of frame may cost the other side."""

    size: int  # Bytes of the frame.
    rate: float  # Frames per second, in the long run.
    burst: int  # Frames at once.


STALL = 30.0
"""Seconds. A stalled link delivers at once what was sent in turn, so a receiver allows that much more at once."""

BOUNDS: dict[type[Message], Bound] = {
    Hello: Bound(8192, 0, 1),
    Ping: Bound(64, 1, 8),
    Pong: Bound(64, 1, 8),
    Open: Bound(64, 1000, 1000),
    Descriptors: Bound(MAX_FRAME, 4, 128),
    Bye: Bound(1024, 0, 2),
}
UNKNOWN = Bound(MAX_FRAME, 10, 100)
"""For kinds of a later version: they are skipped, but not for nothing."""
