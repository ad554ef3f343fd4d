"""Reads HTTP/2 frame headers before h2 does, counts what costs us for nothing, and takes the bodies out.

h2 is right about the protocol and has no limits: it buffers a frame that announces 16 MiB before it refuses it, spends
a second on a megabyte of table size updates, and answers any number of PINGs. Here nine bytes of each frame are
looked at, and those of a header block's beginning: a step costs a microsecond. Frames that carry neither a request
nor body bytes are paid from an allowance; a WINDOW_UPDATE is free as far as bytes that we sent explain it.

The payload of DATA and whole WINDOW_UPDATEs go past h2, whose bookkeeping for a frame takes longer than decryption
(measured: 110 us for 16 KiB); so the windows that limit what clients send are kept by the connection.

A GOAWAY of the client goes nowhere: it says that we may open no more streams, which we never do. h2 takes it for the
end of the connection, and would refuse to answer what is in flight, which Go's ``ClientConn.Shutdown`` waits for.

Source: RFC 9113, 4.1, 6, 6.8 and 10.5; RFC 7541, 6.3 (table size updates).
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from node.http.limits import Allowance, Limits

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113, 3.4
FRAME_SIZE: Final = 16_384  # What we let clients send; the protocol's own default.

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0x0, 0x1, 0x2, 0x3
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x6, 0x7, 0x8, 0x9, 0xB

_DATA, _HEADERS, _SETTINGS, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0x0, 0x1, 0x4, 0x7, 0x8, 0x9
MAX_WINDOW: Final = 2**31 - 1
_UPDATE = b"\x00\x00\x04\x08\x00"
_TWO_NUMBERS = Struct("!II")
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_MAX_UPDATES = 2  # Table size updates in one block: RFC 7541, 4.2 has use for no more.
_BEGINNING = 32  # Bytes of a block that are kept: two updates of any sane length and the byte behind them.
_EMPTY_DATA_COST, _SETTINGS_COST = 10, 5
AT_ONCE = 32  # Frames that go to h2 at once, at most: each takes up to 50 us.
_COPIED = 4096  # Bytes; a shorter part of a read is copied out of it.
_EXPLAINED = 4096  # WINDOW_UPDATEs that sent bytes explain, at most: a client acknowledges 4 KiB at a time and lags.


class Breach(Exception):
    """The connection has to end with a GOAWAY of *code*."""

    def __init__(self, code: int, limit: str) -> None:
        super().__init__(limit)
        self.code = code
        self.limit = limit  # Name under which it is counted.


class Payload(NamedTuple):
    """Bytes of a body, as far as one read had them."""

    stream_id: int
    data: memoryview
    flow: int  # What they cost of the windows: with padding.
    ends: bool  # Whether they are the last of the body.


class Opened(NamedTuple):
    """WINDOW_UPDATEs, added up. Go's client sends two for every 8 KiB, each of which costs h2 25 us."""

    stream_id: int
    size: int


class FrameGuard:
    """Sees every byte of the connection first; ``split`` says who gets it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._idle = Allowance(limits.idle_frames, limits.idle_frames_per_second)
        self._explained = 0.0
        self._preface = len(PREFACE)  # Bytes of it still to come; h2 checks what they are.
        self._header = bytearray()
        self._left = 0  # Payload bytes of the current frame still to come.
        self._in_block = False  # Within HEADERS or CONTINUATION.
        self._block = 0  # Bytes of the current header block so far.
        self._continuations = 0
        self._flags = 0
        self._head = bytearray()  # The first bytes of the current HEADERS frame's payload and what continues it.
        self._taken = 0  # The stream whose payload is being taken out.
        self._is_dropped = False  # The current frame is for nobody.
        self._pad_due = False  # The next payload byte is the length of the padding.
        self._pad = 0
        self._flags_of_data = 0
        self.streams: set[int] = set()
        """Streams whose DATA is taken out; the caller keeps this, between one part of ``split`` and the next."""
        self.block_open = False
        """Whether a header block has begun and not ended: it has to end soon."""

    def sent(self, count: int) -> None:
        """Note that *count* bytes of body went to the client, which it will acknowledge."""
        self._explained = min(_EXPLAINED, self._explained + count / 1024)

    def split(self, data: bytes, *, now: float) -> Iterator[bytes | Payload | Opened]:  # noqa: C901, PLR0912 - one loop.
        """Yield *data* in parts: bytes for h2, and payload for those streams that are open when it begins.

        A part has to be dealt with before the next one is asked for. ``Breach``: the rest must not be looked at.
        """
        at, size, begin = min(self._preface, len(data)), len(data), 0  # *begin*: of what h2 has still to get.
        frames = 0  # Of these.
        self._preface -= at
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                if self._taken:
                    yield self._payload(data, at, step)
                    begin = at + step
                elif self._is_dropped:
                    begin = at + step
                elif self._in_block and len(self._head) < _BEGINNING:
                    self._head += data[at : at + min(step, _BEGINNING)]
                at += step
            elif not self._header and not self.block_open and (sums := self._updates(data, at, now))[0]:
                if begin < at:
                    yield data[begin:at]
                begin = at = sums[1]
                for stream_id, increment in sums[0].items():
                    yield Opened(stream_id, increment)
            else:
                was_cut, header_at = bool(self._header), at
                at = min(at + 9 - len(self._header), size)
                self._header += data[header_at:at]
                is_whole = len(self._header) == 9
                if is_whole:
                    self._frame(now)
                frames += 1
                if begin < header_at and (not is_whole or self._header[3] in (_DATA, _GOAWAY) or frames > AT_ONCE):
                    yield data[begin:header_at]  # It may open the stream that the DATA is for.
                    begin, frames = header_at, 0
                if not is_whole:
                    return  # Kept for the next read, when it is clear who gets it.
                if self._drops():
                    begin = at
                elif self._takes():
                    begin = at
                    if not self._left:
                        yield self._payload(data, at, 0)
                elif was_cut:
                    yield bytes(self._header)
                    begin = at
                self._header.clear()
            if self._in_block and not self._left:
                self._block_part_ended()
        if begin < size:
            yield data[begin:]

    def _stream_id(self) -> int:
        return int.from_bytes(self._header[5:], "big") & 0x7FFFFFFF

    def _updates(self, data: bytes, at: int, now: float) -> tuple[dict[int, int], int]:
        """Add up the WINDOW_UPDATEs at *at*; return the sum for each stream, and where they end.

        What is not plain, such as an increment of 0, ends them, and is left to h2.
        """
        sums: dict[int, int] = {}
        begin = at
        while data.startswith(_UPDATE, at) and at + 13 <= len(data):
            stream_id, size = _TWO_NUMBERS.unpack_from(data, at + 5)
            total = sums.get(stream_id, 0) + size
            if not size or total > MAX_WINDOW or stream_id > MAX_WINDOW:
                break
            sums[stream_id] = total
            at += 13
        count = (at - begin) // 13
        explained = min(count, int(self._explained))
        self._explained -= explained
        if count > explained and not self._idle.spend(count - explained, now=now):
            raise Breach(ENHANCE_YOUR_CALM, "idle_frames")
        return sums, at

    def _drops(self) -> bool:
        """Whether the frame is a GOAWAY as it has to be; one that is wrong is left to h2."""
        is_right = self._header[3] == _GOAWAY and not self._stream_id() and self._left >= 8 and not self.block_open
        self._is_dropped = is_right
        self._taken = 0
        return is_right

    def _takes(self) -> bool:
        stream_id = self._stream_id()
        is_taken = self._header[3] == _DATA and stream_id in self.streams and not self.block_open
        self._taken = stream_id if is_taken else 0
        self._flags_of_data = self._header[4]
        self._pad_due, self._pad = bool(self._header[4] & _PADDED), 0
        return bool(self._taken)

    def _payload(self, data: bytes, at: int, step: int) -> Payload:
        """Return the part of the taken frame that *step* bytes at *at* are; ``_left`` is what follows them."""
        end = at + step
        if self._pad_due:
            if not step:
                raise Breach(FRAME_SIZE_ERROR, "protocol")
            self._pad_due, self._pad = False, data[at]
            at += 1
            if self._pad > end - at + self._left:
                raise Breach(PROTOCOL_ERROR, "protocol")
        padding = max(0, self._pad - self._left)
        view = memoryview(data)[at : max(at, end - padding)]
        if len(view) < _COPIED:
            view = memoryview(bytes(view))  # Or a byte would keep all that was read with it.
        return Payload(self._taken, view, step, not self._left and bool(self._flags_of_data & _END_STREAM))

    def _frame(self, now: float) -> None:
        header = self._header
        length, kind, flags = int.from_bytes(header[:3], "big"), header[3], header[4]
        if length > FRAME_SIZE:
            raise Breach(FRAME_SIZE_ERROR, "frame_size")
        self._left = length
        self._in_block = kind in (_HEADERS, _CONTINUATION)
        if kind == _HEADERS:
            self._block, self._continuations, self._flags = 0, 0, flags
            self._head.clear()
        elif kind == _CONTINUATION:
            self._continuations += 1
        elif (cost := self._cost(kind, flags, length)) and not self._idle.spend(cost, now=now):
            raise Breach(ENHANCE_YOUR_CALM, "idle_frames")
        if self._in_block:
            self._block += length
            self.block_open = not flags & _END_HEADERS
            if self._block > self._limits.header_block or self._continuations > self._limits.continuations:
                raise Breach(ENHANCE_YOUR_CALM, "header_block")

    def _cost(self, kind: int, flags: int, length: int) -> float:
        if kind == _DATA:
            return 0 if length or flags & _END_STREAM else _EMPTY_DATA_COST
        if kind == _WINDOW_UPDATE and self._explained >= 1:
            self._explained -= 1
            return 0
        return _SETTINGS_COST if kind == _SETTINGS and not flags & _ACK else 1

    def _block_part_ended(self) -> None:
        self._in_block = False
        if self.block_open:
            return
        at = (1 if self._flags & _PADDED else 0) + (5 if self._flags & _PRIORITY else 0)
        updates = 0
        while at < len(self._head) and self._head[at] & 0xE0 == 0x20:
            updates += 1
            long = self._head[at] & 0x1F == 0x1F
            at += 1
            while long and at < len(self._head):
                long = bool(self._head[at] & 0x80)
                at += 1
        if updates > _MAX_UPDATES:
            raise Breach(COMPRESSION_ERROR, "table_size_updates")


def goaway(last_stream: int, code: int) -> bytes:
    """Return a GOAWAY frame: no stream after *last_stream* is or will be looked at."""
    return b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + last_stream.to_bytes(4, "big") + code.to_bytes(4, "big")


def window_update(stream_id: int, size: int) -> bytes:
    """Return a WINDOW_UPDATE frame; stream 0 is the connection."""
    return _UPDATE + stream_id.to_bytes(4, "big") + size.to_bytes(4, "big")
