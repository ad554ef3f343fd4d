"""What two hellos agree on, and which of two sessions stays.

Both sides work these out alone from what both know, and come to the same answer.

Source: peers.md 3.
"""

import msgspec

from protocol.auth.names import NodeId, NodeName
from protocol.errors import PeerFault
from protocol.wire.messages import Hello


class Agreement(msgspec.Struct, frozen=True):
    """How a session goes on after its hellos."""

    version: int  # The highest that both speak.
    kinds: frozenset[str]  # Entry kinds that both can merge.
    topics: frozenset[str]  # What both want to hear about.
    ahead_ms: int  # How far the peer's clock is ahead of ours, not counting the way.


class Standing(msgspec.Struct, frozen=True):
    """What decides between two sessions with one peer."""

    dialled_by_us: bool
    boot: bytes  # The peer's, from its hello.


def agree(ours: Hello, theirs: Hello, *, certified: NodeName) -> Agreement:
    """Return what both sides can do, or raise ``PeerFault``.

    *certified* is the name in the peer's certificate, which its hello must repeat.
    """
    if theirs.name != certified:
        raise PeerFault(f"{certified} says that it is {theirs.name}")
    if theirs.name == ours.name:
        raise PeerFault("it has our own name")
    version = min(ours.high, theirs.high)
    if version < max(ours.low, theirs.low):
        raise PeerFault(
            f"{certified} speaks versions {theirs.low} to {theirs.high}, we {ours.low} to {ours.high}: none in common"
        )
    return Agreement(
        version,
        frozenset(ours.kinds) & frozenset(theirs.kinds),
        frozenset(ours.topics) & frozenset(theirs.topics),
        theirs.clock - ours.clock,
    )


def newer_stays(old: Standing, new: Standing, *, ours: NodeId, theirs: NodeId) -> bool:
    """Whether, of two sessions with one peer, the one that came later is kept.

    A peer that started anew has no use for the old one. Of two dialled by one side the newer stays, of two dialled
    by different sides the one dialled by the lower node id.
    """
    if old.boot != new.boot or old.dialled_by_us == new.dialled_by_us:
        return True
    return new.dialled_by_us == (ours < theirs)
