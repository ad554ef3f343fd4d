"""Reads HTTP/2 frame headers before h2 does, and counts what a client makes us do for nothing.

h2 is right about the protocol and has no limits: it buffers a frame that announces 16 MiB before it refuses it, spends
a second on a megabyte of table size updates, and answers any number of PINGs. Here nine bytes of each frame are
looked at, and those of a header block's beginning: a step costs a microsecond. Frames that carry neither a request
nor body bytes are paid from an allowance; a WINDOW_UPDATE is free as far as bytes that we sent explain it.

Source: RFC 9113, 4.1, 6 and 10.5; RFC 7541, 6.3 (table size updates).
"""

from typing import Final

from node.http.limits import Allowance, Limits

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113, 3.4
FRAME_SIZE: Final = 16_384  # What we let clients send; the protocol's own default.

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR = 0x0, 0x1, 0x2
FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x6, 0x7, 0x8, 0x9, 0xB

_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE, _CONTINUATION = 0x0, 0x1, 0x4, 0x8, 0x9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_MAX_UPDATES = 2  # Table size updates in one block: RFC 7541, 4.2 has use for no more.
_BEGINNING = 32  # Bytes of a block that are kept: two updates of any sane length and the byte behind them.
_EMPTY_DATA_COST, _SETTINGS_COST = 10, 5
_EXPLAINED = 4096  # WINDOW_UPDATEs that sent bytes explain, at most: a client acknowledges 4 KiB at a time and lags.


class Breach(Exception):
    """The connection has to end with a GOAWAY of *code*."""

    def __init__(self, code: int, limit: str) -> None:
        super().__init__(limit)
        self.code = code
        self.limit = limit  # Name under which it is counted.


class FrameGuard:
    """Sees every byte that h2 will see, in the same order, before it."""

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
        self.block_open = False
        """Whether a header block has begun and not ended: it has to end soon."""

    def sent(self, count: int) -> None:
        """Note that *count* bytes of body went to the client, which it will acknowledge."""
        self._explained = min(_EXPLAINED, self._explained + count / 1024)

    def feed(self, data: bytes, *, now: float) -> None:
        """Look at *data*; raise ``Breach`` before h2 sees any of it."""
        at = min(self._preface, len(data))
        self._preface -= at
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                if self._in_block and len(self._head) < _BEGINNING:
                    self._head += data[at : at + min(step, _BEGINNING)]
                self._left -= step
                at += step
            else:
                step = min(9 - len(self._header), len(data) - at)
                self._header += data[at : at + step]
                at += step
                if len(self._header) == 9:
                    self._frame(now)
                    self._header.clear()
            if not self._left and not self._header and self._in_block:
                self._block_part_ended()

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
