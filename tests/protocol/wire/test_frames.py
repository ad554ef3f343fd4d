"""Frames become messages, however they are cut; what no correct peer sends ends the session."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.auth.names import Account, NodeId, NodeName, Region, RegistryName
from protocol.errors import PeerFault
from protocol.wire.descriptor import SignedDescriptor
from protocol.wire.frames import FrameReader, Pace, frame
from protocol.wire.messages import (
    BOUNDS,
    MAX_DESCRIPTORS,
    MAX_FRAME,
    STALL,
    UNKNOWN,
    Bye,
    Descriptors,
    Hello,
    Message,
    Open,
    Ping,
    Pong,
)

NAME = NodeName(RegistryName(Account("111111111111"), Region("eu-west-1")), NodeId("a" * 16))
MESSAGES: list[Message] = [
    Hello(1, 1, NAME, b"i" * 16, b"b" * 8, 5, ("tag",), (), "entrepot"),
    Ping(1),
    Pong(2**63 - 1),
    Open(b"o" * 16, True),
    Descriptors((SignedDescriptor(b"d" * 2000, b"s" * 64, b"c" * 900),) * MAX_DESCRIPTORS),
    Bye("enough"),
]


def packed(value: object) -> bytes:
    data = msgspec.msgpack.encode(value)
    return len(data).to_bytes(4, "big") + data


@given(cuts=st.lists(st.integers(0, 70_000), max_size=10))
def test_messages_come_back_however_the_bytes_are_cut(cuts: list[int]) -> None:
    reader, data = FrameReader(now=0), b"".join(map(frame, MESSAGES))
    found: list[Message] = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        found += reader.receive(data[begin:end], now=0)
    assert found == MESSAGES


def test_what_a_later_version_adds_is_skipped() -> None:
    reader = FrameReader(now=0)
    later = packed({"k": "weather", "sun": True}) + packed({"k": "ping", "n": 7, "ttl": [1, {"a": 2}]})
    assert reader.receive(later, now=0) == [Ping(7)]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xff\xff\xff", "4 GiB announced"),
        ((MAX_FRAME + 1).to_bytes(4, "big"), "one byte too long"),
        (b"\0\0\0\0", "an empty frame"),
        (packed([1, 2]), "no map"),
        (packed({"n": 1}), "no kind"),
        (packed({"k": 5}), "a kind that is no text"),
        (packed({"k": "ping"}), "a ping without its number"),
        (packed({"k": "ping", "n": "1"}), "a number that is none"),
        (packed({"k": "ping", "n": -1}), "negative"),
        (packed({"k": "ping", "n": 2**64 - 1}), "too large"),
        (packed({"k": "ping", "n": 1, "x": "y" * 64}), "larger than its kind may be"),
        (packed({"k": "open", "id": b"short"}), "an id of another length"),
        (packed({"k": "bye", "reason": "x" * 257}), "a reason that is too long"),
        (packed({"k": "nodes", "nodes": [[b"", b"s" * 64, b""]] * 17}), "too many descriptors"),
        (packed({"k": "hello", "low": 0}), "version 0"),
        (b"\0\0\xff\x00" + b"\x82\xa1k\xa4ping\xa1x" + b"\x91" * 65_271, "nested 65 000 deep"),
        (b"\0\0\0\x05\xdd\xff\xff\xff\xff", "an array of 4 G that is not there"),
    ],
)
def test_is_a_fault(data: bytes, why: str) -> None:
    with pytest.raises(PeerFault):
        FrameReader(now=0).receive(data, now=0)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_messages_or_a_fault(data: bytes) -> None:
    with suppress(PeerFault):
        FrameReader(now=0).receive(len(data).to_bytes(4, "big") + data, now=0)


@pytest.mark.parametrize(
    ("data", "most"),
    [
        (frame(Ping(1)), BOUNDS[Ping].burst + BOUNDS[Ping].rate * STALL),
        (frame(MESSAGES[0]), 1),
        (packed({"k": "weather"}), UNKNOWN.burst + UNKNOWN.rate * STALL),
    ],
)
def test_more_than_its_kind_may_come_is_a_fault(data: bytes, most: float) -> None:
    reader = FrameReader(now=0)
    for _ in range(int(most)):
        reader.receive(data, now=0)
    with pytest.raises(PeerFault, match="too many"):
        reader.receive(data, now=0)


@given(seconds=st.lists(st.floats(0, 20), max_size=50), stall=st.floats(0, STALL))
def test_who_keeps_the_pace_is_never_cut_even_after_a_stall(seconds: list[float], stall: float) -> None:
    """All that was sent in *stall* seconds arrives at once."""
    pace, sent, now = Pace(now=0), list[float](), 0.0
    for pause in seconds:
        for _ in range(12):
            now += pace.delay(Ping(1), now=now)
            sent.append(now)
        now += pause
    reader, begin = FrameReader(now=0), 0.0
    for at in sent:
        if at > begin + stall:
            begin = at
        reader.receive(frame(Ping(1)), now=begin + stall)


def test_a_message_that_is_too_large_is_our_own_bug() -> None:
    with pytest.raises(ValueError, match="Bye"):
        frame(Bye("x" * 2_000))
