"""The guard stops what h2 would do for ever, and nothing that a client does on a normal day."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.http.frameguard import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    PREFACE,
    Breach,
    FrameGuard,
    Opened,
    Payload,
)
from node.http.limits import Limits

DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, WINDOW, CONTINUATION, UNKNOWN = 0, 1, 2, 3, 4, 6, 8, 9, 0x77
END_STREAM, END_HEADERS, PADDED, PRIORITIZED = 1, 4, 8, 0x20


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


HOSTILE = [
    (frame(DATA, length=2**24 - 1), FRAME_SIZE_ERROR, "a frame of 16 MiB, before any of it came"),
    (frame(HEADERS, length=16_385), FRAME_SIZE_ERROR, "one byte more than allowed"),
    (frame(HEADERS) + frame(CONTINUATION) * 5, ENHANCE_YOUR_CALM, "five continuations"),
    (frame(HEADERS, bytes(16_384)) + frame(CONTINUATION, bytes(16_384)) + frame(CONTINUATION, b"x"), ENHANCE_YOUR_CALM,
     "a block of more than 32 KiB"),
    (frame(HEADERS, b"\x20\x21\x22\x82", END_HEADERS), COMPRESSION_ERROR, "three table size updates"),
    (frame(HEADERS, b"\x3f\xe1\x1f" * 3, END_HEADERS), COMPRESSION_ERROR, "three long ones"),
    (frame(HEADERS) + frame(CONTINUATION, b"\x20" * 99, END_HEADERS), COMPRESSION_ERROR, "in a continuation"),
    (frame(HEADERS, b"\0" + bytes(5) + b"\x20" * 9, END_HEADERS | PADDED | PRIORITIZED), COMPRESSION_ERROR, "padded"),
    (frame(PING, bytes(8)) * 201, ENHANCE_YOUR_CALM, "pings"),
    (frame(PRIORITY, bytes(5)) * 201, ENHANCE_YOUR_CALM, "priorities"),
    (frame(UNKNOWN, b"x") * 201, ENHANCE_YOUR_CALM, "unknown frames"),
    (frame(WINDOW, b"\0\0\0\1") * 201, ENHANCE_YOUR_CALM, "window updates without a body"),
    (frame(SETTINGS, bytes(6)) * 41, ENHANCE_YOUR_CALM, "settings"),
    (frame(DATA) * 21, ENHANCE_YOUR_CALM, "empty data"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "code", "why"), HOSTILE)
@pytest.mark.parametrize("step", [1, 7, 2**20])
def test_is_stopped(data: bytes, code: int, why: str, step: int) -> None:
    guard = FrameGuard(Limits())
    stream = PREFACE + data
    with pytest.raises(Breach) as caught:  # noqa: PT012 - it is the bytes together that do it.
        for at in range(0, len(stream), step):
            list(guard.split(stream[at : at + step], now=0))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (frame(HEADERS, b"\x82" * 16_384) + frame(CONTINUATION, b"\x82" * 16_384, END_HEADERS), "a long block"),
        (frame(HEADERS, b"\x20\x3f\xe1\x1f\x82\x20", END_HEADERS), "two table size updates"),
        (frame(HEADERS, b"\x82" + b"\x20" * 9, END_HEADERS), "bytes that look like updates"),
        (frame(PING, bytes(8)) * 200, "some pings"),
        (frame(DATA, b"x") * 10_000, "a body"),
        (frame(DATA, flags=END_STREAM) * 1000, "the ends of bodies"),
        (frame(SETTINGS, flags=1) * 200, "acknowledgements"),
    ],
)
def test_goes_through(data: bytes, why: str) -> None:
    list(FrameGuard(Limits()).split(PREFACE + data, now=0))


def test_what_was_sent_explains_window_updates() -> None:
    guard = FrameGuard(Limits())
    list(guard.split(PREFACE, now=0))
    for _ in range(100):
        guard.sent(1024 * 1024)
        list(guard.split(frame(WINDOW, b"\0\0\0\1") * 512, now=0))


def test_the_allowance_comes_back() -> None:
    guard = FrameGuard(Limits())
    list(guard.split(PREFACE + frame(PING, bytes(8)) * 200, now=0))
    list(guard.split(frame(PING, bytes(8)) * 20, now=1))
    with pytest.raises(Breach):
        list(guard.split(frame(PING, bytes(8)), now=1))


def test_an_open_block_is_known() -> None:
    guard = FrameGuard(Limits())
    list(guard.split(PREFACE + frame(HEADERS, b"\x82"), now=0))
    assert guard.block_open
    list(guard.split(frame(CONTINUATION, b"\x84", END_HEADERS), now=0))
    assert not guard.block_open


@given(
    frames=st.lists(
        st.builds(frame, st.integers(0, 10), st.binary(max_size=40), st.integers(0, 255), st.just(1),
                  st.none() | st.integers(0, 20_000)),
        max_size=30,
    ),
    cuts=st.lists(st.integers(0, 500)),
)  # fmt: skip
def test_where_reads_are_cut_changes_nothing(frames: list[bytes], cuts: list[int]) -> None:
    stream = PREFACE + b"".join(frames)
    verdicts = []
    for edges in ([0, len(stream)], sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})):
        guard, verdict = FrameGuard(Limits()), 0
        try:
            for begin, end in pairwise(edges):
                list(guard.split(stream[begin:end], now=0))
        except Breach as breach:
            verdict = breach.code
        verdicts.append((verdict, verdict or guard.block_open))
    assert verdicts[0] == verdicts[1]


@given(
    bodies=st.lists(
        st.tuples(st.sampled_from([1, 3]), st.binary(max_size=60), st.none() | st.integers(0, 30)), max_size=12
    ),
    cuts=st.lists(st.integers(0, 900)),
)
def test_bodies_are_taken_out_whole(bodies: list[tuple[int, bytes, int | None]], cuts: list[int]) -> None:
    others = [frame(HEADERS, b"\x82", END_HEADERS, 1), frame(RST, bytes(4), 0, 5), frame(DATA, b"closed", 0, 7)]
    stream, expected, flow = PREFACE, {1: b"", 3: b""}, 0
    for number, (stream_id, body, pad) in enumerate(bodies):
        padded = body if pad is None else bytes([pad]) + body + bytes(pad)
        stream += others[number % 3]
        if padded:
            stream += frame(DATA, padded, 0 if pad is None else PADDED, stream_id)
        expected[stream_id] += body
        flow += len(padded)
    rest, found = b"", {1: b"", 3: b""}
    guard = FrameGuard(Limits())
    guard.streams |= {1, 3}
    for begin, end in pairwise(sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})):
        for part in guard.split(stream[begin:end], now=0):
            if isinstance(part, bytes):
                rest += part
            else:
                assert isinstance(part, Payload)
                found[part.stream_id] += part.data
                flow -= part.flow
    assert found == expected
    assert rest == PREFACE + b"".join(others[number % 3] for number in range(len(bodies)))
    assert flow == 0


def test_padding_longer_than_its_frame() -> None:
    guard = FrameGuard(Limits())
    guard.streams.add(1)
    with pytest.raises(Breach):
        list(guard.split(PREFACE + frame(DATA, b"\x05abc", PADDED), now=0))


def test_window_updates_are_added_up_unless_h2_has_to_judge() -> None:
    def update(stream: int, size: int) -> bytes:
        return frame(WINDOW, size.to_bytes(4, "big"), 0, stream)

    ping, zero, huge = frame(PING, bytes(8), 0, 0), update(1, 0), update(1, 2**31 - 1)
    data = ping + update(0, 5) + update(1, 6) + update(0, 7) + zero + ping + update(1, 1) + huge
    parts = list(FrameGuard(Limits()).split(PREFACE + data, now=0))
    assert parts == [PREFACE + ping, Opened(0, 12), Opened(1, 6), zero + ping, Opened(1, 1), Opened(1, 2**31 - 1)]
